"""What is to be measured, decided before anything runs: pure values that any machine in a file can be asked for."""

from __future__ import annotations

from typing import Literal

import msgspec

Layout = Literal["node", "interleaved", "own"]
"""All memory on one node; page by page over several in turn; each thread's on the node of its CPU."""


class Wanted(msgspec.Struct, frozen=True):
    """One reading to take."""

    kernel: str
    cpus: tuple[int, ...]
    """One thread each, the first being the one whose latency counts."""
    cpu_node: int | None
    memory: tuple[int, ...]
    layout: Layout = "node"
    homes: tuple[int, ...] = ()
    """With `own`: the memory node of each thread."""
    buffer_kib: int = 0
    """Of all threads together."""
    huge: bool = True
    """Huge pages are asked for, else refused."""
    busy: tuple[int, ...] = ()
    """CPUs kept spinning meanwhile, for the clocks of their sockets."""
    injectors: tuple[int, ...] = ()
    """CPUs that draw bandwidth from the same memory meanwhile."""
    pause: int = 0
    """Steps of an empty loop that injectors make after every 4 KiB."""
    weight: float = 1.0
    """Share of the time, against the other readings."""
    why: str = ""
    """Why it cannot be measured here; then nothing is tried."""


class Plan(msgspec.Struct, frozen=True):
    """What one part takes on one machine, in order, and what to know about it."""

    readings: tuple[Wanted, ...]
    notes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
