"""Runs a Plan to its end: starts every process, passes signals on, hears output, stops the rest when one fails."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from numawise.launch.output import Sink
from numawise.launch.process import Process, Start, start, start_with_pipes
from numawise.launch.values import End, LaunchEnd, look_at_s
from numawise.linux import prctl, procfs
from numawise.linux.signals import Received, open_signal_fd, read_signals
from numawise.machine.topology import Topology
from numawise.placement.fill import fill
from numawise.placement.fit import first_touch_suffices
from numawise.placement.values import Placement, Plan

_FATAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PASSED_ON = (*_FATAL, signal.SIGUSR1, signal.SIGUSR2)
_KILL_AFTER_S = 2.0
_READS_AT_ONCE = 256  # of 64 KiB: one that never stops writing must not keep signals and others waiting


def supervise(
    plan: Plan,
    command: Sequence[str],
    topology: Topology,
    *,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    sink: Sink | None = None,
    started: Callable[[Process], None] | None = None,
    look: Callable[[Sequence[Process]], None] | None = None,
    strict: bool = False,
    keep_going: bool = False,
    grace_s: float = 10.0,
    timeout_s: float | None = None,
    disposable: bool = False,
) -> LaunchEnd:
    """Run `command` once for each placement of `plan`, placeholders filled in, and wait for all.

    Without a `sink` the one process shares our terminal; with one, output goes there and each process has a session
    of its own. `started` is told each process as it starts, `look` is called now and then with the living ones. A
    process that fails stops the others: SIGTERM, and SIGKILL after `grace_s` seconds, unless `keep_going`.
    `disposable` processes (trials) leave nothing behind: what they started in the background is killed when they end,
    and they themselves die with us whatever kills us (what they had started by then does not: `leftovers`).

    For a process of its own, as the command line is: it adopts and reaps every child this process has, and when it
    cleans up it kills every descendant.

    Raises as `start` does, after stopping what had been started.
    """
    return _Supervisor(
        sink=sink,
        started=started,
        look=look,
        keep_going=keep_going,
        grace_s=grace_s,
        timeout_s=timeout_s,
        disposable=disposable,
    ).run(plan, command, topology, dict(os.environ if env is None else env), port, strict)


class _Supervisor:
    def __init__(
        self,
        *,
        sink: Sink | None,
        started: Callable[[Process], None] | None,
        look: Callable[[Sequence[Process]], None] | None,
        keep_going: bool,
        grace_s: float,
        timeout_s: float | None,
        disposable: bool,
    ) -> None:
        self.sink, self.started, self.look, self.keep_going = sink, started, look, keep_going
        self.grace_s, self.timeout_s, self.disposable = grace_s, timeout_s, disposable
        self.living: dict[int, Process] = {}
        self.ends: dict[int, End] = {}
        self.first_failure = 0
        self.signals_seen: list[int] = []
        self.kill_at: float | None = None
        self.timed_out = False
        self.looks = 0
        self.began = time.monotonic()
        self.pipes: dict[int, tuple[int, int]] = {}  # descriptor -> (rank, stream)
        self.pidfds: set[int] = set()
        self.poll = select.poll()

    def run(
        self,
        plan: Plan,
        command: Sequence[str],
        topology: Topology,
        env: dict[str, str],
        port: int | None,
        strict: bool,
    ) -> LaunchEnd:
        # A signal that was ignored when we came (nohup, background jobs) stays ignored, by us and by the program.
        watched = [s for s in _PASSED_ON if signal.getsignal(s) is not signal.SIG_IGN]
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, [*watched, signal.SIGCHLD])
        signal_fd = open_signal_fd([*watched, signal.SIGCHLD])
        self.poll.register(signal_fd, select.POLLIN)
        prctl.become_subreaper()
        self.began = time.monotonic()
        try:
            for placement in plan.placements:
                argv = [fill(word, placement, port) for word in command]
                self._start(
                    placement,
                    argv,
                    {**env, **placement.env},
                    first_touch_suffices(placement, topology),
                    strict,
                )
            while self.living:
                self._step(signal_fd)
        except BaseException:
            self._signal(signal.SIGKILL)
            self._clean_up()
            raise
        finally:
            # What one program left in the background on purpose stays; of an ended launch of many, nothing does.
            if self.disposable or self.signals_seen or (self.first_failure and self.sink is not None):
                self._clean_up()
            for fd in list(self.pipes):
                self._read(fd, last=True)
            for fd in (signal_fd, *self.pidfds):
                os.close(fd)
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        ends = tuple(self.ends[rank] for rank in sorted(self.ends))
        return LaunchEnd(
            ends,
            self.first_failure,
            time.monotonic() - self.began,
            interrupted=self.signals_seen[0] if self.signals_seen else None,
            timed_out=self.timed_out,
        )

    def _start(
        self, placement: Placement, argv: list[str], env: dict[str, str], near: bool, strict: bool
    ) -> None:
        wish = Start(
            placement=placement,
            argv=tuple(argv),
            env=env,
            own_session=self.sink is not None,
            death_signal=signal.SIGKILL if self.disposable else signal.SIGTERM,
            follows_first_touch=near,
            strict=strict,
        )
        process = start(wish) if self.sink is None else self._start_with_pipes(wish)
        self.living[process.pid] = process
        self._watch(process.pid)
        if self.started:
            self.started(process)

    def _watch(self, pid: int) -> None:
        """Be woken when it ends. SIGCHLD alone is not enough: another thread of ours (a BLAS pool) may swallow it."""
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return  # a kernel before 5.3, or a sandbox: SIGCHLD has to do
        self.pidfds.add(fd)
        self.poll.register(fd, select.POLLIN)

    def _start_with_pipes(self, wish: Start) -> Process:
        process, out, err = start_with_pipes(wish)
        for stream, fd in ((1, out), (2, err)):
            self.pipes[fd] = (wish.placement.rank, stream)
            self.poll.register(fd, select.POLLIN)
        return process

    def _step(self, signal_fd: int) -> None:
        now = time.monotonic() - self.began
        due = look_at_s(self.looks)
        waits = [due if self.look else None, self.timeout_s, self.kill_at]
        wait_s = min((w - now for w in waits if w is not None), default=None)
        for fd, _ in self.poll.poll(None if wait_s is None else max(0, wait_s) * 1000 + 1):
            if fd == signal_fd:
                for received in read_signals(signal_fd):
                    self._receive(received)
            elif fd in self.pidfds:
                self.pidfds.remove(fd)
                self.poll.unregister(fd)
                os.close(fd)
                self._reap()
            else:
                self._read(fd)
        now = time.monotonic() - self.began
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = None
            self._signal(signal.SIGKILL)
        if self.timeout_s is not None and now >= self.timeout_s and self.living:
            self.timed_out, self.timeout_s = True, None
            self._stop_all(after_s=_KILL_AFTER_S)
        if self.look and now >= due and self.living:
            self.looks += 1
            self.look(tuple(self.living.values()))

    def _receive(self, received: Received) -> None:
        if received.signum == signal.SIGCHLD:
            self._reap()
            return
        # The terminal has sent it to the program as well, unless that is in a session of its own.
        reached = received.from_terminal and self.sink is None
        signum = received.signum
        if signum in _FATAL:
            self.signals_seen.append(signum)
            # Whoever asks a second time means it, and a third time at once.
            again = len(self.signals_seen)
            signum = signum if again == 1 else signal.SIGTERM if again == 2 else signal.SIGKILL
            reached = reached and again == 1
        if not reached:
            self._signal(signum)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self.living.pop(pid, None)
            if process is None:
                continue  # an orphan that we adopted as subreaper
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code
            self.ends[process.placement.rank] = End(process, code, time.monotonic() - self.began)
            if code and not self.first_failure:
                self.first_failure = code
                if not self.keep_going and self.living:
                    self._stop_all(after_s=self.grace_s)

    def _stop_all(self, *, after_s: float) -> None:
        self._signal(signal.SIGTERM)
        self.kill_at = time.monotonic() - self.began + after_s

    def _signal(self, signum: int) -> None:
        for pid in self.living:
            try:
                # A session of its own is a process group of its own: reach what it started, too.
                os.killpg(pid, signum) if self.sink is not None else os.kill(pid, signum)
            except ProcessLookupError:
                continue  # ended, and not reaped yet

    def _clean_up(self) -> None:
        """Kill and reap whatever still descends from us."""
        deadline = time.monotonic() + 5.0
        while (pids := procfs.descendants(os.getpid())) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self._reap()
            time.sleep(0.002)
        self._reap()

    def _read(self, fd: int, *, last: bool = False) -> None:
        assert self.sink is not None  # only a sink has pipes
        rank, stream = self.pipes[fd]
        data: bytes | None = None
        for _ in range(_READS_AT_ONCE):
            try:
                data = os.read(fd, 1 << 16)
            except BlockingIOError:
                data = None
            if not data:
                break
            self.sink.feed(rank, stream, data)
        if data == b"" or last:
            self.poll.unregister(fd)
            os.close(fd)
            del self.pipes[fd]
            self.sink.feed(rank, stream, b"")
