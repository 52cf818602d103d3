"""Where a process's pages are, from /proc/PID/numa_maps: a second opinion that shares no code with numawise.

    python tests/programs/numa_maps.py PID [WORD]

prints one `NODE KIB` line a node; with WORD, only of mappings whose line contains it (such as `bind:1` or
`heap`). The kernel walks every page table under the mmap lock for this, so it is exact, and slow: a referee,
not a tool.
"""

from __future__ import annotations

import re
import sys
from collections import Counter

PAGES = re.compile(r"^N(\d+)=(\d+)$")
EVERYWHERE = range(1 << 64)


def kib_by_node(pid: int | str, word: str = "", within: range = EVERYWHERE) -> dict[int, int]:
    """KiB on each node, of mappings that begin `within` these addresses; huge pages count by size."""
    total: Counter[int] = Counter()
    with open(f"/proc/{pid}/numa_maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.split()
            if word in line and int(fields[0], 16) in within:
                size = next(
                    (int(f.partition("=")[2]) for f in fields if f.startswith("kernelpagesize_kB=")), 4
                )
                for field in fields:
                    found = PAGES.match(field)
                    if found:
                        total[int(found[1])] += int(found[2]) * size
    return dict(total)


def shares(pid: int | str, word: str = "", within: range = EVERYWHERE) -> dict[int, float]:
    """Share of the process's resident memory on each node, from 0 to 1."""
    kib = kib_by_node(pid, word, within)
    total = sum(kib.values())
    return {node: amount / total for node, amount in sorted(kib.items())} if total else {}


if __name__ == "__main__":
    for node, kib in sorted(kib_by_node(sys.argv[1], "".join(sys.argv[2:3])).items()):
        print(node, kib)
