"""Counters of the packages' joules: powercap's, else those of perf's `power` PMU. `energy` is what others use."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Sequence
from typing import Literal

from numawise.linux import perf_events, powercap

MOST_WATTS = 2000.0
"""What one package draws at the very most, with room: the largest are rated a quarter of it. A counter that holds
65 532 J, the least of today's, cannot go all the way round in 32 s then; a launch is looked at every 15 s."""

_ROOT_ONLY = (
    "energy_uj is for root alone since CVE-2020-8694; run as root, or let a group that you trust read it "
    "(chgrp GROUP FILE; chmod g+r FILE)"
)


class Unavailable(Exception):  # noqa: N818 - what is so, more than an error
    """Why there is no figure, in words; `refused` when the system does not let this process read what there is."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


def open_counters(root: str) -> Powercap | Perf:
    """The counters of this machine, at 0. Raises Unavailable."""
    try:
        return Powercap(root)
    except Unavailable as first:
        try:
            return Perf(root)
        except Unavailable as second:
            why = f"{first}; {second}"
            if not (first.refused or second.refused):
                why += "; virtual machines have none, real ones may need modprobe intel_rapl_msr"
            raise Unavailable(why, refused=first.refused or second.refused) from None


class Powercap:
    """The counters of powercap. They begin again at 0 after their highest value."""

    source: Literal["powercap"] = "powercap"

    def __init__(self, root: str) -> None:
        try:
            zones = powercap.read_zones(root)
        except OSError as error:
            raise _powercap_why(error, root) from None
        self._packages = powercap.packages(zones)
        if not self._packages:
            raise Unavailable(f"/{powercap.FOLDER} has no package among its zones")
        dram = powercap.inside(zones, self._packages, "dram")
        self._dram = dram if len(dram) == len(self._packages) else ()
        self._root = root
        self._used_uj = dict.fromkeys((*self._packages, *self._dram), 0)
        self._last = {zone: self._read(zone) for zone in self._packages}
        self._last_at = time.monotonic()
        with contextlib.suppress(Unavailable):
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
            raise Unavailable(
                f"the counters may have gone round unseen: they were not read for more than {within:.0f} s"
            )
        self._advance(self._packages)
        self._last_at = time.monotonic()
        if self._dram_counts:
            try:
                self._advance(self._dram)
            except Unavailable:  # said by dram_j being None: the packages are still counted
                self._dram = ()
        return self._joules(self._packages), self._joules(self._dram if self._dram_counts else ())

    def close(self) -> None:
        """Nothing is held open."""

    def _advance(self, zones: Sequence[powercap.Zone]) -> None:
        for zone in zones:
            now = self._read(zone)
            step = powercap.advance_uj(self._last[zone], now, zone.range_uj)
            if step is None:
                raise Unavailable(
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


class Perf:
    """The `power` PMU. The kernel adds it up in 64 bits, so it never begins again."""

    source: Literal["perf"] = "perf"
    poll_within_s = None

    def __init__(self, root: str) -> None:
        try:
            event = perf_events.read_power_event("energy-pkg", root)
        except OSError as error:
            if error.errno == errno.ENOENT and error.filename.endswith("power/type"):
                raise Unavailable("perf has no power PMU (ENOENT)") from None
            raise Unavailable(f"perf's power PMU: {_said(error, root)}") from None
        self._packages = self._open(event, root)
        self._event = event
        self.names = tuple(f"energy-pkg of CPU {cpu}" for cpu in event.cpus)
        self._dram: list[perf_events.Counter] = []
        self._dram_scale = 0.0
        with contextlib.suppress(OSError, Unavailable):  # most have none: dram_j is None
            memory = perf_events.read_power_event("energy-ram", root)
            self._dram, self._dram_scale = self._open(memory, root), memory.scale
            self.names += ("dram",)

    def joules(self) -> tuple[list[float], list[float]]:
        """Of each package and of each memory, since it was opened."""
        try:
            packages = [counter.read() * self._event.scale for counter in self._packages]
            return packages, [counter.read() * self._dram_scale for counter in self._dram]
        except OSError as error:
            raise Unavailable(f"perf's power PMU stopped answering ({_name(error)})") from None

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
            raise Unavailable(
                f"perf_event_open of {event.name} answered {_name(error)}{todo}", refused=refused
            ) from None
        return opened


def _powercap_why(error: OSError, root: str) -> Unavailable:
    path = str(error.filename)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unavailable(f"{_said(error, root)}: {_ROOT_ONLY}", refused=True)
    if error.errno == errno.ENOENT and path.endswith(powercap.FOLDER):
        return Unavailable(f"the kernel shows no /{powercap.FOLDER} (ENOENT)")
    if error.errno == errno.ENOENT and path.endswith("/name"):
        todo = "a container hides it; Docker shows it with --security-opt systempaths=unconfined"
        return Unavailable(f"{_said(error, root)}: {todo}", refused=True)
    return Unavailable(_said(error, root))


def _said(error: OSError, root: str) -> str:
    path = str(error.filename)
    if root != "/":
        path = path.removeprefix(root.rstrip("/"))
    return f"{path} answered {_name(error)} ({error.strerror})"


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "?")
