"""Ends what a killed run left running: it would slow down, and falsify, the trials that come after.

Every process of a trial carries the run's id in its environment, and so does whatever it starts, in whatever session.
"""

from __future__ import annotations

import os
import signal
import time

from numawise.errors import NumawiseError
from numawise.linux import procfs

MARK = "NUMAWISE_RUN"
"""Environment variable that holds the id of the run a process was started for."""


def end(study_id: str) -> int:
    """Kill every process that was started for `study_id` and still lives; returns how many there were.

    Raises NumawiseError when they do not end.
    """
    if not procfs.shows_us():
        return 0  # those ids are of other processes than those we would kill
    killed: set[int] = set()
    deadline = time.monotonic() + 5.0
    while living := [pid for pid in procfs.processes() if pid != os.getpid() and _started_for(pid, study_id)]:
        if time.monotonic() > deadline:
            names = ", ".join(map(str, living))
            raise NumawiseError(f"processes of the killed run do not end: {names}; end them, then resume")
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except ProcessLookupError:
                continue
        time.sleep(0.01)
    return len(killed)


def _started_for(pid: int, study_id: str) -> bool:
    try:
        return f"{MARK}={study_id}" in procfs.read_environment(pid) and procfs.is_alive(pid)
    except (*procfs.GONE, PermissionError):  # ended, or another user's and so none of ours
        return False
