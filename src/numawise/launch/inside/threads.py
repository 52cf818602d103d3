"""Threads that run already: an affinity is a thread's own, and so is a memory policy.

sched_setaffinity(2) on a process sets the thread of that id alone, so every thread in `/proc/self/task` is set, again
until none is found outside: one that a thread not yet bound starts meanwhile inherits the old CPUs.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping
from typing import NamedTuple

from numawise.linux import procfs
from numawise.linux.cpuset import CPUSet

_PASSES = 100
"""Threads that somebody starts faster than this can bind them: give up and say so."""


class Moved(NamedTuple):
    """How many threads there are, were set, and are still free to leave; why, in words."""

    seen: int
    moved: int
    outside: int
    steps: tuple[str, ...]


def affinities() -> dict[int, frozenset[int]]:
    """The CPUs each thread of this process may run on, by thread id."""
    found: dict[int, frozenset[int]] = {}
    for tid in procfs.thread_ids(os.getpid()):
        try:
            found[tid] = frozenset(os.sched_getaffinity(tid))
        except ProcessLookupError:
            continue  # has just ended
    return found


def move(cpus: CPUSet) -> Moved:
    """Set every thread that may run outside of `cpus`; one that is bound more narrowly within them is left alone."""
    wanted = frozenset(cpus)
    moved: set[int] = set()
    refused: dict[int, str] = {}
    for _ in range(_PASSES):
        outside = [
            tid for tid, allowed in affinities().items() if not allowed <= wanted and tid not in refused
        ]
        if not outside:
            break
        for tid in outside:
            try:
                os.sched_setaffinity(tid, wanted)
                moved.add(tid)
            except ProcessLookupError:
                continue
            except OSError as error:
                refused[tid] = errno.errorcode.get(error.errno or 0, "?")
    after = affinities()
    left = sum(not allowed <= wanted for allowed in after.values())
    steps: tuple[str, ...] = ()
    if left:
        answers = (
            ", ".join(sorted(set(refused.values()))) or "nothing, but more are being started all the time"
        )
        some = "1 thread is" if left == 1 else f"{left} threads are"
        steps = (f"{some} not bound to CPUs {cpus}: sched_setaffinity answered {answers}",)
    return Moved(len(after), len(moved), left, steps)


def restore(before: Mapping[int, frozenset[int]]) -> None:
    """Give threads back what they had, as far as they still live and the kernel still gives it."""
    for tid, cpus in before.items():
        try:
            if frozenset(os.sched_getaffinity(tid)) != cpus:
                os.sched_setaffinity(tid, cpus)
        except OSError:
            continue


def with_other_policy() -> int:
    """How many threads follow another memory policy than the calling one; all others where the kernel does not say.

    `numa_maps` of a thread shows its policy for a mapping that has none of its own, as the program's text is.
    """
    own, others = threading.get_native_id(), 0
    mine = _policy_word(own)
    for tid in procfs.thread_ids(os.getpid()):
        others += tid != own and (mine is None or _policy_word(tid) not in (mine, ""))
    return others


def _policy_word(tid: int) -> str | None:
    """The second word of the first line; empty when the thread has ended, None where there is no such file."""
    try:
        with open(f"/proc/self/task/{tid}/numa_maps", "rb", buffering=0) as file:  # noqa: PTH123
            words = file.read(256).split(b" ", 2)
    except procfs.GONE:
        return "" if not os.path.exists(f"/proc/self/task/{tid}") else None  # noqa: PTH110
    except OSError:
        return None
    return words[1].decode() if len(words) > 1 else ""
