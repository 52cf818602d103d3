"""Energy of the processor packages while something ran: joules of the whole packages, whoever else used them.

Two witnesses, in this order: the counters of `/sys/class/powercap`, and the `power` PMU of perf. Where neither
answers there is no figure, and `EnergyMeter.why_unavailable` says why and what to do.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Literal

import msgspec

from numawise.errors import NotPermittedError, NumawiseError, UsageError
from numawise.observe.energy_counters import Perf, Powercap, Unavailable, open_counters

UNAVAILABLE = "unavailable: "
"""What `note` begins with where no counter can be read."""


class Energy(msgspec.Struct, frozen=True):
    """What the packages used, all together."""

    package_j: float
    """Joules of all packages. Memory is not in it on servers, where it has counters of its own or none."""
    dram_j: float | None
    """Joules of the memory, where it is counted apart; None where it is not."""
    source: Literal["powercap", "perf"]
    seconds: float
    """Between the first reading and the last."""
    packages: int
    """Counters added up: one a package, or one a die."""


class EnergyMeter:
    """Counts the joules of all packages between `start` and `stop`; a context manager does both.

    Nothing is raised: what cannot be counted gives no figure, and `why_unavailable` the reason. Read it (`poll`) at
    least every `poll_within_s` seconds in between, or a counter may have gone round unseen; it then gives no figure.

    >>> with EnergyMeter() as meter:
    ...     total = sum(range(10_000))
    >>> (meter.energy is None) == bool(meter.why_unavailable)
    True
    """

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._counters: Powercap | Perf | None = None
        self._began = 0.0
        self.energy: Energy | None = None
        """What was counted when it was last read; None when that is not known."""
        self.why_unavailable = ""
        """Why `energy` is None, and what to do; empty when it is not None, or before `start`."""
        self.refused = False
        """Whether there are counters that the system does not let this process read."""
        self.names: tuple[str, ...] = ()
        """What is counted, such as `package-0`, `package-1`, `dram`; empty when nothing could be."""
        self.source: Literal["powercap", "perf"] | None = None

    def start(self) -> EnergyMeter:
        """Begin to count, from 0. Opens and reads a few small files."""
        self.close()
        self.energy, self.why_unavailable, self.refused, self.names, self.source = None, "", False, (), None
        try:
            self._counters = open_counters(self._root)
        except Unavailable as error:
            self.why_unavailable, self.refused = str(error), error.refused
            return self
        self.names, self.source = self._counters.names, self._counters.source
        self._began = time.monotonic()
        return self

    @property
    def poll_within_s(self) -> float | None:
        """How often the counters must be read so that they cannot go round unseen; None when they never do."""
        return self._counters.poll_within_s if self._counters else None

    def poll(self) -> Energy | None:
        """Read the counters: what was used since `start`, or None and `why_unavailable`.

        Counters that failed once, or that were not read in time, give nothing until the next `start`.
        """
        if self._counters is None:
            return self.energy
        self.energy = None
        try:
            package_j, dram_j = self._counters.joules()
        except Unavailable as error:
            self.why_unavailable, self.refused = str(error), error.refused
            self.close()
            return None
        still = next((n for n, j in zip(self.names, package_j, strict=False) if j <= 0), None)
        if still is not None:
            # No package runs on nothing: some virtual machines show counters that never move.
            self.why_unavailable = (
                f"{still}'s counter did not move: it stands still, or this was too short for it (below 1 ms)"
            )
            return None
        self.why_unavailable = ""
        self.energy = Energy(
            package_j=sum(package_j),
            dram_j=sum(dram_j) if dram_j and min(dram_j) > 0 else None,
            source=self._counters.source,
            seconds=time.monotonic() - self._began,
            packages=len(package_j),
        )
        return self.energy

    def stop(self) -> Energy | None:
        """Read the counters a last time and let go of them."""
        energy = self.poll()
        self.close()
        return energy

    def close(self) -> None:
        """Let go of the counters; what was read last stays."""
        if self._counters is not None:
            self._counters.close()
            self._counters = None

    def __enter__(self) -> EnergyMeter:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def note(root: str = "/") -> str:
    """What can be counted here, to be kept with a study: `powercap: package-0, package-1, dram`, or why nothing."""
    meter = EnergyMeter(root).start()
    meter.close()
    return (
        f"{meter.source}: {', '.join(meter.names)}" if meter.source else UNAVAILABLE + meter.why_unavailable
    )


def require(root: str = "/") -> None:
    """Raise unless energy can be counted here: NotPermittedError when it is refused, UsageError when it is absent."""
    meter = EnergyMeter(root).start()
    meter.close()
    if meter.source is None:
        kind: type[NumawiseError] = NotPermittedError if meter.refused else UsageError
        raise kind(f"energy cannot be measured here: {meter.why_unavailable}")
