"""Which node each CPU belongs to: all that looking at threads needs of a machine, read in a millisecond."""

from __future__ import annotations

import os

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet

_NODES = "/sys/devices/system/node"


def read_cpu_nodes(folder: str = _NODES) -> dict[int, int]:
    """The node of each online CPU, by OS ids; empty where the kernel shows no nodes (built without NUMA)."""
    found: dict[int, int] = {}
    try:
        names = os.listdir(folder)  # noqa: PTH208 - pathlib starts slowly
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return found
    for name in names:
        if not (name.startswith("node") and name[4:].isdigit()):
            continue
        try:
            with open(f"{folder}/{name}/cpulist", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                cpus = CPUSet.parse(file.read())
        except (OSError, UsageError):
            continue  # no witness for this node's CPUs: they stay unknown, not on node 0
        found.update(dict.fromkeys(cpus, int(name[4:])))
    return found
