"""What cpuset, cgroup and affinity let this process (or the captured one) use."""

from __future__ import annotations

import os

from numawise.linux.cgroup import candidate_files
from numawise.linux.cpu_quota import cpu_quota
from numawise.linux.cpuset import CPUSet, format_list
from numawise.linux.memory_limit import memory_limit
from numawise.linux.sysfs import field, parse_list, parse_map
from numawise.machine.root import Root
from numawise.machine.topology import Allowed


def read_allowed(
    root: Root, online: frozenset[int], nodes: tuple[int, ...], *, one_for_all: bool
) -> tuple[Allowed, tuple[str, ...]]:
    """The allowed online CPUs and existing nodes, and notes where the system's answer made no sense.

    The live process is asked itself (sched_getaffinity(2)); in a captured tree its `/proc/self/status`
    answers, else its cgroup or cpuset. `one_for_all`: there is one node for the whole machine, so memory is
    not restricted.
    """
    cpus, mems = asked(root)
    notes = []
    allowed_cpus = online if cpus is None else online & cpus
    if not allowed_cpus:
        notes.append(f"the allowed CPUs ({format_list(cpus or ())}) are all offline: taken as unrestricted")
        allowed_cpus = online
    allowed_nodes = nodes if mems is None or one_for_all else tuple(node for node in nodes if node in mems)
    if not allowed_nodes:
        notes.append(f"the allowed nodes ({format_list(mems or ())}) do not exist: taken as unrestricted")
        allowed_nodes = nodes
    limit = memory_limit(lambda path: root.read(path.lstrip("/")))
    allowed = Allowed(
        cpus=CPUSet(allowed_cpus),
        nodes=allowed_nodes,
        cpu_quota=cpu_quota(lambda path: root.read(path.lstrip("/"))),
        memory_limit_kib=limit.limit_kib if limit else None,
        memory_room_kib=limit.room_kib if limit else None,
    )
    return allowed, tuple(notes)


def asked(root: Root) -> tuple[frozenset[int] | None, frozenset[int] | None]:
    """The CPUs and nodes the system says this process may use, as it says them; None: it does not say."""
    cpus, mems = _from_status(root)
    if root.live:
        cpus = frozenset(os.sched_getaffinity(0))
    # Each by itself: a copied status file may hold one of them only.
    if cpus is None:
        cpus = _from_cgroups(root, "cpus")
    if mems is None:
        mems = _from_cgroups(root, "mems")
    return cpus, mems


def _from_status(root: Root) -> tuple[frozenset[int] | None, frozenset[int] | None]:
    status = root.read("proc/self/status")
    # Kernels before 2.6.26 have the maps only.
    cpus, mems = (
        parse_list(field(status, f"{what}_allowed_list")) or parse_map(field(status, f"{what}_allowed"))
        for what in ("Cpus", "Mems")
    )
    return cpus or None, mems or None


def _from_cgroups(root: Root, what: str) -> frozenset[int] | None:
    mounts = root.read("proc/mounts") or root.read("proc/self/mounts")
    cgroup, cpuset = root.read("proc/self/cgroup"), root.read("proc/self/cpuset")
    if mounts is None:
        return None
    allowed: frozenset[int] | None = None
    for files in candidate_files(mounts, cgroup, cpuset, what):
        sets = (parse_list(root.read(file.lstrip("/"))) for file in files)
        found = next((ids for ids in sets if ids), None)
        if found is not None:
            allowed = found if allowed is None else allowed & found
    return allowed
