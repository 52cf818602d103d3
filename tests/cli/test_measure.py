"""`numawise measure`, as a user calls it."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from numawise.machine import read
from numawise.machine.identity import topology_key
from numawise.measure.kept import load, path_of

FAST = ("--buffer", "1M", "--seconds", "1")
KEY = topology_key(read(devices=False))
NODE = read(devices=False).allowed.nodes[0]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMAWISE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "numawise", "measure", *words]


def measure(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=timeout)


def measured(*words: str) -> dict[str, Any]:
    done = measure(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_everything_as_text_table_page_and_profile(tmp_path: Path, own_home: Path):
    table, page = tmp_path / "m.csv", tmp_path / "m.html"
    done = measure(*FAST, "--csv", str(table), "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert "Latency" in done.stdout
    assert "GB/s" in done.stdout
    assert "buffers asked for 1024 KiB" in done.stdout.replace("\n", " ")
    assert "<html" in page.read_text()
    assert len(list(csv.reader(table.read_text().splitlines()))) > 5
    kept = load(KEY, own_home / "machines")
    assert kept is not None
    assert {"latency", "bandwidth", "aggregate", "scaling", "loaded", "pages", "smt", "core_to_core"} <= set(
        kept.taken
    )


def test_json_holds_figures_how_they_were_taken_and_claims():
    found = measured("latency", *FAST)
    (local,) = (one for one in found["latency"] if (one["cpu_node"], one["memory"]) == (NODE, [NODE]))
    assert local["kernel"] == "chase"
    if local["figure"]:
        assert local["figure"]["best"] > 0
        assert local["on_target"] >= 0.99
    else:  # others leave this machine's CPUs no time
        assert "other programs took" in local["why"]
    assert isinstance(found["claims"], list)
    assert found["topology_key"] == KEY
    assert found["incomplete"]
    assert found["settings"]["kernel"].startswith("Linux")


def test_later_parts_join_what_was_kept(own_home: Path):
    first = measured("latency", *FAST)
    measured("bandwidth", *FAST)
    kept = load(KEY, own_home / "machines")
    assert kept is not None
    assert kept.latency
    assert kept.bandwidth
    assert kept.taken["latency"] == first["taken"]["latency"]
    assert kept.taken["latency"] < kept.taken["bandwidth"]


def test_a_damaged_profile_is_replaced_and_that_is_said(own_home: Path):
    (own_home / "machines").mkdir(parents=True)
    path_of(KEY, own_home / "machines").write_text('{"latency": [')
    done = measure("latency", *FAST)
    assert done.returncode == 0
    assert "it is replaced" in done.stderr
    assert load(KEY, own_home / "machines") is not None


def test_a_profile_of_a_newer_numawise_is_left_alone(own_home: Path):
    (own_home / "machines").mkdir(parents=True)
    path_of(KEY, own_home / "machines").write_text('{"version": 99}')
    done = measure("latency", *FAST)
    assert done.returncode == 0
    assert "Latency" in done.stdout
    assert "not kept" in done.stderr
    assert path_of(KEY, own_home / "machines").read_text() == '{"version": 99}'


def test_where_nothing_can_be_kept_the_figures_are_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NUMAWISE_HOME", "/dev/null/home")
    done = measure("latency", *FAST)
    assert done.returncode == 0
    assert "Latency" in done.stdout
    assert "not kept" in done.stderr


def test_on_a_terminal_figures_are_told_as_they_come():
    terminal, end = pty.openpty()
    process = subprocess.Popen(command("latency", *FAST), stdout=subprocess.PIPE, stderr=end, text=True)
    os.close(end)
    told = b""
    try:
        while chunk := os.read(terminal, 4096):
            told += chunk
    except OSError:  # EIO: the other side has closed
        pass
    finally:
        os.close(terminal)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"node {NODE} from node {NODE}: ".encode() in told
    assert b" ns" in told or b"other programs took" in told


def test_ctrl_c_shows_and_keeps_what_there_is(own_home: Path):
    process = subprocess.Popen(
        command("latency", "--seconds", "30", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert any("interrupted" in line for line in json.loads(out)["incomplete"])
    assert load(KEY, own_home / "machines") is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "nothing"),
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "nan"], "--seconds"),
        (["--seconds", "soon"], "--seconds"),
        (["--buffer", "much"], "not an amount of memory"),
        (["--csv", "/nonexistent/m.csv"], "/nonexistent/m.csv"),
        (["--html", "/"], "cannot write /"),
        (["--wrong"], "--wrong"),
        (["latency", "extra"], "extra"),
    ],
)
def test_wrong_use_is_one_line_and_code_2_before_anything_runs(words: list[str], said: str, own_home: Path):
    began = time.monotonic()
    done = measure(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not own_home.exists()
    assert time.monotonic() - began < 10


def test_a_full_disk_or_output_costs_no_figures(own_home: Path):
    done = measure("latency", *FAST, "--csv", "/dev/full")
    assert done.returncode == 4 and "ENOSPC" in done.stderr
    assert load(KEY) is not None


def test_a_buffer_larger_than_the_machine_is_refused_before_anything_is_taken():
    done = measure("latency", "--buffer", "999999T", timeout=20)
    assert done.returncode == 2 and "in all" in done.stderr and len(done.stderr.splitlines()) == 1
