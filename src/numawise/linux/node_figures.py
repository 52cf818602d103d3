"""What `/sys/devices/system/node` says of each node in figures: memory in use, and allocation counters."""

from __future__ import annotations

import os

from numawise.linux.procfs import read_text

NODES = "/sys/devices/system/node"
_KIB_PER_MB = 1024
_HUGE_FILES = {
    "HugePages_Total": "nr_hugepages",
    "HugePages_Free": "free_hugepages",
    "HugePages_Surp": "surplus_hugepages",
}


def node_ids() -> tuple[int, ...]:
    """The nodes that are online, by id; empty where the kernel was built without NUMA."""
    try:
        names = os.listdir(NODES)  # noqa: PTH208 - pathlib starts slowly
    except OSError:
        return ()
    return tuple(sorted(int(name[4:]) for name in names if name.startswith("node") and name[4:].isdigit()))


def read_counters(node: int) -> dict[str, int]:
    """A node's allocation counters in pages (Documentation/admin-guide/numastat.rst), in the kernel's order.

    Raises OSError.
    """
    fields = _fields(f"{NODES}/node{node}/numastat", " ")
    return {name: int(value) for name, value in fields.items() if value.isdigit()}


def read_meminfo(node: int) -> dict[str, float]:
    """The lines of a node's `meminfo`, in MB, in the kernel's order. Raises OSError.

    That file counts huge pages of the default size only, and in pages: those lines are replaced by the sum over all
    sizes, from the node's `hugepages` folder.
    """
    amounts: dict[str, float] = {}
    for name, value in _fields(f"{NODES}/node{node}/meminfo", ":").items():
        words = value.split()
        label = name.split()[-1]  # after "Node 0"
        if label in _HUGE_FILES:
            amounts[label] = _huge_mb(node, _HUGE_FILES[label])
        elif words and words[0].isdigit():
            amounts[label] = int(words[0]) / _KIB_PER_MB
    return amounts


def _huge_mb(node: int, file: str) -> float:
    folder = f"{NODES}/node{node}/hugepages"
    total = 0
    for name in os.listdir(folder):  # noqa: PTH208  (hugepages-2048kB)
        total += int(read_text(f"{folder}/{name}/{file}")) * int(name[10:-2])
    return total / _KIB_PER_MB


def _fields(path: str, separator: str) -> dict[str, str]:
    lines = read_text(path).replace("\0", "").split("\n")
    return {name: value.strip() for name, _, value in (line.partition(separator) for line in lines) if value}
