"""What numactl's options do to this process, one after the other, before the program takes its place."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable

from numawise.cli.classic.complaint import Complaint, refused
from numawise.cli.classic.numactl_options import POLICIES
from numawise.errors import UsageError
from numawise.linux import syscalls
from numawise.linux.cpuset import CPUSet, format_list
from numawise.linux.node_figures import node_ids
from numawise.linux.nodes import read_cpu_nodes
from numawise.linux.procfs import read_text
from numawise.linux.sysfs import field, parse_list
from numawise.placement.nodestring import Ids, parse

_NEEDS = {
    "weighted-interleave": "it needs Linux 6.9",
    "preferred-many": "it needs Linux 5.15",
}
_NO_MEMORY = "have these nodes any memory that this process may use?"


class Naming:
    """What texts of nodes and CPUs mean for this process."""

    def __init__(self) -> None:
        self.everything = False
        """`--all` was given: what exists is allowed."""
        self._previous: frozenset[int] | None = None
        # As it was at the start: what an option before has bound does not limit the options after it.
        self._affinity = frozenset(os.sched_getaffinity(0))

    def for_memory(self, text: str) -> frozenset[int]:
        """The nodes that a memory policy's text names. Raises Complaint."""
        return self._nodes(text, frozenset(allowed_nodes()))

    def for_cpus(self, text: str) -> frozenset[int]:
        """The nodes whose CPUs are meant: one needs no memory for that, only a CPU that is allowed."""
        of = read_cpu_nodes()
        near = {of[cpu] for cpu in self._affinity if cpu in of}
        return self._nodes(text, frozenset({*allowed_nodes(), *near}))

    def cpus(self, text: str) -> frozenset[int]:
        """The CPUs that a text names. Raises Complaint."""
        online = online_cpus()
        allowed = online if self.everything else self._affinity
        return _parse(text, Ids("CPU", online | allowed, allowed))

    def _nodes(self, text: str, allowed: frozenset[int]) -> frozenset[int]:
        existing = frozenset(node_ids())
        allowed = existing if self.everything else allowed & existing
        self._previous = _parse(text, Ids("node", existing, allowed, self._previous, _nodes_of_device))
        return self._previous


def set_policy(option: str, nodes: Iterable[int], *, balancing: bool) -> None:
    """Give this process the memory policy that `option` means. Raises Complaint."""
    mode, doing = POLICIES[option]
    flags = syscalls.MPOL_F_NUMA_BALANCING if balancing and mode == "bind" else 0
    try:
        try:
            syscalls.set_mempolicy(mode, nodes, flags=flags)
        except OSError as error:
            if not flags or error.errno != errno.EINVAL:
                raise
            syscalls.set_mempolicy(mode, nodes)
            print(
                "numactl: --balancing is left out: this kernel knows none within a binding", file=sys.stderr
            )
    except OSError as error:
        raise refused(doing, error, _NEEDS.get(mode, _NO_MEMORY)) from None


def run_on_nodes(nodes: Iterable[int]) -> None:
    """Confine this process to the CPUs of `nodes`. Raises Complaint."""
    of = read_cpu_nodes()
    wanted = set(nodes)
    cpus = {cpu for cpu, node in of.items() if node in wanted}
    if not cpus:
        plural = "s have" if len(wanted) > 1 else " has"
        raise Complaint(
            f"sched_setaffinity: node{plural[:-5]} {format_list(wanted)}{plural[-5:]} no CPUs to run on"
        )
    run_on_cpus(cpus)


def run_on_cpus(cpus: Iterable[int]) -> None:
    """Confine this process to `cpus`. Raises Complaint."""
    wanted = sorted(cpus)
    try:
        os.sched_setaffinity(0, wanted)
    except OSError as error:
        hint = f"none of the CPUs {format_list(wanted)} is in this process's cpuset"
        raise refused("sched_setaffinity", error, hint) from None


def allowed_nodes() -> tuple[int, ...]:
    """The nodes this process may have memory on; where seccomp refuses the question, `/proc` answers it."""
    try:
        return syscalls.mems_allowed()
    except OSError:
        listed = parse_list(field(read_text("/proc/self/status"), "Mems_allowed_list"))
        return tuple(sorted(listed or ()))


def online_cpus() -> frozenset[int]:
    """All CPUs there are to run on."""
    try:
        return frozenset(CPUSet.parse(read_text("/sys/devices/system/cpu/online")))
    except OSError:
        return frozenset(os.sched_getaffinity(0))


def check_numa() -> None:
    """Raise Complaint where the kernel has no nodes to speak of."""
    if not node_ids():
        raise Complaint("No NUMA support available on this system.")


def _nodes_of_device(kind: str, name: str) -> frozenset[int]:
    from numawise.linux.device_nodes import nodes_of

    return nodes_of(kind, name)


def _parse(text: str, ids: Ids) -> frozenset[int]:
    try:
        return parse(text, ids)
    except UsageError as error:
        raise Complaint(f"<{text}> is invalid: {error}", usage=True) from None
