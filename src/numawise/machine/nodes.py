"""NUMA nodes, their memory and their distances, from `/sys/devices/system/node`.

Sources: Documentation/ABI/stable/sysfs-devices-node and Documentation/admin-guide/mm/numaperf.rst in the
kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from numawise.linux.cpuset import CPUSet, format_list
from numawise.linux.sysfs import field_kib, parse_int, parse_list
from numawise.machine.cpus import CPUFile, numbered
from numawise.machine.memory_kind import classify
from numawise.machine.root import Root
from numawise.machine.topology import Access, HugePages, MemorySideCache, Node

NODE = "sys/devices/system/node"
_MIN_DISTANCE = 1
_LENT_FROM = 1.1  # the two files differ by a little on every machine


class Memory(NamedTuple):
    """The nodes, and what was wrong with the files that describe them."""

    nodes: tuple[Node, ...]
    distances: dict[int, dict[int, int]] | None
    one_for_all: bool
    """The node directories were absent or contradicted each other: there is one node, 0, with every CPU."""
    notes: tuple[str, ...]


def read_nodes(root: Root, online: frozenset[int]) -> Memory:
    """The nodes by OS id, each with its online CPUs; one node for the whole machine where the files give no
    other sense.
    """
    ids = numbered(root.names(NODE, "node"), "node")
    if not ids:
        return _whole_machine(root, online, f"no node directory ({NODE}): one node 0 holding every CPU")
    cpus = _cpus_by_node(root, ids)
    reason = _contradiction(cpus, online)
    nodes = [_node(root, i, cpus[i] & online) for i in ids]
    if reason:
        return _merged(
            nodes, online, f"the node directories contradict each other ({reason}): reported as one node 0"
        )
    if len(nodes) == 1:
        nodes = [_with_lent_memory(nodes[0], root.read("proc/meminfo"))]
    distances, notes = _distances(root, ids)
    homeless = online - frozenset().union(*cpus.values())
    if homeless:
        notes.append(f"CPUs {format_list(homeless)} belong to no node")
    return Memory(classify(root, nodes, had_cpus={i for i in ids if cpus[i]}), distances, False, tuple(notes))


def _cpus_by_node(root: Root, ids: list[int]) -> dict[int, frozenset[int]]:
    files = CPUFile(root, lists=("cpulist",), maps=("cpumap",))
    found = {}
    for i in ids:
        # Kernels before 2.6.25 have only the map, the oldest only a link per CPU. A node of offline CPUs has
        # an empty list, and its links still say that it is no memory-only node.
        found[i] = files.read(f"{NODE}/node{i}") or frozenset(
            numbered(root.names(f"{NODE}/node{i}", "cpu"), "cpu")
        )
    return found


def _contradiction(cpus: dict[int, frozenset[int]], online: frozenset[int]) -> str | None:
    seen: dict[int, int] = {}
    for i, members in cpus.items():
        for cpu in sorted(members & online):
            if cpu in seen:
                return f"CPU {cpu} is in node {seen[cpu]} and in node {i}"
            seen[cpu] = i
    return None if seen else "no node holds any of the online CPUs"


def _node(root: Root, number: int, cpus: frozenset[int]) -> Node:
    folder = f"{NODE}/node{number}"
    memory = root.read(f"{folder}/meminfo")
    return Node(
        id=number,
        cpus=CPUSet(cpus),
        memory_kib=field_kib(memory, "MemTotal") or 0,
        kind="dram",
        free_kib=field_kib(memory, "MemFree"),
        reclaimable_kib=_reclaimable(memory),
        huge_pages=_huge_pages(root, f"{folder}/hugepages"),
        memory_side_caches=_memory_side_caches(root, f"{folder}/memory_side_cache"),
        access=_access(root, folder),
    )


def _with_lent_memory(node: Node, meminfo: str | None) -> Node:
    """The only node, with the free memory that a balloon driver has lent to the host: the node's file leaves it out
    while it is lent, /proc/meminfo counts it, and it comes back when memory is asked for.
    """
    total, free = field_kib(meminfo, "MemTotal"), field_kib(meminfo, "MemFree")
    if total is None or free is None or total <= node.memory_kib * _LENT_FROM:
        return node
    return msgspec.structs.replace(node, free_kib=max(free, node.free_kib or 0))


def _reclaimable(meminfo: str | None) -> int | None:
    """Page cache and slabs that give way when memory is asked for (proc_meminfo(5), MemAvailable)."""
    parts = [field_kib(meminfo, name) for name in ("Active(file)", "Inactive(file)", "SReclaimable")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _huge_pages(root: Root, folder: str) -> tuple[HugePages, ...]:
    sizes = (
        name[len("hugepages-") : -len("kB")]
        for name in root.names(folder, "hugepages-")
        if name.endswith("kB")
    )
    pools = []
    for size in sorted(int(size) for size in sizes if size.isdigit()):
        pool = f"{folder}/hugepages-{size}kB"
        total, free = (parse_int(root.read(f"{pool}/{name}")) for name in ("nr_hugepages", "free_hugepages"))
        if total is not None:
            pools.append(HugePages(size_kib=size, total=total, free=free if free is not None else total))
    return tuple(pools)


def _memory_side_caches(root: Root, folder: str) -> tuple[MemorySideCache, ...]:
    caches = []
    for level in numbered(root.names(folder, "index"), "index"):
        size = parse_int(root.read(f"{folder}/index{level}/size"))  # in bytes
        if size:
            line = parse_int(root.read(f"{folder}/index{level}/line_size"))
            caches.append(MemorySideCache(level=level, size_kib=size >> 10, line_bytes=line or None))
    return tuple(caches)


def _access(root: Root, folder: str) -> Access | None:
    # Class 1 counts CPUs only; class 0, all that kernels before 5.10 have, may give the figures of a GPU
    # nearby.
    for access in ("access1", "access0"):
        initiators = numbered(root.names(f"{folder}/{access}/initiators", "node"), "node")
        if initiators:
            figures = [
                parse_int(root.read(f"{folder}/{access}/initiators/{name}"))
                or None  # 0: the firmware does not say
                for name in ("read_latency", "write_latency", "read_bandwidth", "write_bandwidth")
            ]
            return Access(tuple(initiators), *figures)
    return None


def _distances(root: Root, ids: list[int]) -> tuple[dict[int, dict[int, int]] | None, list[str]]:
    if len(ids) < 2:
        return None, []
    texts = {i: root.read(f"{NODE}/node{i}/distance") for i in ids}
    missing = [i for i, text in texts.items() if not text]
    if missing:
        some = len(missing) < len(ids)
        return None, [
            f"node {missing[0]} gives no distances; those of the others are left out"
        ] if some else []
    # A row names the online nodes, ascending, whatever their ids (drivers/base/node.c, node_read_distance).
    online = sorted(parse_list(root.read(f"{NODE}/online")) or ids)
    rows: dict[int, dict[int, int]] = {}
    for i, text in texts.items():
        values = [parse_int(word) for word in (text or "").split()]
        columns = ids if len(values) == len(ids) else online
        if len(values) != len(columns) or any(value is None or value < _MIN_DISTANCE for value in values):
            return None, [f"the distances of node {i} do not fit the nodes ({text!r:.80}): left out"]
        row = dict(zip(columns, values, strict=True))
        if not all(j in row for j in ids):
            return None, [f"the distances of node {i} do not fit the nodes ({text!r:.80}): left out"]
        rows[i] = {j: int(row[j] or 0) for j in ids}
    return rows, []


def _whole_machine(root: Root, online: frozenset[int], reason: str) -> Memory:
    memory = root.read("proc/meminfo")
    total = field_kib(memory, "MemTotal")
    node = Node(
        id=0,
        cpus=CPUSet(online),
        memory_kib=total or 0,
        kind="dram",
        free_kib=field_kib(memory, "MemFree"),
        reclaimable_kib=_reclaimable(memory),
        huge_pages=_huge_pages(root, "sys/kernel/mm/hugepages"),
    )
    notes = (reason,) if total else (reason, "no proc/meminfo: the size of the memory is unknown, given as 0")
    return Memory((node,), None, True, notes)


def _merged(nodes: list[Node], online: frozenset[int], reason: str) -> Memory:
    pools: dict[int, HugePages] = {}
    for pool in (pool for node in nodes for pool in node.huge_pages):
        so_far = pools.get(pool.size_kib, HugePages(pool.size_kib, 0, 0))
        pools[pool.size_kib] = HugePages(pool.size_kib, so_far.total + pool.total, so_far.free + pool.free)
    free = [node.free_kib for node in nodes if node.free_kib is not None]
    reclaimable = [node.reclaimable_kib for node in nodes if node.reclaimable_kib is not None]
    node = Node(
        id=0,
        cpus=CPUSet(online),
        memory_kib=sum(node.memory_kib for node in nodes),
        kind="dram",
        free_kib=sum(free) if free else None,
        reclaimable_kib=sum(reclaimable) if reclaimable else None,
        huge_pages=tuple(pools[size] for size in sorted(pools)),
    )
    return Memory((node,), None, True, (reason,))
