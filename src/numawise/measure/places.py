"""Which CPUs and which nodes take part in a measurement: pure, for any machine in a file."""

from __future__ import annotations

from collections.abc import Iterable

from numawise.linux.cpuset import CPUSet, format_list
from numawise.machine.topology import Node, Topology

LLC_UNKNOWN_KIB = 32 * 1024
"""Taken for the last-level cache of a core where the machine does not tell: buffers become 128 MiB."""
LLC_FACTOR = 4
"""A buffer is at least so many times the last-level caches of the threads that use it."""


def cores_of(topology: Topology, node_id: int) -> tuple[int, ...]:
    """One allowed CPU of each core of a node, spread over its L3 domains in turn, as the OS numbers them.

    So the first two share no L3 domain where there are two: few threads get the most of a node that way.
    """
    node = topology.node(node_id)
    allowed = CPUSet(node.cpus & topology.allowed.cpus)
    cores = topology.smt_siblings or tuple(CPUSet([cpu]) for cpu in allowed)
    first = [min(mine) for core in cores if (mine := core & allowed)]
    domains: dict[int, list[int]] = {}
    for cpu in sorted(first):
        domains.setdefault(_domain(topology, cpu), []).append(cpu)
    queues = [domains[key] for key in sorted(domains)]
    longest = max(map(len, queues), default=0)
    return tuple(queue[i] for i in range(longest) for queue in queues if i < len(queue))


def siblings_of(topology: Topology, node_id: int) -> tuple[int, ...]:
    """All allowed CPUs of a node, SMT siblings included."""
    return tuple(topology.node(node_id).cpus & topology.allowed.cpus)


def cpu_nodes(topology: Topology) -> tuple[int, ...]:
    """The nodes that have CPUs this process may use, by id."""
    return tuple(sorted(node.id for node in topology.nodes if node.cpus & topology.allowed.cpus))


def memory_nodes(topology: Topology) -> tuple[int, ...]:
    """The nodes whose memory this process may use, CPU-less ones included, by id."""
    nodes = (node for node in topology.nodes if node.memory_kib > 0)
    return tuple(sorted(node.id for node in nodes if node.id in topology.allowed.nodes))


def refused(topology: Topology, node: Node) -> str:
    """Why nothing can be measured in the memory of this node; empty when something can."""
    if node.memory_kib <= 0:
        return f"node {node.id} has no memory"
    if node.id not in topology.allowed.nodes:
        return (
            f"node {node.id}: its memory is not allowed to this process, the cpuset allows nodes "
            f"{format_list(topology.allowed.nodes)}; measure from outside of it"
        )
    return ""


def silent_nodes(topology: Topology) -> tuple[Node, ...]:
    """Nodes with CPUs none of which this process may use."""
    return tuple(node for node in topology.nodes if node.cpus and not node.cpus & topology.allowed.cpus)


def nearest_memory(topology: Topology, node_id: int) -> int | None:
    """The allowed node with memory that is nearest by SLIT: the node itself where it has memory."""
    nodes = memory_nodes(topology)
    if node_id in nodes:
        return node_id
    row = (topology.distances or {}).get(node_id, {})
    return min(nodes, key=lambda other: (row.get(other, 255), other), default=None)


def last_level_kib(topology: Topology, cpus: Iterable[int]) -> int:
    """The last-level caches that these CPUs use, together, in KiB; `LLC_UNKNOWN_KIB` where it is not known."""
    used = set(cpus)
    total = sum(domain.size_kib or 0 for domain in topology.l3_domains if used & set(domain.cpus))
    return total or LLC_UNKNOWN_KIB


def idle_watchers(topology: Topology, cpus: Iterable[int]) -> tuple[int, ...]:
    """One allowed CPU of every socket but those of `cpus`, to be kept busy: an idle socket lowers its uncore
    clock, and its memory looks slower than it is.
    """
    mine = set(cpus)
    others = (socket for socket in topology.sockets if not mine & set(socket.cpus))
    return tuple(min(free) for socket in others if (free := socket.cpus & topology.allowed.cpus))


def around_caches(topology: Topology, kernel: str) -> str:
    """The variant of `write`, `copy` or `triad` that stores around the caches, where the architecture has such stores.

    >>> from numawise.machine import read
    >>> around_caches(read(), "copy") in ("copy", "copy_nt")
    True
    """
    return f"{kernel}_nt" if topology.architecture == "x86_64" else kernel


def _domain(topology: Topology, cpu: int) -> int:
    return next((i for i, domain in enumerate(topology.l3_domains) if cpu in domain.cpus), -1)
