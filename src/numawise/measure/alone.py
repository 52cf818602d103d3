"""Had the measuring threads their CPUs to themselves? Their figures are the machine's own only if they had."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

ALONE = 0.95
"""With less of their CPUs' time than this, threads were disturbed, and it is said."""
CROWDED = 0.7
"""With less than this there is no figure: it would be that of the scheduler."""

_STARTING_S = 0.1
"""Of each thread's time, forgiven: threads take time to start, above all many of them or under emulation."""

DISTURBED = "other programs took part of these CPUs' time: slower than the machine is by itself"


def watched(threads: int, work: Callable[[], T]) -> tuple[T, float]:
    """Call `work`, which keeps `threads` threads busy until it returns, and say what share of the time they ran.

    Measuring threads never sleep, they spin where they wait; so the CPU time of this process, against its threads'
    share of the clock, is the time they were not kept waiting for a CPU. What a hypervisor takes is not seen.

    >>> done, share = watched(1, lambda: sum(range(100_000)))
    >>> done, 0 < share <= 1
    (4999950000, True)
    """
    clock, used = time.monotonic(), time.process_time()
    done = work()
    used, clock = time.process_time() - used, time.monotonic() - clock
    return done, min(1.0, (used + _STARTING_S * threads) / max(1e-9, clock * threads))


def crowded(share: float) -> str:
    """Why there is no figure from threads that ran for so little of the time.

    >>> crowded(0.07)
    'other programs took over 90% of the time of these CPUs; measure again when the machine is idle'
    """
    lost = int((1 - share) * 10) * 10  # in tens, so that many readings have one reason
    return (
        f"other programs took over {lost}% of the time of these CPUs; measure again when the machine is idle"
    )
