"""Energy counters of processors, as `/sys/class/powercap` shows them (Documentation/power/powercap in the kernel).

Intel's and AMD's counters (RAPL) share one interface, `intel-rapl`. A zone is a part of the machine: `package-0`, or
`package-0-die-1` where a package has several counters; inside it `dram`, `core` (`pp0`), `uncore`; beside it `psys`,
the whole platform. `intel-rapl-mmio` shows packages a second time through another register.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from numawise.linux.procfs import read_text

FOLDER = "sys/class/powercap"
_ZONE = re.compile(r"([A-Za-z][\w-]*)((?::\d+)+)")
_PACKAGE = re.compile(r"package-\d+(?:-die-\d+)?")
_MOST_UJ = 1 << 64


class Zone(NamedTuple):
    """One zone with a counter."""

    id: str
    """Such as `intel-rapl:0`, or `intel-rapl:0:1` inside of it."""
    control: str
    """The interface it belongs to: `intel-rapl`, `intel-rapl-mmio`."""
    name: str
    """Such as `package-0` or `dram`."""
    path: str
    """Its folder."""
    range_uj: int | None
    """The highest value of the counter, which then begins at 0 again; None when the kernel does not say."""

    @property
    def is_package(self) -> bool:
        """Whether it counts a processor package, or one die of a package that has a counter for each."""
        return _PACKAGE.fullmatch(self.name) is not None


def read_zones(root: str = "/") -> tuple[Zone, ...]:
    """Every zone, by id.

    Raises OSError with the file's name: FileNotFoundError when the kernel has no such interface, or lists a zone that
    cannot be read, which is how containers hide them; a sum that leaves one out would be wrong.
    """
    folder = os.path.join(root, FOLDER)  # noqa: PTH118 - pathlib costs start-up time
    found = []
    for entry in sorted(os.listdir(folder), key=_natural):  # noqa: PTH208
        match = _ZONE.fullmatch(entry)
        if match is not None:
            path = f"{folder}/{entry}"
            found.append(Zone(entry, match[1], read_text(f"{path}/name").strip(), path, _range(path)))
    return tuple(found)


def packages(zones: Iterable[Zone]) -> tuple[Zone, ...]:
    """The packages, each once: one that two interfaces show is taken from `intel-rapl`.

    >>> a = Zone("intel-rapl:0", "intel-rapl", "package-0", "/a", None)
    >>> b = Zone("intel-rapl-mmio:0", "intel-rapl-mmio", "package-0", "/b", None)
    >>> [zone.id for zone in packages([b, a])]
    ['intel-rapl:0']
    """
    chosen: dict[str, Zone] = {}
    for zone in sorted(zones, key=lambda zone: (zone.control != "intel-rapl", zone.control)):
        if zone.is_package and zone.id.count(":") == 1:
            chosen.setdefault(zone.name, zone)
    return tuple(sorted(chosen.values(), key=lambda zone: _natural(zone.name)))


def inside(zones: Iterable[Zone], outer: Iterable[Zone], name: str) -> tuple[Zone, ...]:
    """The zones called `name` within `outer`: `dram` of each package."""
    prefixes = tuple(f"{zone.id}:" for zone in outer)
    return tuple(zone for zone in zones if zone.name == name and zone.id.startswith(prefixes))


def read_energy_uj(zone: Zone) -> int:
    """The counter, in microjoules.

    Raises OSError with the file's name: EACCES unless one may read it (root alone since CVE-2020-8694), ENOENT or
    ENODEV when the zone has gone, EIO for content that is no value of this counter.
    """
    path = f"{zone.path}/energy_uj"
    text = read_text(path).strip()
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else _MOST_UJ
    if value >= _MOST_UJ or (zone.range_uj is not None and value > zone.range_uj):
        kept = text[:40] or "nothing"
        raise OSError(errno.EIO, f"holds {kept!a}, which is no value of this counter", path)
    return value


def advance_uj(before: int, after: int, range_uj: int | None) -> int | None:
    """How far a counter went from `before` to `after`, in microjoules, when it began again at 0 at most once.

    After its highest value comes 0; the step between them, 1 at least and the counter's unit at most (61 microjoules
    on most Intel processors), is taken as 1. None when it went backwards and its highest value is not known.

    >>> advance_uj(262143328850, 0, 262143328850), advance_uj(5, 7, None), advance_uj(7, 5, None)
    (1, 2, None)
    """
    if after >= before:
        return after - before
    return None if range_uj is None else after + range_uj + 1 - before


def _range(path: str) -> int | None:
    try:
        text = read_text(f"{path}/max_energy_range_uj").strip()
    except OSError:
        return None
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0
    return value if 0 < value < _MOST_UJ else None  # some kernels say 0


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
