"""What belongs to an instance: the processes of its session, and those that left the session but carry its mark."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress

from numawise.linux import procfs

MARK = "NUMAWISE_INSTANCE"
"""Variable in the environment of every process of an instance; other launches on this machine have other values."""


def kill_members(
    sessions: Collection[int],
    is_marked: Callable[[str], bool],
    *,
    below: int | None,
    spared: Collection[int] = (),
    rounds: int = 50,
) -> None:
    """Kill the processes of these sessions, and the marked ones outside.

    below: look for marks among the descendants of this process only; None: among all processes, as is needed once
        that process has died.
    spared: sessions known to be others', whose processes are not even looked at: reading the environment of a process
        takes the lock of its memory for a moment.
    """
    for session in sessions:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signal.SIGKILL)
    killed: set[int] = set()
    for _ in range(rounds):  # what forks while it is killed is found by the next round
        found = [pid for pid in _members(sessions, is_marked, below, spared) if pid not in killed]
        if not found:
            break
        for pid in found:
            killed.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _members(
    sessions: Collection[int], is_marked: Callable[[str], bool], below: int | None, spared: Collection[int]
) -> list[int]:
    if not procfs.shows_us():
        return []
    found: list[int] = []
    others: list[int] = []
    parents: dict[int, int] = {}
    for pid in procfs.processes():
        try:
            # The name, in brackets, may hold anything: count from behind it (proc_pid_stat(5)).
            state, parent, _, session = procfs.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        parents[pid] = int(parent)
        if state in "ZX" or pid == os.getpid():
            continue
        if int(session) in sessions:
            found.append(pid)
        elif int(session) not in spared:
            others.append(pid)
    if below is not None:
        others = [pid for pid in others if _is_below(pid, below, parents)]
    return found + [pid for pid in others if is_marked(mark_of(pid))]


def is_member(pid: int, session: int, mark: str) -> bool:
    """Does this process belong to the instance with this session and mark?"""
    try:
        if os.getsid(pid) == session:
            return True
    except OSError:
        return False
    return mark_of(pid) == mark


def mark_of(pid: int) -> str:
    """The mark that a process was started with, empty if none can be read."""
    try:
        for pair in procfs.read_environment(pid):
            name, _, value = pair.partition("=")
            if name == MARK:
                return value
    except OSError:
        pass  # gone, a zombie, or not ours to read
    return ""


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    for _ in range(len(parents)):  # the table was not read at one instant: it could hold a circle
        pid = parents.get(pid, 0)
        if pid in (0, ancestor):
            break
    return pid == ancestor
