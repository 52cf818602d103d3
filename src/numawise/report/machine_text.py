"""The machine as text for a terminal of 80 columns, or for a file: plain, aligned, no colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from numawise.linux.cpuset import format_list
from numawise.machine.topology import Access, Node, Topology
from numawise.report.machine_boxes import DRAWN_DEVICES, brief, memory_text, plural, shorten

_WIDTH = 80
_MOST_DISTANCES = 16  # columns that fit


def describe(topology: Topology) -> str:
    """All of it, in paragraphs; ends with a newline.

    >>> from numawise.machine import read
    >>> "node" in describe(read())
    True
    """
    paragraphs = [
        _summary(topology),
        _nodes(topology),
        _distances(topology),
        _claims(topology.nodes),
        _processors(topology),
        _devices(topology),
        "\n".join(_wrap(f"note: {note}", 6) for note in topology.notes),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def _summary(topology: Topology) -> str:
    counts = [
        plural(len(topology.sockets), "socket") if topology.sockets else "",
        plural(len(topology.nodes), "node"),
        plural(topology.cores, "core"),
        plural(len(topology.cpus), "CPU"),
        memory_text(sum(node.memory_kib for node in topology.nodes)),
    ]
    name = " ".join(topology.model_name.split())
    title = ", ".join(word for word in (name, topology.architecture) if word) or "machine"
    lines = [_wrap(f"{title}: {', '.join(word for word in counts if word)}", 2)]
    allowed = topology.allowed
    if allowed.cpus == topology.cpus and len(allowed.nodes) == len(topology.nodes):
        lines.append("allowed to this process: all of it")
    else:
        lines.append(
            _wrap(
                f"allowed to this process: CPUs {brief(allowed.cpus)}, nodes {format_list(allowed.nodes)}", 2
            )
        )
    lines += _limits(topology)
    if topology.offline_cpus:
        lines.append(_wrap(f"offline: CPUs {brief(topology.offline_cpus)}", 2))
    huge = topology.transparent_huge_pages or "not there"
    weighted = "yes" if topology.weighted_interleave else "no"
    pages = f"pages: {topology.page_size_kib} KiB, transparent huge pages: {huge}"
    lines.append(f"{pages}; weighted interleave: {weighted}")
    return "\n".join(lines)


def _limits(topology: Topology) -> list[str]:
    """What control groups take away; most processes have no such limit."""
    allowed, lines = topology.allowed, []
    if allowed.cpu_quota is not None:
        lines.append(f"CPU quota of its control group: {allowed.cpu_quota:g} CPUs' worth of time")
    if allowed.memory_limit_kib is not None:
        left = (
            "" if allowed.memory_room_kib is None else f", {memory_text(allowed.memory_room_kib)} of it left"
        )
        lines.append(f"memory limit of its control group: {memory_text(allowed.memory_limit_kib)}{left}")
    return lines


def _nodes(topology: Topology) -> str:
    rows = [("node", "kind", "CPUs", "cores", "memory", "free")]
    for node in topology.nodes:
        cores = sum(1 for core in topology.smt_siblings if core & node.cpus)
        free = memory_text(node.free_kib) if node.free_kib else ("" if node.free_kib is None else "none")
        cpus = shorten(brief(node.cpus), 36) or "-"
        rows.append((str(node.id), node.kind, cpus, str(cores), memory_text(node.memory_kib), free))
    text = [_table(rows, right=(0, 3, 4, 5))]
    for node in topology.nodes:
        pools = [
            f"{pool.total} of {memory_text(pool.size_kib)} ({pool.free} free)"
            for pool in node.huge_pages
            if pool.total
        ]
        if pools:
            text.append(_wrap(f"huge pages of node {node.id}: {', '.join(pools)}", 2))
        text += [
            f"node {node.id} has a memory-side cache of {memory_text(cache.size_kib)}"
            for cache in node.memory_side_caches
        ]
    return "\n".join(text)


def _distances(topology: Topology) -> str:
    table = topology.distances
    if not table:
        return ""
    ids = sorted(table)
    if len(ids) > _MOST_DISTANCES:
        seen = sorted({d for row in table.values() for d in row.values()})
        return _wrap(f"distances between nodes: {', '.join(map(str, seen))} (all of them with --json)", 2)
    rows = [("distance", *map(str, ids))]
    rows += [(f"node {a}", *(str(table[a][b]) for b in ids)) for a in ids]
    return _table(rows, right=range(1, len(ids) + 1))


def _claims(nodes: Iterable[Node]) -> str:
    """What the firmware claims (HMAT); most machines say nothing."""
    rows = [("firmware claims", "from nodes", "read", "write")]
    for node in nodes:
        access = node.access
        read, write = (_figures(access, way) for way in ("read", "write"))
        if access and (read or write):
            rows.append((f"memory of node {node.id}", format_list(access.initiators), read, write))
    return _table(rows) if len(rows) > 1 else ""


def _figures(access: Access | None, way: str) -> str:
    latency, bandwidth = (
        getattr(access, f"{way}_{what}", None) for what in ("latency_ns", "bandwidth_mib_s")
    )
    parts = [f"{latency} ns" if latency else "", f"{bandwidth / 1024:.3g} GiB/s" if bandwidth else ""]
    return ", ".join(part for part in parts if part)


def _processors(topology: Topology) -> str:
    lines = _sockets(topology)
    widest = max((len(core) for core in topology.smt_siblings), default=1)
    if widest > 1:
        first = format_list(topology.smt_siblings[0])
        lines.append(f"SMT: up to {widest} CPUs a core (the first core is CPUs {first})")
    domains = topology.l3_domains
    if domains:
        sizes = sorted({domain.size_kib or 0 for domain in domains})
        size = f" of {' or '.join(memory_text(size) for size in sizes)}" if sizes != [0] else ""
        counts = {len(domain.cpus) for domain in domains}
        each = f", {plural(counts.pop(), 'CPU')} each" if len(counts) == 1 else ""
        lines.append(f"L3: {plural(len(domains), 'domain')}{size}{each}")
    lines += [_wrap(f"{kind.name} cores: CPUs {brief(kind.cpus)}", 2) for kind in topology.cpu_kinds]
    return "\n".join(lines)


def _sockets(topology: Topology) -> list[str]:
    if len(topology.sockets) < 2:
        return []
    nodes = [node for node in topology.nodes if node.cpus]
    if any(
        0 < len(node.cpus & socket.cpus) < len(node.cpus) for node in nodes for socket in topology.sockets
    ):
        return [_wrap(f"socket {socket.id}: CPUs {brief(socket.cpus)}", 2) for socket in topology.sockets]
    held = {s.id: format_list(node.id for node in nodes if node.cpus & s.cpus) for s in topology.sockets}
    words = [
        f"socket {number}: {'nodes' if set(ids) & set(',-') else 'node'} {ids}"
        for number, ids in held.items()
    ]
    return [_wrap("; ".join(words), 2)]


def _devices(topology: Topology) -> str:
    shown = [device for device in topology.devices if device.kind in (*DRAWN_DEVICES, "display")]
    if not shown:
        return ""
    rows = [("device", "kind", "node", "id", "name")]
    for device in shown:
        node = "?" if device.node is None else str(device.node)
        identity = f"{device.vendor}:{device.device}".replace("0x", "")
        rows.append((device.address, device.kind, node, identity, " ".join(device.names)))
    table = _table(rows)
    return table if all(row[2] != "?" for row in rows) else f"{table}\n(?: the kernel does not know the node)"


def _table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    aligned = set(right)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in aligned else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _wrap(words: str, indent: int) -> str:
    # Lists of CPUs have no blanks: give them places to break.
    spaced = words.replace(",", ",\u200b")
    lines = textwrap.wrap(spaced.replace("\u200b", " \u200b"), _WIDTH, subsequent_indent=" " * indent)
    return "\n".join(line.replace(" \u200b", "").replace("\u200b", "") for line in lines)
