"""Sampling frames: numbered lists of pages to draw from, without writing the list down.

A frame has a `size`; `address(i)` is the page of number i (None: this number stands for no page, draw
another), and `spans` are the address ranges it consists of, where there are few enough to search them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from numawise.linux.pagemap import PAGE

Span = tuple[int, int]
"""First and last-plus-one address, page-aligned."""


class Frame(Protocol):
    """What `sample.draw` draws from."""

    @property
    def size(self) -> int:
        """How many numbers there are."""

    @property
    def spans(self) -> list[Span] | None:
        """Where the pages are; None when that cannot be listed."""

    def address(self, index: int) -> int | None:
        """The address of a page."""


class SpanFrame:
    """All pages of some address ranges, in the order given; ranges that touch are joined.

    >>> frame = SpanFrame([(0x1000, 0x3000), (0x3000, 0x4000), (0x9000, 0xa000)])
    >>> frame.size, hex(frame.address(3)), len(frame.spans)
    (4, '0x9000', 2)
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans: list[Span] = []
        for start, end in spans:
            if self.spans and self.spans[-1][1] == start:
                self.spans[-1] = (self.spans[-1][0], end)
            elif end > start:
                self.spans.append((start, end))
        self._before: list[int] = []
        self.size = 0
        for start, end in self.spans:
            self._before.append(self.size)
            self.size += (end - start) // PAGE

    def address(self, index: int) -> int:
        """The address of a page."""
        at = bisect_right(self._before, index) - 1
        return self.spans[at][0] + (index - self._before[at]) * PAGE


def covering(address: int, length: int) -> Span:
    """The pages that hold `length` bytes from `address` on."""
    return address // PAGE * PAGE, -(-(address + length) // PAGE) * PAGE
