"""`numactl --hardware`: the nodes, their CPUs, memory and distances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from numawise.linux.cpuset import format_list
from numawise.linux.node_figures import NODES, node_ids, read_meminfo
from numawise.linux.nodes import read_cpu_nodes
from numawise.linux.procfs import read_text


class Node(NamedTuple):
    """A node as the inventory shows it."""

    id: int
    cpus: tuple[int, ...]
    size_mb: float | None
    """None: the kernel does not say."""
    free_mb: float | None
    distances: tuple[int, ...]
    """To all nodes, in the order of their ids; empty where the kernel does not say."""


def read_nodes() -> list[Node]:
    """All nodes that are online."""
    of = read_cpu_nodes()
    found = []
    for node in node_ids():
        cpus = tuple(sorted(cpu for cpu, at in of.items() if at == node))
        try:
            memory = read_meminfo(node)
        except OSError:
            memory = {}
        found.append(Node(node, cpus, memory.get("MemTotal"), memory.get("MemFree"), _distances(node)))
    return found


def lines(nodes: list[Node], *, compress: bool) -> Iterator[str]:
    """The lines of `--hardware`; `compress`: CPUs as ranges, with their number after them."""
    ids = [node.id for node in nodes]
    yield f"available: {len(nodes)} nodes ({format_list(ids)})"
    for node in nodes:
        yield f"node {node.id} cpus:{_compressed(node.cpus) if compress else ''.join(f' {c}' for c in node.cpus)}"
        yield f"node {node.id} size: {_size(node.size_mb)}"
        yield f"node {node.id} free: {_size(node.free_mb)}"
    if not all(len(node.distances) == len(nodes) for node in nodes):
        yield "No distance information available."
        return
    yield "node distances:"
    yield "node " + "".join(f"{node:3d} " for node in ids)
    for node in nodes:
        yield f"{node.id:3d}: " + "".join(f"{distance:3d} " for distance in node.distances)


def json_text(nodes: list[Node]) -> str:
    """The same as one JSON document; sizes in MB of 2^20 bytes, distances by node."""
    import json

    ids = [str(node.id) for node in nodes]
    return json.dumps(
        {
            "nodes": [
                {
                    "id": node.id,
                    "cpus": format_list(node.cpus),
                    "size_mb": node.size_mb,
                    "free_mb": node.free_mb,
                    "distances": dict(zip(ids, node.distances, strict=False)),
                }
                for node in nodes
            ]
        }
    )


def _compressed(cpus: tuple[int, ...]) -> str:
    return f" {format_list(cpus).replace(',', ' ')} ({len(cpus)})" if cpus else ""


def _size(mb: float | None) -> str:
    return "<not available>" if mb is None else f"{int(mb)} MB"


def _distances(node: int) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in read_text(f"{NODES}/node{node}/distance").split())
    except (OSError, ValueError):
        return ()
