"""Repeated readings of one quantity, boiled down."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """Repeated readings of one quantity. Its unit is that of the list it stands in: ns, or GB/s (10**9 bytes)."""

    best: float
    """The lowest latency, the highest bandwidth: what STREAM and its kin report."""
    median: float
    mad: float
    """Median absolute deviation from the median."""
    repeats: int
