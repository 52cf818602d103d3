"""What a machine is: one frozen value, compared by value, with one JSON form.

Ids are the kernel's own (OS ids), never positions: nodes 0, 1, 8, 250 exist on real machines.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from numawise.linux.cpuset import CPUSet

NodeKind = Literal["dram", "cpuless", "hbm", "cxl", "gpu"]
DeviceKind = Literal["gpu", "nic", "nvme", "accelerator", "display", "other"]


class HugePages(msgspec.Struct, frozen=True):
    """One pool of huge pages of a node."""

    size_kib: int
    total: int
    free: int


class MemorySideCache(msgspec.Struct, frozen=True):
    """A cache in front of a node's memory (HBM in cache mode, for instance); invisible to CPU cache
    listings.
    """

    level: int
    size_kib: int
    line_bytes: int | None = None


class Access(msgspec.Struct, frozen=True):
    """What the firmware's HMAT claims for this node's memory from its nearest initiators (CPUs).

    Latency in ns, bandwidth in MiB/s; None where the firmware does not say.
    """

    initiators: tuple[int, ...]
    read_latency_ns: int | None = None
    write_latency_ns: int | None = None
    read_bandwidth_mib_s: int | None = None
    write_bandwidth_mib_s: int | None = None


class Node(msgspec.Struct, frozen=True):
    """A NUMA node: CPUs that share a memory, either of which may be missing."""

    id: int
    cpus: CPUSet
    memory_kib: int
    kind: NodeKind
    free_kib: int | None = None
    reclaimable_kib: int | None = None
    """Page cache and slab that the kernel gives up when memory is asked for (without shared memory)."""
    huge_pages: tuple[HugePages, ...] = ()
    memory_side_caches: tuple[MemorySideCache, ...] = ()
    access: Access | None = None

    @property
    def available_kib(self) -> int:
        """What can be had of its memory: free and reclaimable, or all of it where that is not known."""
        return self.memory_kib if self.free_kib is None else self.free_kib + (self.reclaimable_kib or 0)


class Socket(msgspec.Struct, frozen=True):
    """A processor package, with its online CPUs."""

    id: int
    cpus: CPUSet


class L3Domain(msgspec.Struct, frozen=True):
    """The CPUs that share one last-level cache (a core complex on AMD)."""

    cpus: CPUSet
    size_kib: int | None = None


class CPUKind(msgspec.Struct, frozen=True):
    """CPUs of one kind on a hybrid machine (`performance`, `efficiency`, or the kernel's capacity class)."""

    name: str
    cpus: CPUSet


class Device(msgspec.Struct, frozen=True):
    """A PCI device worth placing next to. `node` is None when the kernel does not know, never 0 by
    default.
    """

    address: str
    kind: DeviceKind
    node: int | None
    vendor: str = ""
    device: str = ""
    names: tuple[str, ...] = ()
    local_cpus: CPUSet = CPUSet()
    memory_node: int | None = None
    """The node that is this GPU's own memory (POWER9, Grace), where the driver says so."""


class Allowed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What cpuset, cgroup and affinity let this process use. In JSON a limit that is not there is left out."""

    cpus: CPUSet
    nodes: tuple[int, ...]
    cpu_quota: float | None = None
    """CPUs' worth of time that control groups grant, however many CPUs may be used; None: no quota is known."""
    memory_limit_kib: int | None = None
    """The memory limit of the control group that leaves the least room; None: no limit is known."""
    memory_room_kib: int | None = None
    """What was left until that limit, with the page cache that the kernel gives up for it."""


class Topology(msgspec.Struct, frozen=True):
    """The whole machine. `numawise.machine.read` makes it; `placement.plan` uses nothing else."""

    cpus: CPUSet
    """Online CPUs."""
    cores: int
    """How many physical cores, that is `len(smt_siblings)`."""
    nodes: tuple[Node, ...]
    distances: dict[int, dict[int, int]] | None
    """SLIT distances from node to node; None where the firmware gives none."""
    allowed: Allowed
    devices: tuple[Device, ...] = ()
    smt_siblings: tuple[CPUSet, ...] = ()
    """One entry a physical core: its online logical CPUs."""
    sockets: tuple[Socket, ...] = ()
    l3_domains: tuple[L3Domain, ...] = ()
    cpu_kinds: tuple[CPUKind, ...] = ()
    offline_cpus: CPUSet = CPUSet()
    page_size_kib: int = 4
    transparent_huge_pages: str | None = None
    """`always`, `madvise` or `never`; None when the kernel has none."""
    weighted_interleave: bool = False
    """The kernel offers memory policy 6 (Linux 6.9)."""
    architecture: str = ""
    model_name: str = ""
    notes: tuple[str, ...] = ()
    """What is strange here and how it was resolved; empty on a healthy machine."""
    version: int = 1
    """Version of this JSON form; a larger one is refused on load."""

    def node(self, node_id: int) -> Node:
        """The node with this OS id. Raises KeyError."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    def node_of_cpu(self, cpu: int) -> int | None:
        """The OS id of the node that holds this CPU, or None."""
        return next((node.id for node in self.nodes if cpu in node.cpus), None)
