"""One server: which state it is in, and when it is due for something."""

from __future__ import annotations

from typing import Literal

from numawise.launch.process import Process
from numawise.launch.servers.health import Probe
from numawise.launch.servers.restart import Backoff
from numawise.launch.servers.values import Rules
from numawise.launch.values import End
from numawise.placement.values import Placement

State = Literal["waiting", "starting", "healthy", "stopping", "over"]

_FIRST_ASKS_S = 0.25
_FOREVER = float("inf")


class Instance:
    """The state of one placement's server. Times are on the clock of the launch.

    waiting (for the back-off) -> starting -> healthy -> stopping -> over, or back to waiting.
    """

    def __init__(self, placement: Placement, argv: tuple[str, ...], port: int | None, rules: Rules) -> None:
        self.placement, self.argv, self.port = placement, argv, port
        self.state: State = "waiting"
        self.process: Process | None = None
        self.end: End | None = None
        self.backoff = Backoff(rules.restart)
        self.starts = 0
        self.begun_s = 0.0
        """When it was last started; before that, when it is to be."""
        self.healthy_since_s: float | None = None
        self.why = ""
        """Why it was stopped by us; empty if it was not, or with all others."""
        self.kill_at_s = _FOREVER
        self.probe: Probe | None = None
        self.probe_until_s = _FOREVER
        self.ask_at_s = _FOREVER
        self.missed = 0
        self.last_answer = "not asked yet"
        self._health = rules.health

    @property
    def pid(self) -> int | None:
        """Of the living process, or of the last one."""
        return self.process.pid if self.process else None

    @property
    def lives(self) -> bool:
        """Is there a process now?"""
        return self.state in ("starting", "healthy", "stopping")

    @property
    def place(self) -> str:
        """Rank, node, port and pid in a line; a dash for what there is none of."""
        numbers = (self.placement.rank, self.placement.node, self.port, self.pid)
        return " ".join("-" if number is None else str(number) for number in numbers)

    @property
    def start_deadline_s(self) -> float:
        """When it must have become healthy."""
        return self.begun_s + self._health.start_timeout_s if self._health else _FOREVER

    @property
    def due_s(self) -> float:
        """When something has to be done about it, should nothing happen before."""
        if self.state == "waiting":
            return self.begun_s
        if self.state == "stopping":
            return self.kill_at_s
        asked = self.probe_until_s if self.probe else self.ask_at_s
        return min(asked, self.start_deadline_s) if self.state == "starting" else asked

    def has_started(self, process: Process, now_s: float) -> None:
        """It runs."""
        self.process, self.begun_s, self.state = process, now_s, "starting"
        self.starts += 1
        self.why, self.missed, self.last_answer = "", 0, "not asked yet"
        self.healthy_since_s, self.kill_at_s = None, _FOREVER
        self.ask_at_s = now_s + _FIRST_ASKS_S / 5 if self._health else _FOREVER

    def has_answered(self, answer: str, now_s: float) -> bool:
        """Note an answer (empty: healthy); returns whether it has changed the state."""
        assert self._health is not None
        interval_s = self._health.interval_s
        # One that starts is asked more often: who waits for it need not wait much longer.
        self.ask_at_s = now_s + (min(interval_s, _FIRST_ASKS_S) if self.state == "starting" else interval_s)
        self.last_answer = answer
        if self.state == "starting" and not answer:
            self.has_become_healthy(now_s)
            return True
        self.missed = self.missed + 1 if answer else 0
        return self.state == "healthy" and self.missed >= self._health.failures

    def has_become_healthy(self, now_s: float) -> None:
        """It serves, as far as is known."""
        self.state, self.healthy_since_s, self.missed = "healthy", now_s, 0
        if self._health:
            self.ask_at_s = now_s + self._health.interval_s

    def healthy_for_s(self, now_s: float) -> float:
        """How long it was healthy until now."""
        return now_s - self.healthy_since_s if self.healthy_since_s is not None else 0.0
