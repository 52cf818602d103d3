"""A launch of servers: starts every instance, keeps it up, hears its output, and ends all of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from numawise.errors import NumawiseError
from numawise.launch.process import Process, Start
from numawise.launch.servers.asking import Asking
from numawise.launch.servers.instance import Instance
from numawise.launch.servers.loop import Loop
from numawise.launch.servers.pipes import Pipes
from numawise.launch.servers.processes import Processes, how_it_ended, send
from numawise.launch.servers.ready import NOTIFY_SOCKET, Announcement
from numawise.launch.servers.relay import Relay
from numawise.launch.servers.values import UNHEALTHY_CODE, Event, EventKind, Rules
from numawise.launch.values import End, LaunchEnd, look_at_s
from numawise.linux import prctl
from numawise.linux.signals import Received, open_signal_fd, read_signals
from numawise.machine.topology import Topology
from numawise.placement.fill import fill
from numawise.placement.fit import first_touch_suffices
from numawise.placement.values import Plan

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)
_NOT_STARTED_CODE = 127
_POLITE_CODES = (0, 128 + signal.SIGTERM)  # of one that was told to end
_FOREVER = float("inf")


def supervise_servers(
    plan: Plan,
    command: Sequence[str],
    topology: Topology,
    rules: Rules,
    *,
    relay: Relay,
    tell: Callable[[Event], None],
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    look: Callable[[Sequence[Process]], None] | None = None,
) -> LaunchEnd:
    """Run `command` as one server a placement until all have ended for good, or a signal says to stop.

    Each has a session of its own, nothing on standard input, `port` + its rank for `{port}`, and its output goes to
    `relay`. `tell` hears every event, `look` is called now and then with the living processes. For a process of its
    own, as `launch.supervise` is: it adopts and reaps every child, and at the end kills every descendant.

    The exit code: that of the first instance that failed for good; 124 if it was stopped because it was not healthy;
    0 if none did. After a signal to stop, an instance that ended by the SIGTERM it was sent has not failed.

    Raises as `launch.process.start` does when an instance cannot be started for the first time, with none left.
    """
    return _Servers(plan, command, topology, rules, relay, tell, port, env, look).run()


class _Servers:
    def __init__(
        self,
        plan: Plan,
        command: Sequence[str],
        topology: Topology,
        rules: Rules,
        relay: Relay,
        tell: Callable[[Event], None],
        port: int | None,
        env: Mapping[str, str] | None,
        look: Callable[[Sequence[Process]], None] | None,
    ) -> None:
        self.rules, self.topology, self.hear, self.look = rules, topology, tell, look
        self.env = dict(os.environ if env is None else env)
        # Whether all are ready is ours to say; else systemd would be told by the first.
        self.announcement = Announcement(rules.ready_file, self.env.pop(NOTIFY_SOCKET, None))
        self.instances = [
            Instance(
                placement,
                tuple(fill(word, placement, port) for word in command),
                None if port is None else port + placement.rank,
                rules,
            )
            for placement in plan.placements
        ]
        self.loop = Loop()
        self.pipes = Pipes(relay, self.loop)
        self.processes = Processes(
            self.loop, self.pipes, self._reap, lambda text: self._tell("note", detail=text)
        )
        self.asking = Asking(rules.health, self.loop, self._answered) if rules.health else None
        self.ready = self.stopping = False
        self.stop_signals: list[int] = []
        self.first_failure = 0
        self.looks = 0
        self.began = time.monotonic()

    def run(self) -> LaunchEnd:
        # What was ignored when we came (nohup) stays ignored, by us and by the servers.
        watched = [s for s in (*_STOPS, *_PASSED_ON) if signal.getsignal(s) is not signal.SIG_IGN]
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, [*watched, signal.SIGCHLD])
        signal_fd = open_signal_fd([*watched, signal.SIGCHLD])
        self.loop.watch(signal_fd, lambda: self._receive_all(signal_fd))
        prctl.become_subreaper()
        try:
            self.processes.guard()
            for instance in self.instances:
                self._start(instance)
            self._check_ready()
            while any(instance.state != "over" for instance in self.instances):
                self._step()
        finally:
            self.processes.clean_up()
            self.announcement.withdraw()
            self.pipes.finish()
            os.close(signal_fd)
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        return LaunchEnd(
            tuple(instance.end for instance in self.instances if instance.end),
            self.first_failure,
            self._now(),
            interrupted=self.stop_signals[0] if self.stop_signals else None,
            restarts=tuple(instance.starts - 1 for instance in self.instances if instance.end),
        )

    def _now(self) -> float:
        return time.monotonic() - self.began

    def _tell(self, event: EventKind, instance: Instance | None = None, detail: str = "") -> None:
        happened = Event(event, self._now(), detail=detail)
        if instance is not None:
            happened = msgspec.structs.replace(
                happened,
                rank=instance.placement.rank,
                node=instance.placement.node,
                port=instance.port,
                pid=instance.pid,
            )
        self.hear(happened)

    def _step(self) -> None:
        look_at = look_at_s(self.looks) if self.look else _FOREVER
        due = min([look_at, *(i.due_s for i in self.instances if i.state != "over")])
        self.pipes.watch()
        self.loop.wait(due - self._now())
        for instance in self.instances:
            if instance.state != "over" and self._now() >= instance.due_s:
                self._be_due(instance)
        if self.look and self._now() >= look_at:
            self.looks += 1
            self.look([i.process for i in self.instances if i.process and i.lives])

    def _be_due(self, instance: Instance) -> None:
        if instance.state == "waiting":
            self._start_again(instance)
        elif instance.state == "stopping":
            self._kill(instance, f"still there {self.rules.stop_timeout_s:g} s after SIGTERM")
        elif instance.state == "starting" and self._now() >= instance.start_deadline_s:
            limit = f"--start-timeout {instance.start_deadline_s - instance.begun_s:g} s"
            self._stop(instance, f"not healthy within {limit}: {instance.last_answer}")
        elif self.asking and instance.probe:
            self.asking.overdue(instance)
        elif self.asking:
            self.asking.ask(instance, self._now())

    def _start(self, instance: Instance) -> None:
        placement = instance.placement
        process = self.processes.start(
            instance,
            Start(
                placement=placement,
                argv=instance.argv,
                env={**self.env, **placement.env},
                follows_first_touch=first_touch_suffices(placement, self.topology),
                strict=self.rules.strict,
            ),
        )
        instance.has_started(process, self._now())
        self._tell("started", instance, "; ".join(process.steps))
        if self.rules.health is None:
            instance.has_become_healthy(self._now())

    def _start_again(self, instance: Instance) -> None:
        try:
            self._start(instance)
        except (NumawiseError, OSError) as error:
            instance.starts += 1
            self._has_ended(instance, _NOT_STARTED_CODE, f"cannot be started: {error}")

    def _answered(self, instance: Instance, answer: str) -> None:
        if not instance.has_answered(answer, self._now()):
            return
        if answer:
            self._tell("unhealthy", instance, f"{instance.missed} answers missed, the last: {answer}")
            self._stop(instance, "unhealthy")
        else:
            detail = f"{self._now() - instance.begun_s:.2f} s after its start"
            if by := self.processes.strangers(instance):  # docker-proxy, say: or its bind has failed
                detail += f"; who answers is {by}, which it has not started"
            self._tell("healthy", instance, detail)
            self._check_ready()

    def _check_ready(self) -> None:
        if self.ready or self.stopping or any(i.state != "healthy" for i in self.instances):
            return
        self.ready = True
        count = len(self.instances)
        status = f"{count} server{'s' if count > 1 else ''}, {self._now():.2f} s after the start"
        self._tell("ready", detail=status)
        for trouble in self.announcement.ready([i.place for i in self.instances], status):
            self._tell("note", detail=trouble)

    def _receive_all(self, signal_fd: int) -> None:
        for received in read_signals(signal_fd):
            self._receive(received)

    def _receive(self, received: Received) -> None:
        signum = received.signum
        if signum == signal.SIGCHLD:
            self._reap()
        elif signum in _PASSED_ON:
            for instance in self.instances:
                send(instance, signum)
        else:
            self.stop_signals.append(signum)
            name = signal.Signals(signum).name
            if len(self.stop_signals) == 1:
                self._stop_all(f"{name} received")
                return
            for instance in self.instances:  # whoever asks a second time means at once
                if instance.lives:
                    self._kill(instance, f"second signal ({name})")

    def _stop_all(self, why: str) -> None:
        self.stopping = True
        limit = f"SIGTERM, and SIGKILL after {self.rules.stop_timeout_s:g} s"
        if any(instance.lives for instance in self.instances):
            self._tell("stopping", detail=f"{why}: {limit}")
        for trouble in self.announcement.stopping():
            self._tell("note", detail=trouble)
        for instance in self.instances:
            if instance.state in ("starting", "healthy"):
                self._terminate(instance)
            elif instance.state == "waiting":
                instance.state = "over"

    def _stop(self, instance: Instance, why: str) -> None:
        instance.why = why
        self._tell("stopping", instance, why)
        self._terminate(instance)

    def _terminate(self, instance: Instance) -> None:
        self._forget_probe(instance)
        instance.state, instance.kill_at_s = "stopping", self._now() + self.rules.stop_timeout_s
        send(instance, signal.SIGTERM)

    def _kill(self, instance: Instance, why: str) -> None:
        self._tell("killed", instance, why)
        self._forget_probe(instance)
        instance.state, instance.kill_at_s = "stopping", _FOREVER
        self.processes.kill(instance)

    def _forget_probe(self, instance: Instance) -> None:
        if self.asking:
            self.asking.forget(instance)

    def _reap(self) -> None:
        for instance, code in self.processes.reap():
            self._forget_probe(instance)
            self._has_ended(instance, 128 - code if code < 0 else code, how_it_ended(code))

    def _has_ended(self, instance: Instance, code: int, how: str) -> None:
        """Decide what becomes of an instance whose process is no more."""
        now, rank = self._now(), instance.placement.rank
        assert instance.process is not None
        self._tell("ended", instance, how)
        if instance.why and not self.stopping:
            code = UNHEALTHY_CODE
        instance.end = End(instance.process, code, now - instance.begun_s)
        healthy_s, instance.why = instance.healthy_for_s(now), ""
        instance.state, instance.healthy_since_s = "over", None
        if self.stopping:
            if code not in _POLITE_CODES:
                self.first_failure = self.first_failure or code
            return
        if instance.backoff.wants(failed=code != 0):
            delay_s = instance.backoff.next_delay_s(healthy_s)
            if delay_s is not None:
                instance.state, instance.begun_s = "waiting", now + delay_s
                most = self.rules.restart.most
                count = f"restart {instance.backoff.in_a_row}" + (f" of {most}" if most is not None else "")
                self._tell("restarting", instance, f"in {delay_s:g} s, {count} in a row")
                return
            self._tell("given-up", instance, f"{instance.backoff.in_a_row} restarts in a row did not help")
            code = code or 1  # `always`: one that ends again and again has failed, whatever it says
        if code:
            self.first_failure = self.first_failure or code
            if not self.rules.keep_going:
                self._stop_all(f"rank {rank} has failed")
