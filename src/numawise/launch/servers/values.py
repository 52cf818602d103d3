"""The rules of a launch of servers, and what happens in it."""

from __future__ import annotations

from typing import Literal

import msgspec

RestartWhen = Literal["no", "on-failure", "always"]
HealthKind = Literal["tcp", "http"]
EventKind = Literal[
    "started",
    "healthy",
    "unhealthy",
    "stopping",
    "killed",
    "ended",
    "restarting",
    "given-up",
    "ready",
    "note",
]

UNHEALTHY_CODE = 124
"""Exit code of an instance that was stopped because it was not healthy; timeout(1) leaves with the same."""


class Restart(msgspec.Struct, frozen=True):
    """When an instance that has ended is started again, and how soon."""

    when: RestartWhen = "no"
    """on-failure: unless it left with exit code 0. always: whatever it left with."""
    first_delay_s: float = 1.0
    """Before the first restart; twice as long before each further one."""
    longest_delay_s: float = 60.0
    most: int | None = 10
    """Restarts in a row, after which the instance is given up; None: never."""
    reset_s: float = 60.0
    """Healthy for so long, an instance starts to count anew."""


class Health(msgspec.Struct, frozen=True):
    """How an instance is asked whether it serves."""

    kind: HealthKind = "tcp"
    path: str = "/"
    """What is asked for by HTTP; an answer of 200 to 399 is healthy."""
    host: str = "127.0.0.1"
    """The address asked, numeric."""
    interval_s: float = 5.0
    timeout_s: float = 2.0
    start_timeout_s: float = 600.0
    """From the start to the first healthy answer; large models load slowly."""
    failures: int = 3
    """Answers missed in a row after which a healthy instance is unhealthy."""


class Rules(msgspec.Struct, frozen=True):
    """How a launch of servers is supervised."""

    restart: Restart = Restart()
    health: Health | None = None
    """None: running is all that is known, and counts as healthy."""
    stop_timeout_s: float = 10.0
    """Between SIGTERM and SIGKILL."""
    keep_going: bool = False
    """An instance that failed for good does not stop the others."""
    ready_file: str | None = None
    strict: bool = False


class Event(msgspec.Struct, frozen=True):
    """Something that happened: to one instance, or (rank None) to the launch."""

    event: EventKind
    at_s: float
    """Since the launch began."""
    rank: int | None = None
    node: int | None = None
    port: int | None = None
    pid: int | None = None
    detail: str = ""

    def line(self) -> str:
        """The event as one line of text, always in the same form.

        >>> Event("started", 0.1, rank=1, node=1, port=8001, pid=4711).line()
        'rank 1, node 1, port 8001, pid 4711: started'
        >>> Event("ready", 2.5, detail="2 servers, 2.5 s after the start").line()
        'all: ready: 2 servers, 2.5 s after the start'
        """
        who = "all"
        if self.rank is not None:
            parts = (("rank", self.rank), ("node", self.node), ("port", self.port), ("pid", self.pid))
            who = ", ".join(f"{name} {'-' if value is None else value}" for name, value in parts)
        return f"{who}: {self.event}" + (f": {self.detail}" if self.detail else "")
