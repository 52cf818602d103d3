"""Nodes, their memory, distances and kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import NODE, Tree, machine

from numawise.machine import read
from numawise.machine.topology import Topology


def topology_of(tree: Tree, path: Path) -> Topology:
    return read(tree.folder(path))


def test_ids_with_gaps(tmp_path: Path) -> None:
    topology = topology_of(machine(nodes=3, cores_per_node=2, node_ids=(0, 8, 251)), tmp_path)
    assert [node.id for node in topology.nodes] == [0, 8, 251]
    assert topology.distances is not None
    assert topology.distances[8] == {0: 21, 8: 10, 251: 21}
    assert topology.allowed.nodes == (0, 8, 251)
    assert topology.node_of_cpu(2) == 8


def test_nodes_without_cpus_or_without_memory(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files[f"{NODE}/node1/meminfo"] = "Node 1 MemTotal: 0 kB\nNode 1 MemFree: 0 kB\n"
    tree.node(2, [], memory_kib=4096)
    tree.files[f"{NODE}/online"] = "0-2\n"
    tree.distances({i: [10 if i == j else 20 for j in range(3)] for i in range(3)})
    topology = topology_of(tree, tmp_path)
    assert [(node.id, str(node.cpus), node.memory_kib, node.kind) for node in topology.nodes] == [
        (0, "0-1,4-5", 1 << 20, "dram"),
        (1, "2-3,6-7", 0, "dram"),
        (2, "", 4096, "cpuless"),
    ]


def test_cpus_known_by_links_only(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2, threads=1)
    for node, cpus in ((0, (0, 1)), (1, (2, 3))):
        del tree.files[f"{NODE}/node{node}/cpulist"]
        for cpu in cpus:
            tree.links[f"{NODE}/node{node}/cpu{cpu}"] = f"../../cpu/cpu{cpu}"
    assert [str(node.cpus) for node in topology_of(tree, tmp_path).nodes] == ["0-1", "2-3"]


def test_memory_free_and_reclaimable(tmp_path: Path) -> None:
    tree = machine(nodes=1)
    tree.files[f"{NODE}/node0/meminfo"] = (
        "Node 0 MemTotal:  1000 kB\nNode 0 MemFree:  100 kB\nNode 0 Active(file):  20 kB\n"
        "Node 0 Inactive(file):  3 kB\nNode 0 SReclaimable:  400 kB\n"
    )
    tree.files["proc/meminfo"] = "MemTotal:  1010 kB\nMemFree:  110 kB\n"
    node = topology_of(tree, tmp_path).node(0)
    assert (node.memory_kib, node.free_kib, node.reclaimable_kib) == (1000, 100, 423)


def test_what_a_balloon_has_lent_out_can_be_had_back(tmp_path: Path) -> None:
    tree = machine(nodes=1)
    tree.files[f"{NODE}/node0/meminfo"] = "Node 0 MemTotal:  1000 kB\nNode 0 MemFree:  100 kB\n"
    tree.files["proc/meminfo"] = "MemTotal:  4000 kB\nMemFree:  3100 kB\n"
    node = topology_of(tree, tmp_path).node(0)
    assert (node.memory_kib, node.free_kib) == (1000, 3100)


def test_huge_pages_and_memory_side_cache(tmp_path: Path) -> None:
    tree = machine(nodes=1)
    for size, total, free in ((1048576, 2, 1), (2048, 512, 500)):
        pool = f"{NODE}/node0/hugepages/hugepages-{size}kB"
        tree.files[f"{pool}/nr_hugepages"], tree.files[f"{pool}/free_hugepages"] = f"{total}\n", f"{free}\n"
    cache = f"{NODE}/node0/memory_side_cache/index1"
    tree.files[f"{cache}/size"], tree.files[f"{cache}/line_size"] = f"{16 << 30}\n", "64\n"
    node = topology_of(tree, tmp_path).node(0)
    assert [(pool.size_kib, pool.total, pool.free) for pool in node.huge_pages] == [
        (2048, 512, 500),
        (1048576, 2, 1),
    ]
    assert [(c.level, c.size_kib, c.line_bytes) for c in node.memory_side_caches] == [(1, 16 << 20, 64)]


def test_a_cpu_in_two_nodes_makes_one_node_and_says_why(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files[f"{NODE}/node1/cpulist"] = "0-7\n"
    topology = topology_of(tree, tmp_path)
    assert [(node.id, str(node.cpus), node.memory_kib) for node in topology.nodes] == [(0, "0-7", 2 << 20)]
    assert topology.distances is None
    assert topology.allowed.nodes == (0,)
    assert "CPU 0 is in node 0 and in node 1" in topology.notes[0]


def test_nodes_that_hold_no_cpu_at_all_make_one_node(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    for node in (0, 1):
        tree.files[f"{NODE}/node{node}/cpulist"] = "\n"
    topology = topology_of(tree, tmp_path)
    assert [str(node.cpus) for node in topology.nodes] == ["0-7"]
    assert "no node holds any of the online CPUs" in topology.notes[0]


def test_no_node_directory(tmp_path: Path) -> None:
    tree = machine(nodes=1, cores_per_node=2)
    tree.files = {name: text for name, text in tree.files.items() if not name.startswith(NODE)}
    topology = topology_of(tree, tmp_path)
    assert [(node.id, str(node.cpus), node.memory_kib, node.free_kib) for node in topology.nodes] == [
        (0, "0-3", 1 << 20, 1 << 19)
    ]
    assert "no node directory" in topology.notes[0]


def test_cpus_of_no_node_are_told(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files[f"{NODE}/node1/cpulist"] = "2,6\n"
    topology = topology_of(tree, tmp_path)
    assert topology.notes == ("CPUs 3,7 belong to no node",)
    assert topology.node_of_cpu(3) is None


@pytest.mark.parametrize("row", ["10 21 21", "10", "ten twenty", "10 -1", "0 0"])
def test_distances_that_do_not_fit_are_left_out_and_told(tmp_path: Path, row: str) -> None:
    tree = machine(nodes=2)
    tree.files[f"{NODE}/node1/distance"] = row
    topology = topology_of(tree, tmp_path)
    assert topology.distances is None
    assert "distances of node 1" in topology.notes[0]


def test_distances_of_some_nodes_only(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    del tree.files[f"{NODE}/node1/distance"]
    topology = topology_of(tree, tmp_path)
    assert topology.distances is None
    assert topology.notes == ("node 1 gives no distances; those of the others are left out",)
    del tree.files[f"{NODE}/node0/distance"]
    assert topology_of(tree, tmp_path / "none").notes == ()


def test_hmat(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    tree.hmat(0, [0], latency=90, bandwidth=200_000)
    tree.hmat(1, [0], latency=140, bandwidth=0)
    tree.hmat(1, [1], latency=95, bandwidth=0, level=1)
    topology = topology_of(tree, tmp_path)
    first, second = (topology.node(i).access for i in (0, 1))
    assert first is not None and second is not None
    assert (first.initiators, first.read_latency_ns, first.write_bandwidth_mib_s) == ((0,), 90, 200_000)
    # Class 1 is about CPUs; a figure of 0 is none.
    assert (second.initiators, second.read_latency_ns, second.read_bandwidth_mib_s) == ((1,), 95, None)


def memory_only(tree: Tree, number: int) -> None:
    tree.node(number, [])
    ids = sorted({0, 1, number})
    tree.files[f"{NODE}/online"] = ",".join(map(str, ids)) + "\n"
    tree.distances({a: [10 if a == b else 20 for b in ids] for a in ids})


@pytest.mark.parametrize(
    ("latency", "bandwidth", "kind"),
    [
        (100, 800_000, "hbm"),
        (250, 40_000, "cxl"),
        (250, 150_000, "cxl"),
        (110, 180_000, "cpuless"),
        (0, 0, "cpuless"),
    ],
)
def test_kind_by_the_firmwares_figures(tmp_path: Path, latency: int, bandwidth: int, kind: str) -> None:
    tree = machine(nodes=2)
    memory_only(tree, 2)
    for node in (0, 1):
        tree.hmat(node, [node], latency=100, bandwidth=200_000)
    tree.hmat(2, [0], latency=latency, bandwidth=bandwidth)
    assert topology_of(tree, tmp_path).node(2).kind == kind


def test_kind_cxl_by_region_and_persistent_memory_by_its_bus(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    for node in (0, 1):
        tree.hmat(node, [node], latency=100, bandwidth=200_000)
    memory_only(tree, 2)
    tree.hmat(2, [0], latency=300, bandwidth=20_000)
    tree.files["sys/bus/dax/devices/dax0.0/target_node"] = "2\n"
    region = "sys/bus/cxl/devices/region0/dax_region0/dax0.0/size"
    tree.files[region] = "1\n"
    assert topology_of(tree, tmp_path / "cxl").node(2).kind == "cxl"
    del tree.files[region]
    tree.files["sys/bus/nd/devices/dax0.1/dax0.0/size"] = "1\n"
    assert topology_of(tree, tmp_path / "pmem").node(2).kind == "cpuless"


def test_kind_gpu_by_the_driver(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    memory_only(tree, 255)
    tree.device("0004:04:00.0", 0x030200, 0x10DE, 0x1DB1, 0)
    tree.files["proc/driver/nvidia/gpus/0004:04:00.0/numa_status"] = "Node: 255\nStatus: online\n"
    tree.files["proc/driver/nvidia/gpus/0004:04:00.0/information"] = "GPU UUID: GPU-secret\n"
    topology = topology_of(tree, tmp_path)
    assert topology.node(255).kind == "gpu"
    assert [(device.kind, device.node, device.memory_node) for device in topology.devices] == [
        ("gpu", 0, 255)
    ]


def test_kind_hbm_by_memory_tier_and_by_processor(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    memory_only(tree, 2)
    tree.files[f"{NODE}/has_cpu"] = "0-1\n"
    tree.files["sys/devices/virtual/memory_tiering/memory_tier2/nodelist"] = "2\n"
    tree.files["sys/devices/virtual/memory_tiering/memory_tier4/nodelist"] = "0-1\n"
    assert topology_of(tree, tmp_path / "tier").node(2).kind == "hbm"
    tree = machine(nodes=2)
    memory_only(tree, 2)
    tree.files["proc/cpuinfo"] = "processor: 0\nmodel name\t: Intel(R) Xeon Phi(TM) CPU 7210 @ 1.30GHz\n"
    assert topology_of(tree, tmp_path / "phi").node(2).kind == "hbm"


def test_system_wide_settings(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    before = topology_of(tree, tmp_path / "old")
    assert (before.transparent_huge_pages, before.weighted_interleave) == (None, False)
    tree.files["sys/kernel/mm/transparent_hugepage/enabled"] = "always [madvise] never\n"
    tree.files["sys/kernel/mm/mempolicy/weighted_interleave/node0"] = "1\n"
    tree.files["proc/hwloc-nofile-info"] = "Architecture: aarch64\nHostName: secret\nPageSize: 65536\n"
    topology = topology_of(tree, tmp_path / "new")
    assert (topology.transparent_huge_pages, topology.weighted_interleave) == ("madvise", True)
    assert (topology.architecture, topology.page_size_kib) == ("aarch64", 64)
