"""Real multi-GPU machines: every process lands on its GPU's node, judged by a second reading of the tree."""

from __future__ import annotations

import itertools
import os
import re
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.machine.topology import Allowed, Topology
from numawise.placement.plan import plan
from numawise.placement.request import Request

_BESIDE = Path(__file__).parents[3] / "shared" / "topologies"
COLLECTION = Path(os.environ.get("NUMAWISE_TOPOLOGIES", _BESIDE))
MACHINES = sorted(COLLECTION.glob("gpu-*.tar.gz"))

pytestmark = pytest.mark.skipif(
    not MACHINES, reason=f"no captured machines at {COLLECTION} (set NUMAWISE_TOPOLOGIES to their folder)"
)
each_machine = pytest.mark.parametrize("archive", MACHINES, ids=lambda path: path.name.split(".")[0])


class Second(NamedTuple):
    """The second reading: what the files say, taken apart by hand."""

    nodes: dict[int, set[int]]
    gpus: dict[str, int]


def second_reading(archive: Path) -> Second:
    nodes: dict[int, set[int]] = {}
    classes, homes = {}, {}
    with tarfile.open(archive) as tar:
        for member in tar:
            node_cpu = re.search(r"system/node/node(\d+)/cpu(\d+)$", member.name)
            if node_cpu:
                nodes.setdefault(int(node_cpu[1]), set()).add(int(node_cpu[2]))
            node_list = re.search(r"system/node/node(\d+)/cpulist$", member.name)
            pci = re.search(r"pci/devices/([0-9a-f:.]+)/(class|numa_node)$", member.name)
            if not (node_list or pci):
                continue
            file = tar.extractfile(member)
            assert file
            text = file.read().decode().strip("\0\n ")
            if node_list:
                for part in filter(None, text.split(",")):
                    first, _, last = part.partition("-")
                    nodes.setdefault(int(node_list[1]), set()).update(
                        range(int(first), int(last or first) + 1)
                    )
            elif pci:
                (classes if pci[2] == "class" else homes)[pci[1]] = int(text, 0)
    return Second(nodes, {a: homes[a] for a, c in classes.items() if c >> 16 in (0x03, 0x12)})


@each_machine
def test_every_process_is_on_the_node_of_its_gpu(archive: Path) -> None:
    second = second_reading(archive)
    placements = plan(read(archive), Request(per="gpu")).placements
    assert {p.devices for p in placements} == {(address,) for address in second.gpus}
    for placement in placements:
        home = second.gpus[placement.devices[0]]
        assert set(placement.cpus) == second.nodes[home]
        assert (placement.memory.mode, placement.memory.nodes) == ("bind", (home,))
        assert placement.node == home


@each_machine
def test_exclusive_shares_do_not_meet_and_use_every_core(archive: Path) -> None:
    second, topology = second_reading(archive), read(archive)
    placements = plan(topology, Request(per="gpu", gpu_mode="exclusive")).placements
    for one, other in itertools.combinations(placements, 2):
        assert not one.cpus & other.cpus
    for placement in placements:
        assert set(placement.cpus) <= second.nodes[second.gpus[placement.devices[0]]]
        # Cores are whole: both threads or none.
        assert all(core <= placement.cpus or not core & placement.cpus for core in topology.smt_siblings)
    for home in set(second.gpus.values()):
        own = [p for p in placements if second.gpus[p.devices[0]] == home]
        assert {cpu for p in own for cpu in p.cpus} == second.nodes[home]
        sizes = [sum(bool(core & p.cpus) for core in topology.smt_siblings) for p in own]
        assert max(sizes) - min(sizes) <= 1


@each_machine
def test_a_share_is_the_same_asked_for_alone(archive: Path) -> None:
    """Separate launches must not meet either."""
    from numawise.machine.gpus.reader import read_gpus

    topology = read(archive)
    gpus = read_gpus(topology)
    together = plan(topology, Request(per="gpu", gpu_mode="exclusive")).placements
    for gpu, placement in zip(gpus.visible, together, strict=True):
        request = Request(gpus=(gpu,), gpus_present=gpus.present, gpu_mode="exclusive")
        (alone,) = plan(topology, request).placements
        assert (alone.cpus, alone.memory) == (placement.cpus, placement.memory)


@each_machine
def test_socket_mode_stays_in_the_gpus_socket(archive: Path) -> None:
    second, topology = second_reading(archive), read(archive)
    for placement in plan(topology, Request(per="gpu", gpu_mode="socket")).placements:
        home = second.nodes[second.gpus[placement.devices[0]]]
        assert home <= set(placement.cpus)
        sockets = [socket for socket in topology.sockets if socket.cpus & home]
        assert not sockets or set(placement.cpus) == {c for s in sockets for c in s.cpus} | home


@each_machine
def test_more_gpus_than_cores_are_refused_with_the_arithmetic(archive: Path) -> None:
    topology = read(archive)
    second = second_reading(archive)
    homes = list(second.gpus.values())
    crowded = next(node for node in homes if homes.count(node) > 1)
    gpus = homes.count(crowded)
    few = [c for core in topology.smt_siblings if core <= second.nodes[crowded] for c in core]
    cores = [core for core in topology.smt_siblings if core <= second.nodes[crowded]][: gpus - 1]
    kept = CPUSet((topology.allowed.cpus - CPUSet(few)) | {c for core in cores for c in core})
    squeezed = with_allowed(topology, kept)
    with pytest.raises(
        UsageError, match=rf"{gpus} GPUs x 1 core each = {gpus} cores > {gpus - 1}"
    ) as refusal:
        plan(squeezed, Request(per="gpu", gpu_mode="exclusive"))
    assert f"node {crowded} has {gpus} GPUs and only {gpus - 1} core" in str(refusal.value)
    assert plan(squeezed, Request(per="gpu")).placements  # sharing them is possible


@each_machine
def test_inside_a_cpuset_without_the_gpus_node_the_nearest_is_taken(archive: Path) -> None:
    topology, second = read(archive), second_reading(archive)
    address, home = min(second.gpus.items())
    left = CPUSet(topology.allowed.cpus - second.nodes[home])
    made = plan(with_allowed(topology, left), Request(per="gpu"))
    (placement,) = [p for p in made.placements if p.devices == (address,)]
    assert topology.distances
    row = topology.distances[home]
    nearest = min(row[node] for node in second.nodes if node != home)
    assert placement.node is not None
    assert row[placement.node] == nearest
    assert placement.cpus <= left
    assert placement.memory.nodes == (placement.node,)
    where = f"GPU {address} is on node {home}, of whose CPUs none is both allowed and asked for"
    expected = f"{where}: placed on node {placement.node}"
    assert any(note.startswith(expected) and f"distance {nearest}" in note for note in made.notes)


def with_allowed(topology: Topology, cpus: CPUSet) -> Topology:
    import msgspec

    return msgspec.structs.replace(topology, allowed=Allowed(cpus, topology.allowed.nodes))
