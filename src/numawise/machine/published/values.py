"""What is known of a published machine, and where each field comes from."""

from __future__ import annotations

from typing import Literal

import msgspec

from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Allowed, L3Domain, Node, NodeKind, Socket, Topology

Relation = Literal[
    "local",
    "domain",
    "socket",
    "two-hops",
    "cxl",
    "host-to-device",
    "device-to-host",
    "host-to-device-far",
    "device-to-host-far",
]
"""From CPUs to memory: of their own node, of another node of their socket, of the other socket, of a node two
links away, of a CXL node; from a node's memory to a device next to it and back, and the same across the
sockets.
"""
Origin = Literal["specification", "assumed"]

_DISTANCES = {"local": 10, "domain": 12, "socket": 21, "cxl": 31, "gpu": 40}


class Link(msgspec.Struct, frozen=True):
    """One way from CPUs or a device to memory. What was not published is None."""

    relation: Relation
    latency_ns: tuple[float, float] | None = None
    """Idle latency, from the least to the most that was published."""
    gb_per_s: float | None = None
    """Read bandwidth of one node's CPUs, or of one device, in 10**9 bytes a second."""


class ExtraNode(msgspec.Struct, frozen=True):
    """A node that has memory but no CPU."""

    kind: NodeKind
    memory_gib: float


class Published(msgspec.Struct, frozen=True):
    """A machine as published. Fields that the source does not give are named in `origins`."""

    title: str
    model_name: str
    """As /proc/cpuinfo has it."""
    vendor: Literal["intel", "amd", "nvidia"]
    architecture: str
    sockets: int
    nodes_per_socket: int
    """Nodes with CPUs."""
    cores_per_socket: int
    threads_per_core: int
    l3_domains_per_socket: int
    l3_kib_per_domain: int
    ghz: float
    """Base frequency."""
    flops_per_cycle: int
    """Most float32 operations of one core in one cycle, a fused multiply-add counting two."""
    memory_gib_per_node: float
    links: tuple[Link, ...]
    source: str
    """Where the figures of `links` were published."""
    specification: str
    """Where the fields with the origin `specification` are from."""
    origins: dict[str, Origin]
    """Of the fields that `source` does not give."""
    extra_nodes: tuple[ExtraNode, ...] = ()
    name: str = ""
    """The file's name."""

    @property
    def nodes(self) -> int:
        """Nodes with CPUs."""
        return self.sockets * self.nodes_per_socket

    def link(self, relation: Relation) -> Link | None:
        """The way of this relation; None when none was published."""
        return next((link for link in self.links if link.relation == relation), None)

    def relation(self, cpu_node: int, memory_node: int) -> Relation:
        """How the CPUs of a node stand to the memory of another, nodes numbered as `topology` does.

        Raises KeyError for a node that is not there.
        """
        if not 0 <= cpu_node < self.nodes or not 0 <= memory_node < self.nodes + len(self.extra_nodes):
            raise KeyError((cpu_node, memory_node))
        if memory_node >= self.nodes:
            return "cxl" if self.extra_nodes[memory_node - self.nodes].kind == "cxl" else "device-to-host"
        if cpu_node == memory_node:
            return "local"
        same = cpu_node // self.nodes_per_socket == memory_node // self.nodes_per_socket
        return "domain" if same else "socket"

    def topology(self) -> Topology:
        """Such a machine, numbered as Linux does: first threads of all cores, then their siblings.

        Nodes without CPUs come last. Distances are the usual SLIT values of these relations, not published.
        """
        cores = self.sockets * self.cores_per_socket
        siblings = [CPUSet(c + t * cores for t in range(self.threads_per_core)) for c in range(cores)]

        def part(index: int, parts: int) -> CPUSet:
            """CPUs of one of `parts` equal pieces of the machine."""
            first, last = index * cores // parts, (index + 1) * cores // parts
            return CPUSet(cpu for core in siblings[first:last] for cpu in core)

        nodes = [
            Node(i, part(i, self.nodes), _kib(self.memory_gib_per_node), "dram") for i in range(self.nodes)
        ]
        nodes += [
            Node(self.nodes + i, CPUSet(), _kib(extra.memory_gib), extra.kind)
            for i, extra in enumerate(self.extra_nodes)
        ]
        domains = self.sockets * self.l3_domains_per_socket
        every = part(0, 1)
        return Topology(
            cpus=every,
            cores=cores,
            nodes=tuple(nodes),
            distances={a.id: {b.id: self._distance(a.id, b.id) for b in nodes} for a in nodes},
            allowed=Allowed(every, tuple(node.id for node in nodes)),
            smt_siblings=tuple(siblings),
            sockets=tuple(Socket(i, part(i, self.sockets)) for i in range(self.sockets)),
            l3_domains=tuple(L3Domain(part(i, domains), self.l3_kib_per_domain) for i in range(domains)),
            transparent_huge_pages="madvise",
            weighted_interleave=True,
            architecture=self.architecture,
            model_name=self.model_name,
        )

    def _distance(self, one: int, other: int) -> int:
        if one == other:
            return _DISTANCES["local"]
        if max(one, other) >= self.nodes:
            return _DISTANCES[
                "cxl" if self.extra_nodes[max(one, other) - self.nodes].kind == "cxl" else "gpu"
            ]
        return _DISTANCES[self.relation(one, other)]


class Normal(msgspec.Struct, frozen=True):
    """What is normal for a kind of machine: memory of the other socket against a node's own, least to most."""

    machines: tuple[str, ...]
    """Names of those it is from."""
    latency_ratio: tuple[float, float] | None
    """Remote over local; None when none of them published both."""
    bandwidth_ratio: tuple[float, float] | None
    """Remote over local."""
    local_latency_ns: tuple[float, float] | None = None
    local_gb_per_s: tuple[float, float] | None = None


def _kib(gib: float) -> int:
    return round(gib * 2**20)
