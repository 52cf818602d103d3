"""What is to be measured, on every machine that is at hand as a file: nothing runs here."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from machines import one_node, two_sockets

from numawise.machine import read
from numawise.machine.published import get, names
from numawise.machine.topology import Topology
from numawise.measure.places import (
    LLC_FACTOR,
    cores_of,
    cpu_nodes,
    idle_watchers,
    last_level_kib,
    memory_nodes,
)
from numawise.measure.registry import Part, parts
from numawise.measure.run import default_seconds
from numawise.measure.wanted import Wanted

_BESIDE = Path(__file__).parents[3] / "shared" / "topologies"


def machines() -> list[object]:
    folder = Path(os.environ.get("NUMAWISE_TOPOLOGIES", _BESIDE))
    made = [pytest.param(get(name).topology(), id=name) for name in names()]
    made += [
        pytest.param(one_node(), id="one-node"),
        pytest.param(one_node(cpus=1), id="one-cpu"),
        pytest.param(two_sockets(cpuless=True), id="cpuless"),
        pytest.param(two_sockets(smt=False, cores_per_node=64), id="128-cores"),
        pytest.param(two_sockets(ids=(3, 17)), id="id-gaps"),
        pytest.param(two_sockets(allowed_cpus="8-15", allowed_nodes=(1,)), id="cpuset"),
        pytest.param(two_sockets(allowed_cpus="0-7", allowed_nodes=(1,)), id="far-cpuset"),
    ]
    return made + [pytest.param(read(file), id=file.name) for file in sorted(folder.glob("*.tar.gz"))]


every_machine = pytest.mark.parametrize("topology", machines())


def readings(topology: Topology) -> list[tuple[Part, Wanted]]:
    return [(part, wanted) for part in parts() for wanted in part.plan(topology).readings]


def planned(topology: Topology, name: str) -> tuple[Wanted, ...]:
    (part,) = (part for part in parts() if part.name == name)
    return part.plan(topology).readings


@every_machine
def test_only_what_is_allowed_is_used(topology: Topology):
    for part, wanted in readings(topology):
        if wanted.why:
            continue
        used = {*wanted.cpus, *wanted.busy, *wanted.injectors}
        assert used <= set(topology.allowed.cpus), part.name
        assert set(wanted.memory) <= set(memory_nodes(topology)), part.name
        assert wanted.cpus
        assert len({*wanted.cpus, *wanted.injectors}) == len(wanted.cpus) + len(wanted.injectors)
        assert not set(wanted.busy) & {*wanted.cpus, *wanted.injectors}


@every_machine
def test_every_pair_has_a_reading_or_a_reason(topology: Topology):
    with_cpus = {node.id for node in topology.nodes if node.cpus}
    with_memory = {node.id for node in topology.nodes if node.memory_kib}
    pairs = {(cpus, memory) for cpus in with_cpus for memory in with_memory}
    for name in ("latency", "bandwidth"):
        found = planned(topology, name)
        assert {(one.cpu_node, one.memory[0]) for one in found} == pairs
        possible = {(one.cpu_node, one.memory[0]) for one in found if not one.why}
        assert possible == {(c, m) for c in cpu_nodes(topology) for m in memory_nodes(topology)}


@every_machine
def test_one_thread_a_core_except_with_all_siblings(topology: Topology):
    for part, wanted in readings(topology):
        threads = [*wanted.cpus, *wanted.injectors]
        for core in topology.smt_siblings:
            together = sum(cpu in core for cpu in threads)
            assert together <= 1 or part.name == "smt"


@every_machine
def test_buffers_are_4_times_the_last_level_caches_in_use(topology: Topology):
    for part, wanted in readings(topology):
        if not wanted.why and part.name != "core_to_core":
            users = (*wanted.cpus, *wanted.injectors)
            assert wanted.buffer_kib >= LLC_FACTOR * last_level_kib(topology, users)


@every_machine
def test_the_time_is_bounded(topology: Topology):
    wanted = [one for _, one in readings(topology)]
    full, quick = (default_seconds(topology, wanted, quick=q) for q in (False, True))
    assert 0 < quick <= 60
    assert quick < full
    if sum(1 for node in topology.nodes if node.cpus) <= 2:
        assert full <= 100


@every_machine
def test_pairs_of_cores_are_all_or_a_sample_that_is_told(topology: Topology):
    (part,) = (part for part in parts() if part.name == "core_to_core")
    plan = part.plan(topology)
    cores = sum(len(cores_of(topology, node)) for node in cpu_nodes(topology))
    assert len(plan.readings) <= 120
    if len(plan.readings) < cores * (cores - 1) // 2:
        assert "a sample" in plan.notes[0]
        nodes = {node for one in plan.readings for node in (topology.node_of_cpu(cpu) for cpu in one.cpus)}
        assert len(nodes) >= min(len(cpu_nodes(topology)), 4)
    elif cores < 2:
        assert plan.notes


class TestPlaces:
    def test_cores_alternate_between_l3_domains(self):
        topology = get("2x-epyc-9224-cxl").topology()
        domains = [d for d in topology.l3_domains if d.cpus & topology.node(0).cpus]
        first = cores_of(topology, 0)[: len(domains)]
        assert len(domains) > 1
        assert all(sum(cpu in domain.cpus for cpu in first) == 1 for domain in domains)

    def test_the_other_sockets_are_kept_awake_by_one_cpu_each(self):
        topology = two_sockets()
        assert idle_watchers(topology, [0]) == (8,)
        assert idle_watchers(topology, [8, 0]) == ()
        assert idle_watchers(two_sockets(allowed_cpus="0-7"), [0]) == ()

    def test_siblings_share_an_l3_domain_once(self):
        topology = two_sockets()
        assert last_level_kib(topology, topology.node(0).cpus) == 32768
        assert last_level_kib(topology, [0, 8]) == 2 * 32768

    def test_an_unknown_cache_is_not_taken_for_none(self):
        assert last_level_kib(one_node(), [0]) > 0


class TestParts:
    def test_readings_of_a_buffer_follow_each_other(self):
        """Buffers are placed once a node, not once a reading."""
        memory = [one.memory for one in planned(two_sockets(cpuless=True), "bandwidth")]
        changes = sum(a != b for a, b in pairwise(memory))
        assert changes == 2

    def test_local_comes_first(self):
        first = planned(two_sockets(), "latency")[0]
        assert (first.cpu_node, first.memory) == (0, (0,))

    def test_all_cores_each_from_its_own_node(self):
        own = planned(two_sockets(), "aggregate")[0]
        assert own.layout == "own"
        assert own.memory == (0, 1)
        assert own.homes == (0,) * 8 + (1,) * 8

    def test_no_interleaving_over_one_node(self):
        assert all(one.layout != "interleaved" for one in planned(one_node(), "aggregate"))

    def test_injectors_come_from_elsewhere_where_a_node_has_one_core(self):
        first = planned(two_sockets(cores_per_node=1), "loaded")[0]
        assert (first.cpus, first.injectors) == ((0,), (1,))

    def test_one_core_has_nobody_to_load_it(self):
        (part,) = (part for part in parts() if part.name == "loaded")
        plan = part.plan(one_node(cpus=1))
        assert not plan.readings
        assert "one core" in plan.gaps[0]

    def test_smt_compares_one_thread_with_all_siblings(self):
        assert [len(one.cpus) for one in planned(two_sockets(), "smt")] == [8, 16, 8, 16]
        assert planned(two_sockets(smt=False), "smt") == ()
