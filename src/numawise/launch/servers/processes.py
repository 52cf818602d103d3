"""The living processes of a launch of servers: starting, signalling, killing and reaping them, whole."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from numawise.launch.process import Process, Start, start_with_pipes
from numawise.launch.servers.guard import Guard
from numawise.launch.servers.instance import Instance
from numawise.launch.servers.loop import Loop
from numawise.launch.servers.members import MARK, is_member, kill_members
from numawise.launch.servers.pipes import Pipes
from numawise.linux import procfs
from numawise.linux.listeners import holders

_CLEAN_UP_S = 5.0


class Processes:
    """Processes and the guard that ends them should we be killed.

    `ended` is called when there is one to reap, `note` with what somebody should know.
    """

    def __init__(
        self, loop: Loop, pipes: Pipes, ended: Callable[[], None], note: Callable[[str], None]
    ) -> None:
        self._loop, self._pipes, self._ended, self._note = loop, pipes, ended, note
        self._mark = f"{os.getpid()}.{time.time_ns():x}."
        self._guard = Guard(self._mark)
        self._by_pid: dict[int, Instance] = {}
        self._pidfds: dict[int, int] = {}

    def guard(self) -> None:
        """Have the guard stand by. Before the first start, with the signals blocked that shall not end it."""
        self._guard.start()

    def start(self, instance: Instance, wish: Start) -> Process:
        """Start an instance's process. Raises as `launch.process.start` does, and OSError where fork fails."""
        rank = instance.placement.rank
        wish = Start(
            placement=wish.placement,
            argv=wish.argv,
            env={**wish.env, MARK: f"{self._mark}{rank}"},
            own_session=True,
            death_signal=signal.SIGKILL,
            follows_first_touch=wish.follows_first_touch,
            strict=wish.strict,
        )
        process, out, err = start_with_pipes(wish)
        self._by_pid[process.pid] = instance
        self._guard.add(process.pid)
        self._pipes.add(rank, out, err)
        with suppress(OSError):  # without pidfd_open (before Linux 5.3, in a sandbox) SIGCHLD has to do
            fd = self._pidfds[process.pid] = os.pidfd_open(process.pid)
            self._loop.watch(fd, self._ended)
        return process

    def kill(self, instance: Instance) -> None:
        """SIGKILL to its session, and to what left that."""
        assert instance.pid is not None
        mark = f"{self._mark}{instance.placement.rank}"
        others = self._by_pid.keys() - {instance.pid}
        kill_members((instance.pid,), lambda text: text == mark, below=os.getpid(), spared=others)

    def strangers(self, instance: Instance) -> str:
        """Who else holds the instance's port, in words; empty when it does itself, or nobody can tell."""
        if instance.port is None or instance.pid is None or not procfs.shows_us():
            return ""
        mark = f"{self._mark}{instance.placement.rank}"
        found = holders(instance.port)
        if any(is_member(holder.pid, instance.pid, mark) for holder in found):
            return ""
        return ", ".join(f"process {holder.pid} ({holder.name})" for holder in found)

    def reap(self) -> Iterator[tuple[Instance, int]]:
        """Reap what has ended: the instances, each with its exit code, negative for a signal; others in silence."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            instance = self._by_pid.pop(pid, None)
            if instance:
                # While it is a zombie its id is nobody else's. What it leaves behind would keep its port.
                self.kill(instance)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if instance:
                self._forget(instance, pid)
                yield instance, code
            elif pid == self._guard.pid and not self._guard.start():
                self._note(
                    "the guard is dead for good: kill -9 of numawise may now leave servers' children behind"
                )

    def clean_up(self) -> None:
        """Kill and reap whatever still descends from us, then let the guard go."""
        deadline = time.monotonic() + _CLEAN_UP_S
        while time.monotonic() < deadline:
            pids = [pid for pid in procfs.descendants(os.getpid()) if pid != self._guard.pid]
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for _ in self.reap():
                continue
            if not pids and not self._by_pid:
                break
            time.sleep(0.002)
        self._guard.release()

    def _forget(self, instance: Instance, pid: int) -> None:
        self._guard.remove(pid)
        self._pipes.close(instance.placement.rank)
        if (fd := self._pidfds.pop(pid, None)) is not None:
            self._loop.unwatch(fd)
            os.close(fd)


def send(instance: Instance, signum: int) -> None:
    """Signal an instance, if it lives."""
    if instance.lives and instance.pid is not None:
        # The leader of a session leads a process group as well: reach what it has started, too.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(instance.pid, signum)


def how_it_ended(code: int) -> str:
    """An exit code in words, negative for a signal as the subprocess module has it.

    >>> how_it_ended(3), how_it_ended(-9)
    ('exit code 3', 'SIGKILL')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
