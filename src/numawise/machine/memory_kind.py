"""What kind of memory a CPU-less node is: said only where the system gives evidence, `cpuless` otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from numawise.linux.sysfs import field, parse_int, parse_list
from numawise.machine.root import Root
from numawise.machine.topology import Node, NodeKind

# Against the memory of the CPUs next to it. HBM against DDR: 4-8x the bandwidth (Xeon Max, A64FX); CXL
# against DDR: 2-3x the latency, a fifth to a third of the bandwidth.
_HBM_BANDWIDTH = 2.0
_CXL_LATENCY = 1.5
_CXL_BANDWIDTH = 0.5


def classify(root: Root, nodes: list[Node], *, had_cpus: set[int]) -> tuple[Node, ...]:
    """The nodes with their kinds. `had_cpus`: nodes with CPUs, offline ones included, whose memory is
    ordinary.
    """
    if all(node.id in had_cpus for node in nodes):
        return tuple(nodes)
    known = _by_evidence(root)
    local = [node for node in nodes if node.id in had_cpus]
    return tuple(
        node
        if node.id in had_cpus
        else msgspec.structs.replace(node, kind=known.get(node.id) or _by_figures(node, local))
        for node in nodes
    )


def gpu_memory_nodes(root: Root) -> dict[str, int]:
    """PCI address -> node of the GPU's own memory, as NVIDIA's driver says on POWER9 and Grace
    (`numa_status`).
    """
    folder = "proc/driver/nvidia/gpus"
    found = {}
    for address in root.names(folder):
        node = parse_int(field(root.read(f"{folder}/{address}/numa_status"), "Node"))
        if node is not None and node >= 0:
            found[address.lower()] = node
    return found


def _by_evidence(root: Root) -> dict[int, NodeKind]:
    kinds: dict[int, NodeKind] = {}
    fastest, others = _tiers(root)
    kinds.update((node, "hbm") for node in fastest if others)
    if re.search(r"^model name.*Xeon Phi", root.read("proc/cpuinfo", 4096) or "", re.MULTILINE):
        # Knights Landing: its only memory without CPUs is MCDRAM, and its kernels have no HMAT.
        kinds.update((i, "hbm") for i in _every_node(root))
    kinds.update(_by_dax(root))
    kinds.update((node, "gpu") for node in gpu_memory_nodes(root).values())
    return kinds


def _tiers(root: Root) -> tuple[frozenset[int], frozenset[int]]:
    """Nodes in memory tiers above, and in or below, the one of the CPUs' own memory (the lower number is
    faster).
    """
    folder = "sys/devices/virtual/memory_tiering"
    has_cpu = parse_list(root.read("sys/devices/system/node/has_cpu")) or frozenset()
    tiers = {}
    for name in root.names(folder, "memory_tier"):
        number = parse_int(name[len("memory_tier") :])
        if number is not None:
            tiers[number] = parse_list(root.read(f"{folder}/{name}/nodelist")) or frozenset()
    ordinary = [number for number, members in tiers.items() if members & has_cpu]
    if not ordinary:
        return frozenset(), frozenset()
    above = _union(members for number, members in tiers.items() if number < min(ordinary))
    return above, _union(tiers.values()) - above


def _by_dax(root: Root) -> dict[int, NodeKind]:
    """Memory handed over by device-dax: from a CXL region, or from persistent memory (which stays
    `cpuless`).
    """
    kinds: dict[int, NodeKind] = {}
    cxl, nd = "sys/bus/cxl/devices", "sys/bus/nd/devices"
    from_cxl = {
        dax
        for region in root.names(cxl, "region")
        for part in root.names(f"{cxl}/{region}", "dax_region")
        for dax in root.names(f"{cxl}/{region}/{part}", "dax")
    }
    persistent = {
        dax for device in root.names(nd, "dax") for dax in [device, *root.names(f"{nd}/{device}", "dax")]
    }
    for dax in root.names("sys/bus/dax/devices", "dax"):
        node = parse_int(root.read(f"sys/bus/dax/devices/{dax}/target_node"))
        if node is not None and node >= 0 and (dax in from_cxl or dax in persistent):
            kinds[node] = "cxl" if dax in from_cxl else "cpuless"
    return kinds


def _by_figures(node: Node, local: list[Node]) -> NodeKind:
    """By the firmware's HMAT: this memory against that of the CPUs it is nearest to."""
    near = [n for n in local if node.access and n.id in node.access.initiators] or local
    latencies = [n.access.read_latency_ns for n in near if n.access and n.access.read_latency_ns]
    bandwidths = [n.access.read_bandwidth_mib_s for n in near if n.access and n.access.read_bandwidth_mib_s]
    latency = node.access.read_latency_ns if node.access else None
    bandwidth = node.access.read_bandwidth_mib_s if node.access else None
    if bandwidth and bandwidths:
        if bandwidth >= _HBM_BANDWIDTH * max(bandwidths):
            return "hbm"
        if bandwidth <= _CXL_BANDWIDTH * min(bandwidths):
            return "cxl"
    if latency and latencies and latency >= _CXL_LATENCY * max(latencies):
        return "cxl"
    return "cpuless"


def _every_node(root: Root) -> list[int]:
    from numawise.machine.cpus import numbered

    return numbered(root.names("sys/devices/system/node", "node"), "node")


def _union(sets: Iterable[frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*sets)
