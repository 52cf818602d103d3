"""Ends what a killed run left running: it would slow down, and falsify, the trials that come after."""

from __future__ import annotations

import os
import signal
import time

from numawise.errors import NumawiseError
from numawise.experiment.store import Store
from numawise.launch.process import Process
from numawise.linux import procfs


def mark(store: Store, study_id: str, number: int, candidate: str, process: Process) -> None:
    """Note a process of the trial under way. One that has already ended leaves nothing to note."""
    try:
        start_time = procfs.read_stat(process.pid).start_time
    except procfs.GONE:
        return
    store.mark_running(study_id, number, candidate, process.pid, start_time, boot_id=procfs.boot_id())


def end(store: Store, study_id: str) -> int:
    """Kill the sessions of processes noted for `study_id` that still live; returns how many processes that were.

    Every process of a trial leads a session of its own. Its number is not given out again while a member lives, so a
    session without its leader is ours; one whose leader began at another time is somebody else's.
    Raises NumawiseError when they do not end.
    """
    boot = procfs.boot_id()
    sessions = {r.pid: r.start_time for r in store.running(study_id) if r.boot_id == boot}
    killed: set[int] = set()
    deadline = time.monotonic() + 5.0
    while members := _members(sessions):
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise NumawiseError(
                f"processes of the run that was killed do not end: {', '.join(map(str, members))}; end them, then resume"
            )
        time.sleep(0.01)
    store.clear_running(study_id)
    return len(killed)


def _members(sessions: dict[int, int]) -> list[int]:
    if not sessions:
        return []
    found = []
    strangers = set()
    for pid in procfs.processes():
        try:
            stat = procfs.read_stat(pid)
        except procfs.GONE:
            continue
        if pid in sessions and stat.start_time != sessions[pid]:
            strangers.add(pid)
        if stat.session in sessions and not stat.has_ended and pid != os.getpid():
            found.append((pid, stat.session))
    return [pid for pid, session in found if session not in strangers]
