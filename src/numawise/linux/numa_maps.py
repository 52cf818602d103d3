"""`/proc/PID/numa_maps`: the exact number of pages of each mapping on each node (numa(7)).

Exact, but the kernel walks every resident page to write it, and the process cannot map or unmap memory
meanwhile: the time grows with the resident size (tens of ms for 8 GiB). `numastat -p` reads this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from numawise.linux import procfs


class NumaMapping(NamedTuple):
    """One line: a mapping that has resident pages."""

    start: int
    policy: str
    path: str
    """The file behind it; empty for anonymous memory, heap and stack."""
    page_kib: int
    """Size of the pages counted: a huge page of hugetlbfs counts as one, a transparent one as many."""
    pages: dict[int, int]
    """Resident pages by node."""
    anonymous: int
    """How many of them are not pages of the file: private copies, or memory without a file."""
    huge: bool
    """Memory of hugetlbfs, with or without a path."""
    kind: str = ""
    """`heap` or `stack` where the kernel says so, else empty."""


def read_numa_maps(pid: int) -> list[NumaMapping]:
    """All mappings of a process that have resident pages. Raises OSError as `procfs` does.

    FileNotFoundError also where the kernel was built without NUMA.
    """
    return list(parse_numa_maps(procfs.read_text(f"/proc/{pid}/numa_maps")))


def parse_numa_maps(text: str) -> Iterator[NumaMapping]:
    r"""Read the lines that have pages.

    >>> line = "7f00 bind:1 file=/opt/a\\040b.so anon=2 mapped=5 N0=3 N1=2 kernelpagesize_kB=4"
    >>> found = next(parse_numa_maps(line))
    >>> found.path, found.policy, found.pages, found.page_kib, found.anonymous
    ('/opt/a b.so', 'bind:1', {0: 3, 1: 2}, 4, 2)
    """
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 2:
            continue
        values = dict(word.partition("=")[::2] for word in words[2:])
        pages = {int(k[1:]): int(v) for k, v in values.items() if k[0] == "N" and k[1:].isdigit()}
        if pages:
            path = values.get("file", "").replace("\\040", " ")
            page_kib = int(values.get("kernelpagesize_kB", "4"))
            anonymous, huge = int(values.get("anon", "0")), "huge" in values
            kind = next((name for name in ("heap", "stack") if name in values), "")
            yield NumaMapping(int(words[0], 16), words[1], path, page_kib, pages, anonymous, huge, kind)
