"""A process that ends the servers should this one be killed: SIGKILL leaves nobody else to do it.

The parent death signal (prctl(2)) reaches only the process that we started, not what that has started; and whoever
execs a set-user-ID program or one with capabilities loses it. The guard reads a pipe that only we write to: at its
end, it kills every session it was told of, and what carries the launch's mark.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from numawise.launch.servers.members import kill_members

_FEW = 1024
_MOST_STARTS = 10


class Guard:
    """The guard of one launch. `mark` is what the marks of all its instances begin with.

    Start it with the signals blocked that shall not end it.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._pids: set[int] = set()
        self._writer = -1
        self._starts = 0
        self.pid = 0

    def start(self) -> bool:
        """Fork the guard, the first or one that takes the place of a dead one; False: too many have died.

        Raises OSError where the first cannot be forked.
        """
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1
        self.pid, self._starts = 0, self._starts + 1
        if self._starts > _MOST_STARTS:
            return False
        reader, self._writer = os.pipe2(os.O_CLOEXEC)
        try:
            self.pid = os.fork()
        except OSError:
            for end in (reader, self._writer):
                os.close(end)
            self._writer = -1
            if self._starts == 1:
                raise
            return False
        if self.pid == 0:
            try:
                _keep_guard(reader, self._mark)
            finally:
                os._exit(0)
        os.close(reader)
        os.set_blocking(self._writer, False)
        for pid in self._pids:
            self._write(b"+%d\n" % pid)
        return True

    def add(self, pid: int) -> None:
        """An instance has started: the leader of a session of its own."""
        self._pids.add(pid)
        self._write(b"+%d\n" % pid)

    def remove(self, pid: int) -> None:
        """Nothing of it is left."""
        self._pids.discard(pid)
        self._write(b"-%d\n" % pid)

    def release(self) -> None:
        """Nothing is left to guard: end it, even if somebody has stopped it, and reap it."""
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGKILL)  # not reaped yet: its id is nobody else's
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._writer)
        self._writer, self.pid = -1, 0

    def _write(self, line: bytes) -> None:
        if self._writer < 0:
            return
        try:
            os.write(self._writer, line)
        except BrokenPipeError:
            return  # it was killed; who reaps it starts another, which is told everything
        except BlockingIOError:  # somebody has stopped it, and it has read nothing for long
            os.kill(self.pid, signal.SIGKILL)


def _keep_guard(reader: int, mark: str) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # whoever waits for the end of our output must not wait for the guard
        os.dup2(null, stream)
    for descriptor in _open_descriptors():
        if descriptor > 2 and descriptor != reader:
            with suppress(OSError):  # the one that listed them
                os.close(descriptor)
    with suppress(OSError), open("/proc/thread-self/comm", "w") as name:  # noqa: PTH123  (pathlib starts slowly)
        name.write("numawise-guard")
    sessions: set[int] = set()
    rest = b""
    while data := os.read(reader, 1 << 12):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            (sessions.add if line[:1] == b"+" else sessions.discard)(int(line[1:]))
    kill_members(sessions, lambda text: text.startswith(mark), below=None)


def _open_descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  (pathlib starts slowly)
    except OSError:  # /proc of another PID namespace, or none
        return list(range(_FEW))
