"""How a launch ends, and when it is looked at while it lasts."""

from __future__ import annotations

import msgspec

from numawise.launch.process import Process

# Close together at first, so that short programs are seen as well, then rare, so as not to disturb.
_LOOKS_S = (0.05, 0.15, 0.35, 0.75, 1.5, 3.0, 6.0, 12.0)
_LOOK_EVERY_S = 15.0


class End(msgspec.Struct, frozen=True):
    """How one process ended. `exit_code` is 128 + signal when it was killed."""

    process: Process
    exit_code: int
    seconds: float
    """From before its start to its end, wall time."""


class LaunchEnd(msgspec.Struct, frozen=True):
    """How a launch ended: its processes by rank, and the code to leave with (the first that failed, else 0)."""

    ends: tuple[End, ...]
    exit_code: int
    seconds: float
    interrupted: int | None = None
    """The signal that ended it, when somebody sent one."""
    timed_out: bool = False
    restarts: tuple[int, ...] = ()
    """Of servers: starts beyond the first, for each of `ends`. Empty where every process is run once."""


def look_at_s(number: int) -> float:
    """When look `number` (from 0) is due, in seconds from the start.

    >>> [look_at_s(n) for n in (0, 1, 7, 8, 9)]
    [0.05, 0.15, 12.0, 27.0, 42.0]
    """
    beyond = number - len(_LOOKS_S)
    return _LOOKS_S[number] if beyond < 0 else _LOOKS_S[-1] + (beyond + 1) * _LOOK_EVERY_S
