"""Kernels on several threads at once, each pinned to its CPU and timed in C behind a barrier."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from numawise.errors import NumawiseError, UsageError
from numawise.native.isa import isa_number
from numawise.native.library import COutcome, CPlan, CTask
from numawise.native.table import entry, lend, library

_NS = 1e9
_CPUS = 1 << 16
SLICE_NS = 50_000_000
"""How long one call into the library may last: Ctrl-C is seen between two."""


class Task(msgspec.Struct, frozen=True):
    """One thread's work."""

    kernel: str
    """A name of `kernel_names()`. There is no `read_nt`: on ordinary memory such a load is an ordinary load."""
    buffers: tuple[Any, ...] = ()
    """Contiguous buffers of one length, as many as the kernel takes; what is written last."""
    cpu: int | None = None
    """The CPU the thread is pinned to, by its OS id; None leaves it wherever this thread may run."""
    background: bool = False
    """Runs from before the first repeat until all measured tasks are done, and is not in their figures."""
    pause: int = 0
    """Background: steps of an empty loop (about a cycle each) after every 4 KiB of each buffer, to inject less
    traffic; at 0 it runs through."""
    seed: int = 0
    """`chase`: which random ring."""


class TaskRun(msgspec.Struct, frozen=True):
    """What one thread did."""

    kernel: str
    background: bool
    elements: int
    """Elements of one pass."""
    bytes: int
    """Memory traffic counted in one repeat; 0 for a background task."""
    started_ns: tuple[int, ...]
    """CLOCK_MONOTONIC, one a repeat; empty for a background task."""
    ended_ns: tuple[int, ...]
    cpu: int | None
    """The CPU the thread was on at its end."""
    result: int
    """What the last pass computed, as in `KernelRun`."""
    worked_ns: int
    """How long the thread worked, rings, warm-ups and waiting at the barrier included, by the clock ..."""
    ran_ns: int
    """... and how much of that it had a CPU. It never sleeps: the rest of the time others had its CPU."""


class TeamRun(msgspec.Struct, frozen=True):
    """What a team did, repeat by repeat."""

    tasks: tuple[TaskRun, ...]
    """In the order of the tasks given."""
    passes: int
    """Passes of one repeat: more than 1 where one is too short for the clock."""
    background_gb_per_s: float
    """Traffic of all background tasks from the first measured start to the last end, in 10**9 bytes a second."""

    @property
    def measured(self) -> tuple[TaskRun, ...]:
        """The tasks that were measured."""
        return tuple(task for task in self.tasks if not task.background)

    @property
    def busy(self) -> float:
        """The share of their time for which the threads had a CPU: of the one that had it least, `spin` left out."""
        return min(share_of(task.ran_ns, task.worked_ns) for task in self.tasks if task.kernel != "spin")

    @property
    def seconds(self) -> tuple[float, ...]:
        """From the first thread's start to the last one's end, one a repeat."""
        return tuple(nanoseconds / _NS for nanoseconds in self._spans())

    @property
    def gb_per_s(self) -> tuple[float, ...]:
        """Traffic of the measured tasks over that time, in 10**9 bytes a second, one a repeat."""
        moved = sum(task.bytes for task in self.measured)
        return tuple(moved / nanoseconds for nanoseconds in self._spans())

    @property
    def ns_per_element(self) -> tuple[float, ...]:
        """Of the first measured task, over its own time: for `chase` the latency of one load. One a repeat."""
        first = self.measured[0]
        steps = first.elements * self.passes
        return tuple(
            (end - start) / steps for start, end in zip(first.started_ns, first.ended_ns, strict=True)
        )

    def _spans(self) -> tuple[int, ...]:
        starts = zip(*(task.started_ns for task in self.measured), strict=True)
        ends = zip(*(task.ended_ns for task in self.measured), strict=True)
        return tuple(max(1, max(end) - min(start)) for start, end in zip(starts, ends, strict=True))


