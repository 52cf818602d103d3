"""Every captured machine comes out as its golden file says, from its archive and from a folder."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from numawise.machine import read, save
from numawise.machine.topology import Topology

_BESIDE = Path(__file__).parents[3] / "shared" / "topologies"
COLLECTION = Path(os.environ.get("NUMAWISE_TOPOLOGIES", _BESIDE))
GOLDENS = sorted(COLLECTION.glob("*.json")) if COLLECTION.is_dir() else []

pytestmark = pytest.mark.skipif(
    not GOLDENS, reason=f"no captured machines at {COLLECTION} (set NUMAWISE_TOPOLOGIES to their folder)"
)


def facts(topology: Topology, golden: dict[str, Any]) -> dict[str, Any]:
    """What the golden file speaks about, as we see it."""
    with_memory = any("memory_kib" in node for node in golden["nodes"].values())
    seen: dict[str, Any] = {
        "cpus": str(topology.cpus),
        "cores": topology.cores,
        "nodes": {
            str(node.id): {"cpus": str(node.cpus)} | ({"memory_kib": node.memory_kib} if with_memory else {})
            for node in topology.nodes
        },
        "distances": topology.distances
        and {str(a): {str(b): d for b, d in row.items()} for a, row in topology.distances.items()},
        "allowed": {"cpus": str(topology.allowed.cpus), "nodes": list(topology.allowed.nodes)},
        "pci": {device.address: device.node for device in topology.devices},
        "gpus": {device.address: device.node for device in topology.devices if device.kind == "gpu"},
        "nics": {device.address: device.node for device in topology.devices if device.kind == "nic"},
    }
    return {key: seen[key] for key in golden if key != "note"}


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_archive(golden: Path) -> None:
    expected = json.loads(golden.read_text())
    expected_facts = {key: value for key, value in expected.items() if key != "note"}
    topology = read(golden.with_suffix(".tar.gz"))
    assert facts(topology, expected) == expected_facts
    # Strange machines say so; healthy ones say nothing.
    assert bool(topology.notes) == ("note" in expected)


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_folder_and_saved_copy_are_the_same_machine(golden: Path, tmp_path: Path) -> None:
    archive = golden.with_suffix(".tar.gz")
    topology = read(archive)
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.isreg() or m.isdir() or m.issym()]
        for member in members:
            member.mode = 0o755 if member.isdir() else 0o644
        tar.extractall(tmp_path / "folder", members=members)
    assert read(tmp_path / "folder") == topology
    assert save(tmp_path / "saved.tar.gz", archive) == topology
    assert read(tmp_path / "saved.tar.gz") == topology
    assert (tmp_path / "saved.tar.gz").stat().st_size < archive.stat().st_size + 4096
