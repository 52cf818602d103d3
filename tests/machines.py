"""Machines as values, for tests of what is pure."""

from __future__ import annotations

from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Allowed, L3Domain, Node, Socket, Topology

GIB = 1024**2


def two_sockets(
    cores_per_node: int = 8,
    *,
    smt: bool = True,
    memory_kib: int = 64 * GIB,
    cpuless: bool = False,
    ids: tuple[int, int] = (0, 1),
    allowed_cpus: str | None = None,
    allowed_nodes: tuple[int, ...] | None = None,
    thp: str = "always",
    weighted: bool = False,
) -> Topology:
    """Two nodes as Linux numbers them: first threads of all cores, then their siblings; on request a CPU-less third."""
    n = cores_per_node
    cores = [CPUSet([c, c + 2 * n] if smt else [c]) for c in range(2 * n)]
    cpus = [CPUSet(cpu for core in cores[i * n : (i + 1) * n] for cpu in core) for i in range(2)]
    nodes = [Node(ids[i], cpus[i], memory_kib, "dram", free_kib=memory_kib) for i in range(2)]
    if cpuless:
        nodes.append(Node(max(ids) + 1, CPUSet(), memory_kib // 4, "cpuless", free_kib=memory_kib // 4))
    every = CPUSet(c for core in cores for c in core)
    far = {node.id: {other.id: 10 if other is node else 21 for other in nodes} for node in nodes}
    return Topology(
        cpus=every,
        cores=2 * n,
        nodes=tuple(nodes),
        distances=far,
        allowed=Allowed(
            every if allowed_cpus is None else CPUSet.parse(allowed_cpus),
            tuple(node.id for node in nodes) if allowed_nodes is None else allowed_nodes,
        ),
        smt_siblings=tuple(cores),
        sockets=tuple(Socket(i, cpus[i]) for i in range(2)),
        l3_domains=tuple(L3Domain(cpus[i], 32768) for i in range(2)),
        transparent_huge_pages=thp,
        weighted_interleave=weighted,
    )


def one_node(cpus: int = 2, memory_kib: int = 24 * GIB, thp: str = "always") -> Topology:
    """An edge box: one node, no SMT."""
    every = CPUSet(range(cpus))
    return Topology(
        cpus=every,
        cores=cpus,
        nodes=(Node(0, every, memory_kib, "dram", free_kib=memory_kib),),
        distances={0: {0: 10}},
        allowed=Allowed(every, (0,)),
        smt_siblings=tuple(CPUSet([c]) for c in every),
        sockets=(Socket(0, every),),
        transparent_huge_pages=thp,
    )
