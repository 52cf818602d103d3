"""Taking one reading: memory placed and looked at, threads pinned, and looked at again before a figure is given."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from numawise.errors import NumawiseError
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Topology
from numawise.measure.alone import ALONE, CROWDED, DISTURBED, crowded
from numawise.measure.buffer import ENOUGH_ON_TARGET, Placed, Seen
from numawise.measure.figure import Figure
from numawise.measure.pieces import Buffers, Piece, distinct, whole_pages
from numawise.measure.places import last_level_kib
from numawise.measure.registry import How
from numawise.measure.values import LoadedPoint, Reading
from numawise.measure.wanted import Wanted
from numawise.native.pingpong import core_to_core
from numawise.native.table import kernel
from numawise.native.team import Task, TeamRun, run_team

_CHASES, _STREAMS, _TRIES = 3, 5, 3
_PATIENCE = 2
"""No further try after so many times the time given."""
_ROUND_TRIPS, _SAMPLES = 500, 20
_HUGE_KIB = 1024  # the smallest huge page of any architecture, and larger than every ordinary one
_BELOW_CACHES = "the buffer is less than 4 times the last-level caches, which serve part of it: "

COUNTED = {
    "read": "read",
    "write": "written, not the lines that are read to own them",
    "write_nt": "written",
    "copy": "read + written, not the lines that are read to own them",
    "copy_nt": "read + written",
    "triad": "read + written, not the lines that are read to own them",
    "triad_nt": "read + written",
    "mix": "read + written",
}
"""What counts as traffic, by kernel."""


class Taken(NamedTuple):
    """A reading, and what is wrong with it (empty: nothing) for the list of what is incomplete."""

    reading: Reading | LoadedPoint
    gap: str = ""
    alone: float = 1.0
    """Share of the time in which the threads had their CPUs."""


class Bench:
    """Takes readings, and keeps the last buffers for the next one that wants the same. Use it in a `with`."""

    def __init__(self, topology: Topology, *, buffer_kib: int | None = None) -> None:
        """For this machine, with buffers of `buffer_kib` a reading instead of what the caches ask for."""
        self._topology = topology
        self._small = buffer_kib
        self._buffers = Buffers(topology, buffer_kib)

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buffers.close()

    def take(self, wanted: Wanted, how: How, seconds: float) -> Taken:
        """Take one reading in about `seconds`. What cannot be had is in the reading's `why`, never raised."""
        if wanted.why:
            return _none(wanted, how, wanted.why)
        try:
            _check_cpus((*wanted.cpus, *wanted.injectors))
            began = time.monotonic()
            taken: Taken = _TAKERS[how](self, wanted, seconds)
            for _ in range(_TRIES - 1):
                if taken.alone >= ALONE or time.monotonic() - began > _PATIENCE * seconds + 1:
                    break
                # Perhaps it was a passing disturbance.
                again: Taken = _TAKERS[how](self, wanted, seconds)
                taken = max(taken, again, key=lambda one: one.alone)
            _check_cpus((*wanted.cpus, *wanted.injectors))
        except (NumawiseError, OSError, MemoryError) as error:
            self._buffers.close()
            return _none(wanted, how, _words(error))
        if taken.alone < CROWDED:
            return _none(wanted, how, crowded(taken.alone))
        return taken if taken.alone >= ALONE else _with_gap(taken, DISTURBED)

    def _chase(self, wanted: Wanted, seconds: float) -> Taken:
        (piece,) = self._buffers.pieces(wanted, 1)
        before = _verified(piece.buffer)
        tasks = [Task("chase", (piece.whole(),), wanted.cpus[0]), *self._spinning(wanted)]
        run = run_team(tasks, repeats=_CHASES, seconds=seconds, warmups=0)
        return self._told(wanted, run, [piece], before, run.ns_per_element, lower_is_better=True)

    def _stream(self, wanted: Wanted, seconds: float) -> Taken:
        parts = kernel(wanted.kernel).buffers
        pieces = self._buffers.pieces(wanted, parts)
        before = [_verified(buffer) for buffer in distinct(pieces)]
        tasks = [
            Task(wanted.kernel, piece.split(parts), cpu)
            for piece, cpu in zip(pieces, wanted.cpus, strict=True)
        ]
        run = run_team(tasks, repeats=_STREAMS, seconds=seconds)
        return self._told(wanted, run, pieces, _least(before), run.gb_per_s, lower_is_better=False)

    def _loaded(self, wanted: Wanted, seconds: float) -> Taken:
        # One buffer for all, parted as the last-level caches of the chaser and of the injectors are.
        (piece,) = self._buffers.pieces(wanted, 1)
        before = _verified(piece.buffer)
        mine, theirs = (last_level_kib(self._topology, cpus) for cpus in (wanted.cpus, wanted.injectors))
        own = whole_pages(piece.length * mine // (mine + theirs))
        each = whole_pages((piece.length - own) // len(wanted.injectors))
        chased = Piece(piece.buffer, piece.offset, own)
        drawn = [
            Piece(piece.buffer, piece.offset + own + i * each, each) for i in range(len(wanted.injectors))
        ]
        injecting = [
            Task("read", (part.whole(),), cpu, background=True, pause=wanted.pause)
            for part, cpu in zip(drawn, wanted.injectors, strict=True)
        ]
        tasks = [Task("chase", (chased.whole(),), wanted.cpus[0]), *injecting, *self._spinning(wanted)]
        run = run_team(tasks, repeats=_CHASES, seconds=seconds, warmups=0)
        taken = self._told(wanted, run, [piece], before, run.ns_per_element, lower_is_better=True)
        assert isinstance(taken.reading, Reading)
        return taken._replace(reading=LoadedPoint(wanted.pause, run.background_gb_per_s, taken.reading))

    def _between(self, wanted: Wanted, seconds: float) -> Taken:
        one, other = wanted.cpus
        # A pair takes some ms; what time there is beyond that goes into samples.
        run = core_to_core(one, other, round_trips=_ROUND_TRIPS, samples=_SAMPLES)
        trip = statistics.median(run.ns) * 2e-9 * _ROUND_TRIPS
        more = min(10 * _SAMPLES, int(seconds / max(trip, 1e-9)) - _SAMPLES)
        if more > 0:
            run = core_to_core(one, other, round_trips=_ROUND_TRIPS, samples=more)
        figure = summed_up(run.ns, lower_is_better=True)
        reading = Reading(CPUSet(wanted.cpus), wanted.cpu_node, (), figure, kernel=wanted.kernel)
        return Taken(reading, alone=run.busy)

    def _spinning(self, wanted: Wanted) -> list[Task]:
        allowed = os.sched_getaffinity(0)
        return [Task("spin", (), cpu, background=True) for cpu in wanted.busy if cpu in allowed]

    def _told(
        self,
        wanted: Wanted,
        run: TeamRun,
        pieces: Sequence[Piece],
        before: Seen,
        values: Sequence[float],
        *,
        lower_is_better: bool,
    ) -> Taken:
        strayed = [
            (cpu, task.cpu) for cpu, task in zip(wanted.cpus, run.measured, strict=True) if task.cpu != cpu
        ]
        if strayed:
            raise NumawiseError(
                f"the thread of CPU {strayed[0][0]} ended on CPU {strayed[0][1]}: was it taken offline, or out of the "
                "cpuset? measure again"
            )
        after = _least(_verified(buffer) for buffer in distinct(pieces))
        seen = _least([before, after])
        buffer_kib = sum(piece.length for piece in pieces) >> 10
        gap = self._flaw(buffer_kib, wanted, after)
        reading = Reading(
            cpus=CPUSet(wanted.cpus),
            cpu_node=wanted.cpu_node,
            memory=wanted.memory,
            figure=summed_up(values, lower_is_better=lower_is_better),
            kernel=wanted.kernel,
            buffer_kib=buffer_kib,
            bytes_counted=COUNTED.get(wanted.kernel, ""),
            page_kib=after.page_kib,
            on_target=seen.on_target,
            sampled_pages=seen.sampled_pages,
            note="; ".join(filter(None, (gap, after.note))),
            layout=wanted.layout,
        )
        return Taken(reading, gap, run.busy)

    def _flaw(self, buffer_kib: int, wanted: Wanted, seen: Seen) -> str:
        """What is wrong with a buffer of this size and these pages; empty when it is as it should be."""
        near = buffer_kib * 1.05
        if self._small is not None and near < self._small:
            return "less memory is free than --buffer asks for"
        if near < wanted.buffer_kib:
            return _BELOW_CACHES + ("there is no more free memory" if self._small is None else "see --buffer")
        if wanted.kernel == "chase" and wanted.huge and (seen.page_kib or 0) < _HUGE_KIB:
            return "huge pages were not given for all of the buffer: misses of the TLB are in the latency"
        return ""


_TAKERS: dict[How, Any] = {
    "chase": Bench._chase,
    "stream": Bench._stream,
    "loaded": Bench._loaded,
    "core to core": Bench._between,
}


def summed_up(values: Sequence[float], *, lower_is_better: bool) -> Figure:
    """Repeated readings as best, median and MAD.

    >>> summed_up([3.0, 1.0, 2.0, 9.0], lower_is_better=True)
    Figure(best=1.0, median=2.5, mad=1.0, repeats=4)
    """
    median = statistics.median(values)
    return Figure(
        best=min(values) if lower_is_better else max(values),
        median=median,
        mad=statistics.median(abs(value - median) for value in values),
        repeats=len(values),
    )


def _with_gap(taken: Taken, gap: str) -> Taken:
    reading = taken.reading
    inner = reading.latency if isinstance(reading, LoadedPoint) else reading
    inner = msgspec.structs.replace(inner, note="; ".join(filter(None, (inner.note, gap))))
    told = msgspec.structs.replace(reading, latency=inner) if isinstance(reading, LoadedPoint) else inner
    return Taken(told, taken.gap or gap, taken.alone)


def _verified(buffer: Placed) -> Seen:
    """Where the pages are; raises NumawiseError when too few are where they should be."""
    seen = buffer.look()
    if seen.on_target < ENOUGH_ON_TARGET:
        where = ", ".join(map(str, buffer.nodes))
        raise NumawiseError(
            f"{seen.on_target:.1%} of the pages are on node {where}, {ENOUGH_ON_TARGET:.0%} are needed for a figure; "
            "is it short of free memory, or does the system refuse to place memory (mbind)?"
        )
    return seen


def _least(seen: Iterable[Seen]) -> Seen:
    return min(seen, key=lambda one: one.on_target)


def _check_cpus(cpus: Iterable[int]) -> None:
    """Raise NumawiseError for a CPU that this process may no longer use: the kernel then runs its thread elsewhere."""
    gone = CPUSet(set(cpus) - os.sched_getaffinity(0))
    if gone:
        raise NumawiseError(
            f"CPU {gone} went offline, or out of this process's cpuset or affinity; measure again without it"
        )


def _none(wanted: Wanted, how: How, why: str) -> Taken:
    reading = Reading(
        CPUSet(wanted.cpus), wanted.cpu_node, wanted.memory, None, why, wanted.kernel, layout=wanted.layout
    )
    return Taken(LoadedPoint(wanted.pause, 0.0, reading) if how == "loaded" else reading, why)


def _words(error: BaseException) -> str:
    if isinstance(error, NumawiseError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory for a moment; free some, and measure again"
    return f"{type(error).__name__}: {error}"


def with_why(reading: Reading | LoadedPoint, why: str) -> Reading | LoadedPoint:
    """The same reading without its figure."""
    if isinstance(reading, LoadedPoint):
        return msgspec.structs.replace(reading, latency=with_why(reading.latency, why))
    return msgspec.structs.replace(reading, figure=None, why=why)
