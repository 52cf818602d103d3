"""The one question of this room: where is this memory?"""

from __future__ import annotations

import os
from typing import Any

from numawise.errors import UsageError
from numawise.linux.pagemap import PAGE
from numawise.observe.array import frame_of, layout_of
from numawise.observe.errors import looking_at
from numawise.observe.exact import exact_residency
from numawise.observe.frame import Frame, SpanFrame, covering
from numawise.observe.process import memory_task, process_residency, shares
from numawise.observe.sample import draw, generator
from numawise.observe.values import Residency

_TOP_OF_MEMORY = 1 << 64


def residency(
    target: Any = None,
    *,
    pid: int | None = None,
    address: int | None = None,
    length: int | None = None,
    pages: int = 1000,
    seed: int | None = None,
    exact: bool = False,
) -> Residency:
    """Where memory really is: the share of its resident pages on each node, with 95 % intervals.

    Of `target`, an array of this process (anything with `__array_interface__` or the buffer protocol); or
    of `length` bytes from `address` on, in this process or `pid`; or of the whole process `pid`; or, with
    nothing given, of this process.

    pages: how many resident pages to look at; 1 000 give +-3.1 points at worst. Fewer are resident, or a
    few more
        than asked: all are looked at.
    seed: makes the draw repeatable.
    exact: count every page of a process by reading numa_maps instead, which is slower and stalls it.

    Of a process, all mappings are drawn from in proportion to what is resident in them, except reserved
    address space (no permissions), device memory and the kernel's own pages. Looks only; a page never
    touched stays so.

    Raises UsageError when the question makes no sense, ProcessGone when there is no such process,
    NotPermittedError when the system refuses to tell.

    >>> seen = residency(pid=0, pages=100)
    >>> seen.sampled_pages >= 100, 0.999 < sum(s.share for s in seen.residency.values()) < 1.001
    (True, True)
    """
    if pid is not None and pid < 0:
        raise UsageError(f"not a process id: {pid}")
    if target is not None:
        if pid is not None or address is not None or length is not None:
            raise UsageError("give an array, or pid=, or address= and length=, not several of them")
        if isinstance(target, int):
            raise UsageError(f"write pid={target} to look at a process, address= and length= for a range")
        if exact:
            raise UsageError("exact=True counts whole processes; an array is always sampled")
        return _frame_residency(0, frame_of(layout_of(target)), pages, seed)
    if address is not None or length is not None:
        if address is None or length is None:
            raise UsageError("a range needs both address= and length= (bytes)")
        if exact:
            raise UsageError("exact=True counts whole processes; a range is always sampled")
        return residency_of_range(address, length, pid or 0, pages=pages, seed=seed)
    return exact_residency(pid or 0) if exact else process_residency(pid or 0, pages=pages, seed=seed)


def residency_of_range(
    address: int, length: int, pid: int = 0, *, pages: int = 1000, seed: int | None = None
) -> Residency:
    """Where the pages that hold `length` bytes from `address` on are, in process `pid` (0: this one).

    `rss_kib` is then an estimate of how much of the range is resident; threads are not looked at, kinds of
    memory not told apart. Raises as `residency` does.
    """
    if address < 0 or length < 0 or address + length > _TOP_OF_MEMORY:
        raise UsageError(f"not a range of memory: {length} bytes from {address:#x} on")
    return _frame_residency(pid, SpanFrame([covering(address, length)] if length else []), pages, seed)


def _frame_residency(pid: int, frame: Frame, pages: int, seed: int | None) -> Residency:
    with looking_at(pid):
        drawn = draw(memory_task(pid) if pid else 0, frame, pages, generator(seed))
    seen = shares(list(drawn.nodes.values()), drawn.resident)
    return Residency(
        pid=pid or os.getpid(),
        rss_kib=round(drawn.resident * PAGE / 1024),
        residency=seen.nodes,
        sampled_pages=seen.pages,
        unmapped_pages=drawn.missed,
        effective_pages=seen.effective_pages,
    )
