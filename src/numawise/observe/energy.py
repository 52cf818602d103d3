"""Energy of the processor packages while something ran: joules of the whole packages, whoever else used them.

Two witnesses, in this order: the counters of `/sys/class/powercap`, and the `power` PMU of perf. Where neither
answers there is no figure, and `EnergyMeter.why_unavailable` says why and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Literal

import msgspec

from numawise.errors import NotPermittedError, NumawiseError, UsageError
from numawise.linux import perf_events, powercap

MOST_WATTS = 2000.0
"""What one package draws at the very most, with room: the largest are rated a quarter of it. A counter that holds
65 532 J, the least of today's, cannot go all the way round in 32 s then; a launch is looked at every 15 s."""

UNAVAILABLE = "unavailable: "
"""What `note` begins with where no counter can be read."""

_ROOT_ONLY = (
    "energy_uj is for root alone since CVE-2020-8694; run as root, or let a group that you trust read it "
    "(chgrp GROUP FILE; chmod g+r FILE)"
)


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


class _Unavailable(Exception):  # noqa: N818 - what is so, more than an error
    """Why there is no figure, in words."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


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
        self._counters: _Powercap | _Perf | None = None
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
            self._counters = _open(self._root)
        except _Unavailable as error:
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
        except _Unavailable as error:
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


def _open(root: str) -> _Powercap | _Perf:
    try:
        return _Powercap(root)
    except _Unavailable as first:
        try:
            return _Perf(root)
        except _Unavailable as second:
            why = f"{first}; {second}"
            if not (first.refused or second.refused):
                why += "; virtual machines have none, real ones may need modprobe intel_rapl_msr"
            raise _Unavailable(why, refused=first.refused or second.refused) from None


class _Powercap:
    """The counters of powercap. They begin again at 0 after their highest value."""

    source: Literal["powercap"] = "powercap"

    def __init__(self, root: str) -> None:
        try:
            zones = powercap.read_zones(root)
        except OSError as error:
            raise _powercap_why(error, root) from None
        self._packages = powercap.packages(zones)
        if not self._packages:
            raise _Unavailable(f"/{powercap.FOLDER} has no package among its zones")
        dram = powercap.inside(zones, self._packages, "dram")
        self._dram = dram if len(dram) == len(self._packages) else ()
        self._root = root
        self._used_uj = dict.fromkeys((*self._packages, *self._dram), 0)
        self._last = {zone: self._read(zone) for zone in self._packages}
        self._last_at = time.monotonic()
        with contextlib.suppress(_Unavailable):
            self._last.update({zone: self._read(zone) for zone in self._dram})
        self.names = tuple(zone.name for zone in self._packages) + (("dram",) if self._dram_counts else ())

    @property
    def _dram_counts(self) -> bool:
        return bool(self._dram) and all(zone in self._last for zone in self._dram)

    @property
    def poll_within_s(self) -> float | None:
        ranges = [zone.range_uj for zone in self._packages if zone.range_uj is not None]
        return min(ranges) / 1e6 / MOST_WATTS if ranges else None

    def joules(self) -> tuple[list[float], list[float]]:
        """Of each package and of each memory, since it was opened."""
        within = self.poll_within_s
        if within is not None and time.monotonic() - self._last_at > within:
            raise _Unavailable(
                f"the counters may have gone round unseen: they were not read for more than {within:.0f} s"
            )
        self._advance(self._packages)
        self._last_at = time.monotonic()
        if self._dram_counts:
            try:
                self._advance(self._dram)
            except _Unavailable:  # said by dram_j being None: the packages are still counted
                self._dram = ()
        return self._joules(self._packages), self._joules(self._dram if self._dram_counts else ())

    def close(self) -> None:
        """Nothing is held open."""

    def _advance(self, zones: Sequence[powercap.Zone]) -> None:
        for zone in zones:
            now = self._read(zone)
            step = powercap.advance_uj(self._last[zone], now, zone.range_uj)
            if step is None:
                raise _Unavailable(
                    f"{zone.name}'s counter went backwards, and the kernel does not say its range"
                )
            self._used_uj[zone] += step
            self._last[zone] = now

    def _joules(self, zones: Sequence[powercap.Zone]) -> list[float]:
        return [self._used_uj[zone] / 1e6 for zone in zones]

    def _read(self, zone: powercap.Zone) -> int:
        try:
            return powercap.read_energy_uj(zone)
        except OSError as error:
            raise _powercap_why(error, self._root) from None


class _Perf:
    """The `power` PMU. The kernel adds it up in 64 bits, so it never begins again."""

    source: Literal["perf"] = "perf"
    poll_within_s = None

    def __init__(self, root: str) -> None:
        try:
            event = perf_events.read_power_event("energy-pkg", root)
        except OSError as error:
            if error.errno == errno.ENOENT and error.filename.endswith("power/type"):
                raise _Unavailable("perf has no power PMU (ENOENT)") from None
            raise _Unavailable(f"perf's power PMU: {_said(error, root)}") from None
        self._packages = self._open(event, root)
        self._event = event
        self.names = tuple(f"energy-pkg of CPU {cpu}" for cpu in event.cpus)
        self._dram: list[perf_events.Counter] = []
        self._dram_scale = 0.0
        with contextlib.suppress(OSError, _Unavailable):  # most have none: dram_j is None
            memory = perf_events.read_power_event("energy-ram", root)
            self._dram, self._dram_scale = self._open(memory, root), memory.scale
            self.names += ("dram",)

    def joules(self) -> tuple[list[float], list[float]]:
        """Of each package and of each memory, since it was opened."""
        try:
            packages = [counter.read() * self._event.scale for counter in self._packages]
            return packages, [counter.read() * self._dram_scale for counter in self._dram]
        except OSError as error:
            raise _Unavailable(f"perf's power PMU stopped answering ({_name(error)})") from None

    def close(self) -> None:
        """Stop counting."""
        for counter in (*self._packages, *self._dram):
            counter.close()

    @staticmethod
    def _open(event: perf_events.PowerEvent, root: str) -> list[perf_events.Counter]:
        opened: list[perf_events.Counter] = []
        try:
            for cpu in event.cpus:
                opened.append(perf_events.Counter(event.type, event.config, pid=-1, cpu=cpu))
        except OSError as error:
            for counter in opened:
                counter.close()
            refused = error.errno in (errno.EACCES, errno.EPERM)
            todo = ""
            if refused:
                level = perf_events.paranoid(root)
                todo = (
                    f", perf_event_paranoid is {'not known' if level is None else level}: run as root or with "
                    "CAP_PERFMON; in a container also with a seccomp profile that allows the call"
                )
            raise _Unavailable(
                f"perf_event_open of {event.name} answered {_name(error)}{todo}", refused=refused
            ) from None
        return opened


def _powercap_why(error: OSError, root: str) -> _Unavailable:
    path = str(error.filename)
    if error.errno in (errno.EACCES, errno.EPERM):
        return _Unavailable(f"{_said(error, root)}: {_ROOT_ONLY}", refused=True)
    if error.errno == errno.ENOENT and path.endswith(powercap.FOLDER):
        return _Unavailable(f"the kernel shows no /{powercap.FOLDER} (ENOENT)")
    if error.errno == errno.ENOENT and path.endswith("/name"):
        todo = "a container hides it; Docker shows it with --security-opt systempaths=unconfined"
        return _Unavailable(f"{_said(error, root)}: {todo}", refused=True)
    return _Unavailable(_said(error, root))


def _said(error: OSError, root: str) -> str:
    path = str(error.filename)
    if root != "/":
        path = path.removeprefix(root.rstrip("/"))
    return f"{path} answered {_name(error)} ({error.strerror})"


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "?")
