"""Run a command and leave nothing of it behind, whoever is killed and however long it takes.

    python tests/programs/guard.py SECONDS -- COMMAND ...

Passes the command's exit code through; 124 when the limit was reached.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(arguments: list[str]) -> int:
    seconds, command = float(arguments[0]), arguments[2:]
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command, start_new_session=True)
    try:
        return child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        kill_all(child.pid)


def kill_all(leader: int) -> None:
    """Kill the command's group, then whatever of it left the group: orphans come to us, a subreaper."""
    with contextlib.suppress(ProcessLookupError):  # ended by itself
        os.killpg(leader, signal.SIGKILL)
    while True:
        for pid in Path("/proc/self/task", str(os.getpid()), "children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def interrupted(signum: int, _frame: object) -> None:
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
