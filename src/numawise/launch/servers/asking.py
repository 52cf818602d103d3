"""Putting the health question to instances, one at a time to each, and handing on the answers."""

from __future__ import annotations

from collections.abc import Callable

from numawise.launch.servers.health import Probe
from numawise.launch.servers.instance import Instance
from numawise.launch.servers.loop import Loop
from numawise.launch.servers.values import Health


class Asking:
    """Questions under way. `answered` is told the instance and the answer, empty for healthy."""

    def __init__(self, health: Health, loop: Loop, answered: Callable[[Instance, str], None]) -> None:
        self._health, self._loop, self._answered = health, loop, answered

    def ask(self, instance: Instance, now_s: float) -> None:
        """Put the question."""
        assert instance.port is not None  # the command line sees to it
        try:
            probe = Probe(self._health, instance.port)
        except OSError as error:  # no descriptor is left, say
            self._answered(instance, f"cannot be asked: {error.strerror}")
            return
        instance.probe, instance.probe_until_s = probe, now_s + self._health.timeout_s
        self._loop.watch(probe.fd, lambda: self._proceed(instance, probe), probe.wants)
        if probe.answer is not None:
            self._finish(instance, probe.answer)

    def overdue(self, instance: Instance) -> None:
        """No answer came in time."""
        self._finish(instance, f"no answer within {self._health.timeout_s:g} s")

    def forget(self, instance: Instance) -> None:
        """Ask no further."""
        if instance.probe:
            self._loop.unwatch(instance.probe.fd)
            instance.probe.close()
            instance.probe = None

    def _proceed(self, instance: Instance, probe: Probe) -> None:
        wanted = probe.wants
        probe.proceed()
        if probe.answer is not None:
            self._finish(instance, probe.answer)
        elif probe.wants != wanted:
            self._loop.change(probe.fd, probe.wants)

    def _finish(self, instance: Instance, answer: str) -> None:
        self.forget(instance)
        self._answered(instance, answer)
