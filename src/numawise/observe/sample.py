"""Drawing pages so that every resident page of a frame is as likely as any other.

Pages are drawn evenly over the address range, without putting back; those that hold no page are counted
apart. What remains is an even sample of the resident ones. Where they are so sparse that this would take
long (thread stacks, reserved heaps), the kernel is asked for the list of resident ranges, and an even
sample is taken from that.
"""

from __future__ import annotations

# The C half of `random`, without the hash functions that the module pulls in (3 ms of a start).
from _random import Random
from collections.abc import Iterable, Sequence
from errno import EACCES, EFAULT, EPERM
from math import ceil, exp, log, log1p
from typing import NamedTuple

from numawise.errors import UsageError
from numawise.linux import syscalls
from numawise.linux.pagemap import PAGE, Pagemap
from numawise.observe.frame import Frame, Span

_BATCH = 1000  # addresses a call: the target must not wait for us
_SPARSE_AFTER, _SPARSE = 2000, 16  # after so many draws, one hit in so many is too few
_MOST_DRAWS = 200_000  # where resident pages cannot be listed; about 0.3 s
_MOST_ENTRIES = 1 << 26  # pages (256 GiB of 4 KiB) whose pagemap entries are read one by one, about 0.2 s
_MOST_PAGES = 10_000_000
_NEXT_TO_0 = 1e-300


class Sample(NamedTuple):
    """Pages drawn from a frame."""

    nodes: dict[int, int]
    """The node of each resident page that was drawn, by address."""
    missed: int
    """Draws that met no resident page."""
    resident: float
    """Estimate of how many resident pages the frame holds; the exact number when `complete`."""
    complete: bool
    """Every resident page is in `nodes`."""


def generator(seed: int | None) -> Random:
    """Random numbers from a seed, or from the system."""
    return Random() if seed is None else Random(seed)


def draw(pid: int, frame: Frame, pages: int, random: Random) -> Sample:
    """Look at about `pages` resident pages of process `pid` (0: this one), all of them if the frame is small.

    Raises UsageError for a number of pages that makes no sense, OSError as `move_pages` does.
    """
    if not 1 <= pages <= _MOST_PAGES:
        raise UsageError(f"cannot sample {pages} pages; choose from 1 to {_MOST_PAGES}")
    wanted = frame.size if frame.size <= 2 * pages else pages
    order = _Shuffle(frame.size, random)
    nodes: dict[int, int] = {}
    missed = 0
    while len(nodes) < wanted and order.drawn < frame.size:
        found_so_far = len(nodes)
        if order.drawn >= _SPARSE_AFTER and found_so_far * _SPARSE < order.drawn:
            located = _draw_located(pid, frame.spans, frame.size, pages, random)
            if located is not None:
                return located._replace(missed=located.missed + missed)
            if order.drawn >= max(_MOST_DRAWS, _SPARSE * pages):
                break
        rate = max(found_so_far / order.drawn, 0.01) if order.drawn else 1.0
        count = min(_BATCH, frame.size - order.drawn, ceil((wanted - found_so_far) / rate))
        missed += _look(pid, [a for i in order.take(count) if (a := frame.address(i)) is not None], nodes)
    resident = frame.size * len(nodes) / order.drawn if order.drawn else 0.0
    return Sample(nodes, missed, resident, order.drawn == frame.size)


def _look(pid: int, addresses: Sequence[int], nodes: dict[int, int]) -> int:
    """Add the resident pages among `addresses` to `nodes`; returns how many are not."""
    before = len(nodes)
    for i in range(0, len(addresses), _BATCH):
        batch = addresses[i : i + _BATCH]
        for address, node in zip(batch, syscalls.move_pages(pid, batch), strict=True):
            if node >= 0:
                nodes[address] = node
    return len(addresses) - (len(nodes) - before)


def _draw_located(
    pid: int, spans: Iterable[Span] | None, size: int, pages: int, random: Random
) -> Sample | None:
    """The same from a list of resident ranges; None where the system does not give one in reasonable time."""
    if spans is None:
        return None
    try:
        with Pagemap(pid) as pagemap:
            if not pagemap.scans() and size > _MOST_ENTRIES:
                return None
            runs = (run for start, end in spans for run in pagemap.present(start, end))
            addresses, total = reservoir(runs, pages, random)
    except OSError as error:
        if error.errno not in (
            EPERM,
            EACCES,
            EFAULT,
        ):  # EFAULT: a range that reaches beyond a process's memory
            raise
        return None
    nodes: dict[int, int] = {}
    missed = _look(pid, addresses, nodes)
    resident = total * len(nodes) / len(addresses) if addresses else 0.0
    return Sample(nodes, missed, resident, len(addresses) == total)


def reservoir(runs: Iterable[tuple[int, int]], count: int, random: Random) -> tuple[list[int], int]:
    """An even sample of `count` pages from runs of them (address, bytes), and how many there were.

    Algorithm L of K.-H. Li, Reservoir-Sampling Algorithms of Time Complexity O(n(1 + log(N/n))), ACM TOMS
    20 (1994).
    """
    chosen: list[int] = []
    total, weight, upcoming = 0, 1.0, -1
    for start, length in runs:
        end = total + length // PAGE
        for index in range(total, min(end, count)):
            chosen.append(start + (index - total) * PAGE)
        if len(chosen) == count and upcoming < 0:
            weight, upcoming = _skip(count - 1, weight, count, random)
        while 0 <= upcoming < end:
            chosen[int(random.random() * count)] = start + (upcoming - total) * PAGE
            weight, upcoming = _skip(upcoming, weight, count, random)
        total = end
    return chosen, total


def _skip(index: int, weight: float, count: int, random: Random) -> tuple[float, int]:
    weight *= exp(log(max(random.random(), _NEXT_TO_0)) / count)
    return weight, index + 1 + int(log(max(random.random(), _NEXT_TO_0)) / log1p(-weight))


class _Shuffle:
    """The numbers below `size` in random order, made as they are taken (Fisher and Yates, swaps only)."""

    def __init__(self, size: int, random: Random) -> None:
        self._size, self._random = size, random
        self._moved: dict[int, int] = {}
        self.drawn = 0

    def take(self, count: int) -> list[int]:
        moved, size, random = self._moved, self._size, self._random.random
        taken = []
        for i in range(self.drawn, self.drawn + count):
            j = i + int(random() * (size - i))
            taken.append(moved.get(j, j))
            moved[j] = moved.pop(i, i)
        self.drawn += count
        return taken
