"""Real-time priority for a benchmark and all it starts, so that programs on the same CPUs are not in its figures."""

from __future__ import annotations

import os


def precedence() -> str:
    """Take the CPUs from other programs, where the system permits it; how it went, in words."""
    try:
        # Round robin: under FIFO a waiting likwid-bench thread keeps the CPU from the one it waits for, for ever.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return "at ordinary priority: other programs on these CPUs are in the figures"
    return "at real-time priority"
