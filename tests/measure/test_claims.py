"""What SLIT, HMAT and published machines say, beside what was measured."""

from __future__ import annotations

import msgspec
import pytest
from machines import two_sockets

from numawise.linux.cpuset import CPUSet
from numawise.machine.identity import machine_facts, topology_key
from numawise.machine.published import get, normal
from numawise.machine.topology import Access, Topology
from numawise.measure.claims import claims, ratio
from numawise.measure.figure import Figure
from numawise.measure.values import Measurements, Reading


def measured(topology: Topology, near: tuple[float, float], far: tuple[float, float]) -> Measurements:
    """ns and GB/s of a node's own memory and of any other's."""

    def readings(which: int, kernel: str) -> tuple[Reading, ...]:
        nodes = [node.id for node in topology.nodes if node.cpus]
        return tuple(
            Reading(CPUSet([c]), c, (m,), Figure(v, v, 0.0, 5), kernel=kernel)
            for m in (node.id for node in topology.nodes)
            for c in nodes
            for v in [(near if c == m else far)[which]]
        )

    return Measurements(
        topology_key(topology),
        machine_facts(topology),
        created=0.0,
        latency=readings(0, "chase"),
        bandwidth=readings(1, "read"),
    )


def test_slit_is_held_against_the_measured_ratio():
    topology = two_sockets()
    said = [c for c in claims(measured(topology, (80, 100), (120, 40)), topology) if c.source == "SLIT"]
    assert [(c.cpu_node, c.memory_node) for c in said] == [(1, 0), (0, 1)]
    assert said[0].measured == pytest.approx(1.5)
    assert (said[0].low, said[0].high) == (2.1, 2.1)
    assert said[0].text == "latency of node 0 from node 1 is 1.50 times that of its own; SLIT says 2.10"


def test_hmat_speaks_of_its_initiators_only():
    topology = two_sockets()
    told = msgspec.structs.replace(
        topology.nodes[1], access=Access(initiators=(1,), read_latency_ns=85, read_bandwidth_mib_s=100_000)
    )
    topology = msgspec.structs.replace(topology, nodes=(topology.nodes[0], told))
    said = [c for c in claims(measured(topology, (80, 100), (120, 40)), topology) if c.source == "HMAT"]
    assert [(c.quantity, c.cpu_node, c.memory_node) for c in said] == [("latency", 1, 1), ("bandwidth", 1, 1)]
    assert said[0].text == "latency of node 1 from node 1 is 80 ns; HMAT says 85"
    assert said[1].low == pytest.approx(104.8576)  # 100 000 MiB/s in 10**9 bytes


def test_published_machines_of_the_same_kind_give_the_range():
    topology = get("2x-xeon-8360y").topology()
    said = [c for c in claims(measured(topology, (90, 175), (140, 54)), topology) if c.source == "published"]
    share = next(c for c in said if (c.quantity, c.cpu_node, c.memory_node) == ("bandwidth", 0, 1))
    known = normal(topology)
    assert known is not None
    assert (share.low, share.high) == known.bandwidth_ratio
    assert share.measured == pytest.approx(54 / 175)
    assert (
        share.text == "read bandwidth of node 1 from node 0 is 31% of its own; machines of this kind: 30-56%"
    )
    own = next(c for c in said if (c.quantity, c.cpu_node, c.memory_node) == ("latency", 0, 0))
    assert own.unit == "ns"
    assert own.low <= 90 <= own.high


def test_what_was_not_measured_is_not_held_against_anything():
    topology = two_sockets(cpuless=True)
    empty = Measurements(topology_key(topology), machine_facts(topology), created=0.0)
    assert claims(empty, topology) == ()
    bare = msgspec.structs.replace(topology, distances=None)
    assert not [c for c in claims(measured(bare, (80, 100), (120, 40)), bare) if c.source == "SLIT"]
    assert ratio(empty, "latency", 0, 1) is None
