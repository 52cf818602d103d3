"""What was seen: shares of pages by node, and places of threads. Frozen values with one JSON form."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from numawise.linux.cpuset import CPUSet


class NodeShare(msgspec.Struct, frozen=True):
    """A share of pages (0 to 1) with its 95 % interval; low = share = high when every page was looked at."""

    share: float
    low: float
    high: float


class ThreadPlace(msgspec.Struct, frozen=True):
    """Where a thread last ran, and where it may run."""

    tid: int
    cpu: int
    node: int | None
    """The node of that CPU; None where the kernel shows no nodes."""
    allowed: CPUSet
    """Its affinity, within its cpuset."""


class Residency(msgspec.Struct, frozen=True):
    """Where the memory of a process (or of several, or of a range) is; nodes without a page are left out.

    `residency` speaks of all resident pages. `anonymous` speaks of those that a placement controls: private
    memory and shared memory, huge pages included, without the page cache of mapped files (the text of
    libraries, mapped weights), which is where whoever read the file first put it.
    """

    pid: int
    rss_kib: int
    """Resident memory, hugetlb pages included (VmRSS of top and ps leaves those out)."""
    residency: dict[int, NodeShare]
    sampled_pages: int
    """Resident pages that were looked at (base pages: a huge page counts for its size)."""
    unmapped_pages: int
    """Addresses drawn that held no page: never touched, swapped out, or the shared page of zeros."""
    threads: tuple[ThreadPlace, ...] = ()
    anonymous: dict[int, NodeShare] = {}
    anonymous_kib: int = 0
    anonymous_pages: int = 0
    """How many of `sampled_pages` are anonymous or shared memory."""
    effective_pages: float | None = None
    """Independent looks the sample is worth, the base of the intervals; None: every page was looked at."""
    anonymous_effective_pages: float | None = None

    def on(self, nodes: Iterable[int], *, anonymous: bool = False) -> NodeShare:
        """The share of pages on any of `nodes` together, with its interval.

        >>> seen = Residency(1, 400, {0: NodeShare(0.7, 0.6, 0.8), 1: NodeShare(0.3, 0.2, 0.4)}, 90, 0)
        >>> seen.on([0, 1, 2]).share
        1.0
        """
        from numawise.observe.interval import share_of

        shares = self.anonymous if anonymous else self.residency
        size = self.anonymous_effective_pages if anonymous else self.effective_pages
        if not shares:
            return NodeShare(0.0, 0.0, 1.0)
        return share_of(min(1.0, sum(shares[node].share for node in set(nodes) if node in shares)), size)
