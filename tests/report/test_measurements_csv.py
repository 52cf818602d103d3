"""The table of readings: one row each, all figures exact, columns where they have always been."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import made_measurements
import msgspec
import pytest

from numawise.errors import NumawiseError
from numawise.report import measurements_csv

FIRST_COLUMNS = [
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
]
"""Columns are added, never moved: what scripts read stays where it was."""


def table(measurements: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(measurements_csv.render(measurements))))  # type: ignore[arg-type]


def test_columns_stay_where_they_are() -> None:
    assert list(measurements_csv.COLUMNS[: len(FIRST_COLUMNS)]) == FIRST_COLUMNS


def test_every_reading_is_a_row() -> None:
    measurements, _ = made_measurements.with_gpus(*made_measurements.measured("2x-xeon-8360y"))
    rows = table(measurements)
    counts = {
        part: sum(1 for row in rows if row["part"] == part) for part in dict.fromkeys(r["part"] for r in rows)
    }
    assert counts == {part: len(getattr(measurements, part)) for part in counts}
    assert set(counts) == {
        "latency",
        "bandwidth",
        "aggregate",
        "scaling",
        "loaded",
        "pages",
        "smt",
        "core_to_core",
        "device",
    }
    first, reading = rows[0], measurements.latency[0]
    assert reading.figure is not None
    assert (float(first["median"]), first["unit"], first["cpus"]) == (reading.figure.median, "ns", "0")
    loaded = [row for row in rows if row["part"] == "loaded"]
    assert [int(row["pause"]) for row in loaded] == [point.pause for point in measurements.loaded]
    device = [row for row in rows if row["part"] == "device"]
    assert device[0]["direction"] == "host-to-device"
    assert device[0]["device"] == "0000:17:00.0"
    whole = [row for row in rows if row["part"] == "aggregate"]
    assert whole[0]["memory"] == "0 1"


def test_a_reading_without_a_figure_says_why() -> None:
    measurements, _ = made_measurements.measured("2x-xeon-8360y")
    rows = table(made_measurements.with_gaps(measurements))
    missing = [row for row in rows if row["median"] == ""]
    assert missing
    assert all("0.4 GiB free" in row["why"] for row in missing)


def test_parts_taken_at_another_time_say_so() -> None:
    measurements, _ = made_measurements.measured("2x-xeon-8360y")
    later = msgspec.structs.replace(measurements, taken={"bandwidth": 1_770_000_000.0})
    times = {row["part"]: float(row["taken"]) for row in table(later)}
    assert times["bandwidth"] == 1_770_000_000.0
    assert times["latency"] == measurements.created


def test_it_is_written_whole_or_gets_a_line(tmp_path: Path) -> None:
    measurements, _ = made_measurements.measured("2x-xeon-8360y")
    path = measurements_csv.write(tmp_path / "m.csv", measurements)
    assert path.read_text().count("\n") == len(table(measurements)) + 1
    with pytest.raises(NumawiseError, match=r"m\.csv"):
        measurements_csv.write(tmp_path / "no" / "m.csv", measurements)
