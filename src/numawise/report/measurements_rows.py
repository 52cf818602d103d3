"""Readings as rows of a table on the page."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from numawise.measure.values import DeviceReading, Figure, LoadedPoint, Measurements, Reading
from numawise.report.measurements_view import (
    KERNELS,
    floor_percent,
    number,
    place_text,
    size_text,
    spread,
    whole_text,
)

_PARTS = ("latency", "bandwidth", "aggregate", "scaling", "loaded", "pages", "smt", "core_to_core", "device")


class Row(msgspec.Struct, frozen=True):
    """One reading as the tables show it."""

    part: str
    what: str
    median: str
    mad: str
    best: str
    repeats: int
    note: str


def rows(measurements: Measurements, part: str) -> list[Row]:
    """The readings of a small part, each by what sets it apart from the others."""
    names = {"aggregate": whole_text, "smt": _threads, "pages": _page}
    return [_row(part, names[part](reading), reading.figure, "") for reading in getattr(measurements, part)]


def every_row(measurements: Measurements) -> list[Row]:
    """All readings, with how each was taken."""
    return [row for part in _PARTS for reading in getattr(measurements, part) for row in _rows(part, reading)]


def _rows(part: str, reading: Reading | LoadedPoint | DeviceReading) -> Iterator[Row]:
    if isinstance(reading, DeviceReading):
        what = f"{reading.device}, node {reading.memory_node}, {reading.direction}, GB/s"
        how = [size_text(reading.buffer_kib) if reading.buffer_kib else "", _target(reading.on_target)]
        yield _row(part, what, reading.figure, reading.why or ", ".join(filter(None, how)))
        return
    drawn = ""
    if isinstance(reading, LoadedPoint):
        drawn, reading = f" at {number(reading.gb_per_s)} GB/s", reading.latency
    unit = "GB/s" if part in ("bandwidth", "aggregate", "scaling", "smt") else "ns"
    cores = f", {len(reading.cpus)} CPUs" if unit == "GB/s" else ""
    how = [
        f"pages {size_text(reading.page_kib)}" if reading.page_kib else "",
        f"buffer {size_text(reading.buffer_kib)}" if reading.buffer_kib else "",
        _target(reading.on_target),
        reading.note,
    ]
    what = f"{place_text(reading)}{cores}, {reading.kernel}{drawn}, {unit}"
    yield _row(part.replace("_", " "), what, reading.figure, reading.why or ", ".join(filter(None, how)))


def _row(part: str, what: str, figure: Figure | None, note: str) -> Row:
    if figure is None:
        return Row(part, what, "none", "", "", 0, note)
    return Row(
        part, what, number(figure.median), spread(figure.mad), number(figure.best), figure.repeats, note
    )


def _target(share: float | None) -> str:
    return "" if share is None else f"{floor_percent(share)} on target"


def _threads(reading: Reading) -> str:
    return f"node {reading.cpu_node}, {_kernel(reading)}, {len(reading.cpus)} threads"


def _page(reading: Reading) -> str:
    pages = f"pages of {size_text(reading.page_kib)}" if reading.page_kib else "pages"
    return f"{pages}, {place_text(reading)}"


def _kernel(reading: Reading) -> str:
    return KERNELS.get(reading.kernel, reading.kernel)
