"""`/proc/PID/smaps`: how much of a mapping is resident, and in pages of what size (proc(5))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from numawise.linux import procfs


class SmapsEntry(NamedTuple):
    """One mapping."""

    start: int
    end: int
    resident_kib: int
    huge_kib: int
    """In transparent huge pages, of those that are resident (`AnonHugePages`)."""
    page_kib: int
    """Size of the other pages (`KernelPageSize`)."""


def mapping_at(address: int) -> SmapsEntry | None:
    """The mapping of this process that holds `address`; None when there is none. Raises OSError."""
    entries = parse_smaps(procfs.read_text("/proc/self/smaps"))
    return next((entry for entry in entries if entry.start <= address < entry.end), None)


def parse_smaps(text: str) -> Iterator[SmapsEntry]:
    r"""Read the mappings of an `smaps` file.

    >>> text = "7f00-8000 rw-p 0 00:00 0\nSize: 4 kB\nKernelPageSize: 4 kB\nRss: 8 kB\nAnonHugePages: 4 kB\n"
    >>> next(parse_smaps(text))
    SmapsEntry(start=32512, end=32768, resident_kib=8, huge_kib=4, page_kib=4)
    """
    span, values = "", dict[str, int]()
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon and " " not in name:
            words = value.split()
            if len(words) == 2 and words[1] == "kB":
                values[name] = int(words[0])
            continue
        if span:
            yield _entry(span, values)
        span, values = line.partition(" ")[0], {}
    if span:
        yield _entry(span, values)


def _entry(span: str, values: dict[str, int]) -> SmapsEntry:
    start, _, end = span.partition("-")
    sizes = (values.get(name, 0) for name in ("Rss", "AnonHugePages", "KernelPageSize"))
    return SmapsEntry(int(start, 16), int(end, 16), *sizes)
