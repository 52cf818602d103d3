"""Had the measuring threads their CPUs to themselves? Their figures are the machine's own only if they had.

Measuring threads never sleep, they spin where they wait; so their CPU time against the clock, both taken by themselves
from their first to their last instruction, tells how long they were kept waiting for a CPU. What a hypervisor takes is
not seen.
"""

from __future__ import annotations

ALONE = 0.95
"""With less of their CPUs' time than this, threads were disturbed, and it is said."""
CROWDED = 0.7
"""With less than this there is no figure: it would be that of the scheduler."""

DISTURBED = "other programs took part of these CPUs' time: slower than the machine is by itself"


def crowded(share: float) -> str:
    """Why there is no figure from threads that ran for so little of the time.

    >>> crowded(0.07)
    'other programs took over 90% of the time of these CPUs; measure again when the machine is idle'
    """
    lost = int((1 - share) * 10) * 10  # in tens, so that many readings have one reason
    return (
        f"other programs took over {lost}% of the time of these CPUs; measure again when the machine is idle"
    )
