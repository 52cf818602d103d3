"""How long CPUs had nothing to do: whether a program that used little of them was waiting, or was kept waiting."""

from __future__ import annotations

import os

from numawise.linux.cpuset import CPUSet
from numawise.linux.procfs import read_text


def idle_seconds(cpus: CPUSet) -> float | None:
    """Seconds since boot that these CPUs were idle, all together (proc(5), /proc/stat); None where it is not said."""
    try:
        return parse_idle(read_text("/proc/stat"), cpus, os.sysconf("SC_CLK_TCK"))
    except OSError:
        return None


def parse_idle(text: str, cpus: CPUSet, ticks_per_s: int) -> float | None:
    r"""Idle time and time waiting for disks of these CPUs, in seconds.

    >>> parse_idle("cpu  1 0 1 700 0\ncpu0 1 0 1 300 10 0\ncpu1 0 0 0 400 0 0\n", CPUSet([0]), 100)
    3.1
    """
    total, found = 0, False
    for line in text.splitlines():
        name, *fields = line.split() or [""]
        if not name.startswith("cpu") or not name[3:].isdigit() or int(name[3:]) not in cpus:
            continue
        if len(fields) < 5 or not all(field.isdigit() for field in fields[3:5]):
            return None
        total, found = total + int(fields[3]) + int(fields[4]), True
    return total / ticks_per_s if found else None
