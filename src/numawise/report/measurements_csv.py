"""Every reading as one row, for spreadsheets and data frames. Columns are added at the end, never moved."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from numawise.linux.files import write_file
from numawise.measure.values import DeviceReading, Figure, LoadedPoint, Measurements, Reading
from numawise.report.words import clean

COLUMNS = (
    "machine",
    "taken",
    "part",
    "kernel",
    "cpu_node",
    "cpus",
    "memory",
    "unit",
    "best",
    "median",
    "mad",
    "repeats",
    "why",
    "buffer_kib",
    "bytes_counted",
    "page_kib",
    "on_target",
    "sampled_pages",
    "note",
    "pause",
    "drawn_gb_per_s",
    "device",
    "direction",
    "device_node",
    "device_name",
    "pcie_generation",
    "pcie_width",
    "layout",
)
"""`machine` is the key of its topology, `taken` Unix time, `memory` node ids with a blank between; without a figure
`why` says why. From `pause` on: of loaded latency, then of devices. Empty means not known, or does not apply."""

_UNITS = {"latency": "ns", "loaded": "ns", "pages": "ns", "core_to_core": "ns"}
_PARTS = ("latency", "bandwidth", "aggregate", "scaling", "loaded", "pages", "smt", "core_to_core", "device")


def render(measurements: Measurements) -> str:
    """The table with its header, RFC 4180 but for plain newlines."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for part in _PARTS:
        common = {
            "machine": measurements.topology_key,
            "taken": measurements.taken.get(part, measurements.created),
            "part": part,
            "unit": _UNITS.get(part, "GB/s"),
        }
        for row in _rows(getattr(measurements, part)):
            writer.writerow(common | {name: _plain(value) for name, value in row.items()})
    return text.getvalue()


def write(path: Path, measurements: Measurements) -> Path:
    """Write the table to `path`, whole or not at all. Raises NumawiseError when it cannot be written."""
    write_file(path, render(measurements).encode("utf-8", "replace"))
    return path


def _rows(readings: tuple[Reading | LoadedPoint | DeviceReading, ...]) -> Iterator[dict[str, object]]:
    for reading in readings:
        if isinstance(reading, LoadedPoint):
            more = {"pause": reading.pause, "drawn_gb_per_s": reading.gb_per_s}
            yield _reading(reading.latency) | more
        elif isinstance(reading, DeviceReading):
            yield _device(reading)
        else:
            yield _reading(reading)


def _reading(reading: Reading) -> dict[str, object]:
    return _figure(reading.figure) | {
        "kernel": reading.kernel,
        "cpu_node": reading.cpu_node,
        "cpus": str(reading.cpus),
        "memory": " ".join(map(str, reading.memory)),
        "why": reading.why,
        "buffer_kib": reading.buffer_kib,
        "bytes_counted": reading.bytes_counted,
        "page_kib": reading.page_kib,
        "on_target": reading.on_target,
        "sampled_pages": reading.sampled_pages,
        "note": reading.note,
        "layout": reading.layout,
    }


def _device(reading: DeviceReading) -> dict[str, object]:
    return _figure(reading.figure) | {
        "memory": reading.memory_node,
        "why": reading.why,
        "buffer_kib": reading.buffer_kib,
        "on_target": reading.on_target,
        "sampled_pages": reading.sampled_pages,
        "device": reading.device,
        "direction": reading.direction,
        "device_node": reading.device_node,
        "device_name": reading.name,
        "pcie_generation": reading.pcie_generation,
        "pcie_width": reading.pcie_width,
    }


def _figure(figure: Figure | None) -> dict[str, object]:
    if figure is None:
        return {}
    return {"best": figure.best, "median": figure.median, "mad": figure.mad, "repeats": figure.repeats}


def _plain(value: object) -> object:
    return "" if value is None else clean(value) if isinstance(value, str) else value
