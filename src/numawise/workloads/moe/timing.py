"""Passes, and the time of each operation within them."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

Lap = Callable[[str], None]
"""Called after each operation with its name: what went by since the last call belongs to it."""


class Pass(msgspec.Struct, frozen=True):
    """One forward pass, in seconds."""

    seconds: float
    operations: dict[str, float]


def time_pass(forward: Callable[[Lap], object]) -> Pass:
    """Run one forward pass. An operation that is reported several times (once per expert) is summed."""
    operations: dict[str, float] = {}
    started = last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        operations[name] = operations.get(name, 0.0) + now - last
        last = now

    forward(lap)
    return Pass(time.perf_counter() - started, operations)


def time_passes(forward: Callable[[Lap], object], repeat: int, seconds: float) -> list[Pass]:
    """Passes until there are `repeat` of them and `seconds` went by."""
    passes: list[Pass] = []
    started = time.perf_counter()
    while len(passes) < repeat or time.perf_counter() - started < seconds:
        passes.append(time_pass(forward))
    return passes
