"""Ranks on every captured machine: nobody meets, no node is left out, memory is where it may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from numawise.launch.ranks import Rank, placement_of_rank
from numawise.machine import read
from numawise.machine.gpus.reader import read_gpus
from numawise.machine.root import open_root
from numawise.machine.topology import Topology
from numawise.placement.values import Placement

_BESIDE = Path(__file__).parents[3] / "shared" / "topologies"
COLLECTION = Path(os.environ.get("NUMAWISE_TOPOLOGIES", _BESIDE))
MACHINES = sorted(COLLECTION.glob("*.tar.gz")) if COLLECTION.is_dir() else []

pytestmark = pytest.mark.skipif(
    not MACHINES, reason=f"no captured machines at {COLLECTION} (set NUMAWISE_TOPOLOGIES to their folder)"
)


def check(topology: Topology, placed: list[Placement]) -> None:
    for placement in placed:
        assert placement.cpus
        assert placement.cpus <= topology.allowed.cpus
        assert set(placement.memory.nodes) <= set(topology.allowed.nodes)
        # Its own nodes, or the nearest memory where these have none.
        near = {node.id for node in topology.nodes if node.cpus & placement.cpus and node.memory_kib}
        near &= set(topology.allowed.nodes)
        assert placement.memory.mode in ("default", "preferred") or set(placement.memory.nodes) <= near


@pytest.mark.parametrize("archive", MACHINES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def test_a_captured_machine(archive: Path) -> None:
    topology = read(archive)
    usable = topology.allowed.cpus
    nodes = [node for node in topology.nodes if node.cpus & usable]
    for count in sorted({1, 2, 3, 8, len(nodes), min(len(usable), 64)}):
        ranks = [Rank("torchrun", i, count, i, count, {}) for i in range(count)]
        placed = [placement_of_rank(topology, rank).placements[0] for rank in ranks]
        check(topology, placed)
        if count <= len(usable):
            assert sum(len(p.cpus) for p in placed) == len({c for p in placed for c in p.cpus})
        if count >= len(nodes) and len({len(node.cpus & usable) for node in nodes}) == 1:
            on_each = [sum(bool(node.cpus & p.cpus) for p in placed) for node in nodes]
            assert max(on_each) - min(on_each) <= 1
    gpus = read_gpus(topology, open_root(archive))
    computing = [gpu for gpu in gpus.visible if gpu.vendor]
    for i, gpu in enumerate(computing):
        rank = Rank("torchrun", i, len(computing), i, len(computing), {})
        (placement,) = placement_of_rank(topology, rank, gpus=gpus).placements
        check(topology, [placement])
        assert placement.devices == (gpu.address,)
        own = {cpu for n in gpu.nodes for cpu in topology.node(n).cpus} & set(usable)
        assert not own or set(placement.cpus) <= own