def run_team(
    tasks: Sequence[Task], *, repeats: int = 1, seconds: float = 0.0, warmups: int = 1, isa: str | None = None
) -> TeamRun:
    """Run the tasks at once, one thread each, until `repeats` were made and `seconds` went by.

    All threads are pinned before any works; `chase` rings are laid; background tasks are under way; then, in every
    repeat, the measured threads meet at a spinning barrier, make one pass over their buffers (several of a buffer so
    small that one pass lasts less than 50 microseconds) and stamp their start and end. `warmups` passes come before,
    unmeasured. Where there are more threads than CPUs the waiting ones give way.

    The threads are no threads of Python. This call returns, and raises KeyboardInterrupt on Ctrl-C, only when all of
    them are gone, and holds the buffers until then. Passes and rings are made in slices of some milliseconds, and
    between two a thread looks whether to stop.

    Raises UsageError for what cannot be meant; NumawiseError that names the CPU when a thread cannot be pinned, and
    when the system gives no more threads.

    >>> run = run_team([Task("read", (bytes(4096),)), Task("read", (bytes(4096),))], repeats=3)
    >>> len(run.gb_per_s), run.tasks[0].result, run.tasks[0].bytes == 4096 * run.passes
    (3, 0, True)
    """
    _check(tasks, repeats, seconds, warmups)
    order = sorted(
        range(len(tasks)), key=lambda i: tasks[i].background
    )  # the library wants the measured ones first
    plan = CPlan(repeats, int(seconds * _NS), warmups, isa_number(isa), 0)
    outcome, handle = COutcome(), ctypes.c_void_p()
    with ExitStack() as stack:
        lent = (CTask * len(tasks))(*(_lent(stack, tasks[i]) for i in order))
        try:
            refused = library().numawise_team_start(lent, len(lent), ctypes.byref(plan), ctypes.byref(handle))
            if refused:
                raise _refusal(lent, refused)
            while not library().numawise_team_wait(handle, SLICE_NS):
                pass  # a signal's handler runs here
            library().numawise_team_stop(handle, ctypes.byref(outcome))
            if not outcome.complete:
                raise _refusal(lent, max(task.failed for task in lent))
            done = {i: _task_run(tasks[i], task, outcome.passes) for i, task in zip(order, lent, strict=True)}
        finally:
            if handle:
                library().numawise_team_free(handle)
    return TeamRun(
        tasks=tuple(done[i] for i in range(len(tasks))),
        passes=outcome.passes,
        background_gb_per_s=outcome.background_bytes / max(1, outcome.background_ns),
    )


def share_of(ran_ns: int, worked_ns: int) -> float:
    """CPU time over time by the clock, at most 1: the two clocks do not tick together.

    >>> share_of(50, 100), share_of(101, 100), share_of(0, 0)
    (0.5, 1.0, 1.0)
    """
    return min(1.0, ran_ns / worked_ns) if worked_ns else 1.0


def _check(tasks: Sequence[Task], repeats: int, seconds: float, warmups: int) -> None:
    if all(task.background for task in tasks):
        raise UsageError("a team needs at least one task that is measured")
    if repeats < 1 or not 0 <= seconds < _NS or warmups < 0:
        raise UsageError(
            f"a team makes at least one repeat for 0 or more seconds after 0 or more warm-ups, "
            f"not {repeats} for {seconds} after {warmups}"
        )
    for task in tasks:
        if task.cpu is not None and not 0 <= task.cpu < _CPUS:
            raise UsageError(f"a CPU is a number from 0, not {task.cpu}")
        if not 0 <= task.pause < 2**63:
            raise UsageError(f"a pause is a number of steps from 0, not {task.pause}")


def _lent(stack: ExitStack, task: Task) -> CTask:
    addresses, length = lend(stack, task.kernel, task.buffers)
    return CTask(
        kernel=ctypes.pointer(entry(task.kernel)),
        buffers=addresses,
        bytes=length,
        seed=task.seed % 2**64,
        pause=task.pause,
        cpu=-1 if task.cpu is None else task.cpu,
        background=task.background,
    )


def _task_run(task: Task, done: CTask, passes: int) -> TaskRun:
    elements = library().numawise_elements(done.kernel, done.bytes)
    stamps = done.stamps[: done.repeats] if done.repeats else []
    return TaskRun(
        kernel=task.kernel,
        background=task.background,
        elements=elements,
        bytes=0 if task.background else elements * done.kernel.contents.bytes_per_element * passes,
        started_ns=tuple(stamp.started_ns for stamp in stamps),
        ended_ns=tuple(stamp.ended_ns for stamp in stamps),
        cpu=done.ran_on if done.ran_on >= 0 else None,
        result=done.result,
        worked_ns=done.worked_ns,
        ran_ns=done.ran_ns,
    )


def _refusal(tasks: ctypes.Array[CTask], number: int) -> NumawiseError:
    for task in tasks:
        if task.failed and task.pinning:
            return cannot_pin(task.cpu, task.failed)
    if number == errno.ENOMEM:
        return NumawiseError(f"no memory for a run of {len(tasks)} threads ({errno_name(number)})")
    return cannot_start(len(tasks), number)


def cannot_pin(cpu: int, number: int) -> NumawiseError:
    """The error of a thread that was refused a CPU, by the errno of sched_setaffinity."""
    return NumawiseError(
        f"cannot run a thread on CPU {cpu}: sched_setaffinity gave {errno_name(number)}; the CPU is offline, does not "
        f"exist, or this process's cpuset leaves it out (Cpus_allowed_list in /proc/self/status): choose another"
    )


def cannot_start(threads: int, number: int) -> NumawiseError:
    """The error of threads that could not be started, by the errno of pthread_create."""
    return NumawiseError(
        f"cannot start {threads} threads: pthread_create gave {errno_name(number)}; use fewer, or raise ulimit -u "
        f"and the cgroup's pids.max"
    )


def errno_name(number: int) -> str:
    """The name of an errno and its meaning.

    >>> errno_name(22)
    'EINVAL (Invalid argument)'
    """
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"
