"""How much CPU time the control groups of this process let it have, in CPUs (cgroups(7), cpu controller).

A quota takes no CPU away: all stay visible, and a process that runs on more of them at once than the quota pays for
is stopped for the rest of each period (`Documentation/scheduler/sched-bwc.rst`).
"""

from __future__ import annotations

from collections.abc import Callable

from numawise.linux.cgroup import groups

Read = Callable[[str], "str | None"]
"""The text of the file at an absolute path, None when there is none."""


def cpu_quota(read: Read) -> float | None:
    """CPUs' worth of time in each period, by the tightest quota of the process's own group or one above it.

    None: no quota is known. What cannot be read, or is not understood, sets none here.

    >>> files = {
    ...     "/proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0",
    ...     "/proc/self/cgroup": "0::/a/b",
    ...     "/sys/fs/cgroup/a/cpu.max": "150000 100000",
    ...     "/sys/fs/cgroup/a/b/cpu.max": "max 100000",
    ... }
    >>> cpu_quota(files.get)
    1.5
    """
    mounts, own = read("/proc/mounts") or read("/proc/self/mounts"), read("/proc/self/cgroup")
    quotas = [
        _version_2(read, folder) if kind == "cgroup2" else _version_1(read, folder)
        for kind, folders in groups(mounts or "", own or "", "cpu")
        for folder in folders
    ]
    return min((quota for quota in quotas if quota is not None), default=None)


def _version_2(read: Read, folder: str) -> float | None:
    quota, _, period = (read(f"{folder}/cpu.max") or "").strip().partition(" ")
    return _ratio(quota, period or "100000")  # the kernel's own period where a short form leaves it out


def _version_1(read: Read, folder: str) -> float | None:
    quota, period = ((read(f"{folder}/cpu.cfs_{name}_us") or "").strip() for name in ("quota", "period"))
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    # "max" and -1 stand for none.
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)
