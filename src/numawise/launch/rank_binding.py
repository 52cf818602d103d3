"""What the launcher did about CPUs before it started this rank: did it bind each rank, and did that go well?

A mask narrower than the cpuset may be the launcher's own (`taskset mpirun ...`), for its ranks to share out, or this
rank's (`mpirun --bind-to core`), which is to be kept. The launcher is the nearest process above us that is not itself
this rank, and its other children are the other ranks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import msgspec

from numawise.launch.launchers import Rank, named
from numawise.linux import procfs
from numawise.linux.cgroup import candidate_files
from numawise.linux.cpuset import CPUSet
from numawise.linux.sysfs import field, parse_list

_ABOVE = 32
"""Wrappers between the launcher and us (shells, numactl, env) that are looked through."""
_WAIT_S = 0.1
"""For the other ranks to be started; a launcher starts them one after the other."""
_VISIBILITY = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "ASCEND_RT_VISIBLE_DEVICES",
)


class Binding(msgspec.Struct, frozen=True):
    """What the launcher did about this rank's CPUs and GPUs."""

    own: bool = False
    """It gave this rank CPUs narrower than its own and the cpuset's: these are kept."""
    without: CPUSet = CPUSet()
    """The CPUs there would be without that."""
    allotted: int = 0
    """How many of these the ranks may use together; a scheduler may keep the rest for others."""
    sharing: tuple[int, ...] = ()
    """Local ranks seen with exactly these CPUs, this one included; empty unless `own`."""
    same_gpus: bool = False
    """The variables that restrict GPUs are the launcher's own, hence the same for all its ranks."""


def read_binding(rank: Rank, environ: Mapping[str, str]) -> Binding:
    """Look at this process, its cpuset, its launcher and, where that bound us, the other ranks."""
    cpus = CPUSet(os.sched_getaffinity(0))
    confined = _cpuset()
    launcher = _launcher(rank) if procfs.shows_us() else None
    above = _cpus_of(launcher) if launcher is not None else None
    same_gpus = launcher is not None and _same_gpus(launcher, environ)
    without = confined if above is None else CPUSet(above & confined) or confined
    allotted = getattr(named(rank.launcher), "allotted", lambda _: None)(environ) or len(without)
    if not cpus < without or len(cpus) >= allotted:
        return Binding(same_gpus=same_gpus)
    return Binding(True, without, min(allotted, len(without)), _sharing(rank, launcher, cpus), same_gpus)


def _cpuset() -> CPUSet:
    """The CPUs that the cgroup leaves us; all that are online where none says."""
    online = parse_list(_text("/sys/devices/system/cpu/online")) or frozenset(os.sched_getaffinity(0))
    found = frozenset(online)
    mounts = _text("/proc/self/mounts") or ""
    for files in candidate_files(mounts, _text("/proc/self/cgroup"), _text("/proc/self/cpuset"), "cpus"):
        sets = (parse_list(_text(file)) for file in files)
        found &= next((ids for ids in sets if ids), found)
    return CPUSet(found)


def _launcher(rank: Rank) -> int | None:
    """The nearest process above us that was not started as this rank."""
    pid = os.getppid()
    wanted = {f"{name}={value}" for name, value in rank.variables.items()}
    for _ in range(_ABOVE):
        if pid <= 0:
            return None
        try:
            if not wanted <= set(procfs.read_environment(pid)):
                return pid
            pid = procfs.read_stat(pid).parent
        except PermissionError:
            return pid  # another user's, such as slurmstepd: no program of ours
        except OSError:
            return None
    return None


def _sharing(rank: Rank, launcher: int | None, cpus: CPUSet) -> tuple[int, ...]:
    if launcher is None or (rank.local_world or 1) < 2:
        return (rank.local_rank,)
    until = time.monotonic() + _WAIT_S
    while True:
        others = _ranks_below(launcher, rank)
        everyone = len(others | {rank.local_rank: cpus}) >= (rank.local_world or 1)
        if everyone or not others or time.monotonic() > until:  # none, not even us: they cannot be seen here
            return tuple(sorted({rank.local_rank, *(r for r, theirs in others.items() if theirs == cpus)}))
        time.sleep(0.01)


def _ranks_below(launcher: int, rank: Rank) -> dict[int, CPUSet]:
    """The CPUs of each local rank that the launcher has started."""
    found: dict[int, CPUSet] = {}
    read = named(rank.launcher).read
    for pid in _children(launcher):
        try:
            pairs = (line.partition("=") for line in procfs.read_environment(pid))
            other = read({name: value for name, _, value in pairs})
        except (OSError, ValueError):
            continue  # ended, or another user's
        cpus = _cpus_of(pid)
        if other is not None and cpus is not None:
            found[other.local_rank] = cpus
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for tid in procfs.thread_ids(pid):
            found += map(int, procfs.read_text(f"/proc/{pid}/task/{tid}/children").split())
    except OSError:
        return found  # a thread ended, or this kernel has no such files
    return found


def _cpus_of(pid: int) -> CPUSet | None:
    cpus = parse_list(field(_text(f"/proc/{pid}/status"), "Cpus_allowed_list"))
    return CPUSet(cpus) if cpus else None


def _same_gpus(launcher: int, environ: Mapping[str, str]) -> bool:
    try:
        theirs = dict(line.partition("=")[::2] for line in procfs.read_environment(launcher))
    except OSError:
        return False
    return all(theirs.get(name) == environ.get(name) for name in _VISIBILITY)


def _text(path: str) -> str | None:
    try:
        return procfs.read_text(path)
    except OSError:
        return None
