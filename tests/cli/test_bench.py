"""`numawise bench` as people use it: the built-in suite, a script of their own, kills, refusals and bad input."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from alive import alive

from numawise.experiment.store import Store

EINSUM_EXPERTS = '''
"""What people have: experts with np.einsum, timed by hand."""
import time

import numpy as np

rng = np.random.default_rng(0)
tokens, hidden, inner, experts = 2, 96, 160, 4
x = rng.standard_normal((tokens, hidden)).astype(np.float32)
up = rng.standard_normal((experts, hidden, inner)).astype(np.float32)
down = rng.standard_normal((experts, inner, hidden)).astype(np.float32)
began = time.perf_counter()
for _ in range(20):
    mid = np.maximum(np.einsum("td,edh->teh", x, up), 0)
    out = np.einsum("teh,ehd->td", mid, down)
print(f"{tokens * 20 / (time.perf_counter() - began):.1f} tokens/s")
'''
TINY = ("--scale", "0.02")


def command(home: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "numawise", *words], {**os.environ, "NUMAWISE_HOME": str(home)}


def numawise(home: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    argv, environment = command(home, *words)
    return subprocess.run(
        argv, env={**environment, **(env or {})}, text=True, capture_output=True, timeout=200, check=False
    )


def bench(home: Path, *words: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    done = numawise(home, "bench", "--json", *words, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """An interpreter that finds no PyTorch, as where it is not installed; it also starts faster."""
    folder = tmp_path / "no-torch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    return {"PYTHONPATH": str(folder)}


def test_quick_times_every_operation_and_says_what_follows(
    tmp_path: Path, without_torch: dict[str, str]
) -> None:
    log, table, page = tmp_path / "it.log", tmp_path / "it.csv", tmp_path / "it.html"
    files = ("--log", str(log), "--csv", str(table), "--html", str(page))
    done = numawise(tmp_path, "bench", "--quick", *TINY, "--budget", "24", *files, env=without_torch)
    assert done.returncode == 0, done.stderr
    for operation in ("router", "gate", "up", "activation", "down", "combine", "whole pass"):
        assert f"\n  {operation} " in done.stdout
    for said in ("GFLOP/s", "GB/s", "of read", "NUMA settings in force", "memory policy inherited  default"):
        assert said in done.stdout
    assert "einsum, default" in done.stdout and "per-expert, default" in done.stdout
    assert "PyTorch is not installed" in done.stdout and "torch einsum, default" not in done.stdout
    assert "[method]" in done.stdout or "not decided" in done.stdout
    with Store.open(tmp_path / "runs.sqlite") as store:
        (run,) = store.list()
        trials = store.trials(run.id)
    assert run.kind == "bench" and run.finished
    lines = [line for line in log.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(trials) and "operations.gate.ms" in lines[0] and "pages 0:" in lines[0]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == len(trials)
    assert (
        float(rows[1]["gate_ms"]) > 0 and rows[1]["against"] == "einsum, default" and rows[1]["block"] == "0"
    )
    assert "What follows" in page.read_text() and "Content-Security-Policy" in page.read_text()


def test_full_has_every_axis_and_keeps_its_time(tmp_path: Path, without_torch: dict[str, str]) -> None:
    began = time.monotonic()
    found = bench(tmp_path, "--full", *TINY, "--budget", "12s", env=without_torch)
    assert time.monotonic() - began < 12 + 20, "the limit is for trials; starting and reporting come on top"
    names = [arm["name"] for arm in found["arms"]]
    assert "einsum, default, non-contiguous" in names
    assert "per-expert, default, 1 thread" in names
    assert {arm["axis"] for arm in found["arms"]} >= {"", "method", "threads", "layout"}
    assert found["suite"] == "full"
    layout = next(arm for arm in found["arms"] if arm["axis"] == "layout")
    assert layout["arguments"][-2:] == ["--layout", "non-contiguous"]
    default = found["arms"][0]
    assert default["gb_per_s"] > 0 and default["read_gb_per_s"] > 0
    assert [o["name"] for o in default["operations"]] == [
        *("activation", "combine", "down", "gate", "router", "up"),
    ]


@pytest.mark.torch
def test_pytorch_has_its_arms_where_it_is(tmp_path: Path) -> None:
    found = bench(tmp_path, *TINY, "--only", "torch einsum, default", "--budget", "8")
    assert [arm["name"] for arm in found["arms"]] == ["einsum, default", "torch einsum, default"]
    assert found["arms"][1]["median"] > 0
    assert "torch" not in found["left_out"]


class TestOwnScript:
    def test_it_is_run_as_it_is_by_wall_time_or_metric(self, tmp_path: Path) -> None:
        script = tmp_path / "test_einsum_experts.py"
        script.write_text(EINSUM_EXPERTS)
        words = ("--threads", "1", "--max-blocks", "6", "--metric", r"([\d.]+) tokens/s", "--maximize")
        found = bench(tmp_path, *words, "--", sys.executable, str(script))
        assert [arm["name"] for arm in found["arms"]][:1] == ["default"]
        threads = next(arm for arm in found["arms"] if arm["name"] == "default, 1 thread")
        assert threads["pairs"] == 6
        assert threads["median"] > 100, "tokens/s, as it was printed"
        assert threads["placements"][0]["env"]["OMP_NUM_THREADS"] == "1"
        assert found["arms"][0]["placements"][0]["env"] == {}
        assert found["metric"] == r"([\d.]+) tokens/s"

    def test_placeholders_and_variables_take_the_thread_count(self, tmp_path: Path) -> None:
        code = 'sleep 0.0$(( $1 * 2 )); echo "{\\"told\\": $1, \\"env\\": ${T:-0}}"'
        words = ("--threads", "1,2", "--max-blocks", "6", "--env", "T={threads}")
        found = bench(tmp_path, *words, "--", "sh", "-c", code, "sh", "{threads}")
        arms = {arm["name"]: arm for arm in found["arms"]}
        assert arms["default, 1 thread"]["figures"]["told"] == 1
        assert arms["default, 1 thread"]["figures"]["env"] == 1
        if len(os.sched_getaffinity(0)) >= 2:
            assert arms["default, 2 threads"]["figures"]["told"] == 2
        assert arms["default"]["figures"]["env"] == 0, "unset: the program's own default"

    def test_more_threads_than_cpus_are_left_out_with_the_reason(self, tmp_path: Path) -> None:
        found = bench(tmp_path, "--threads", "1,4096", "--max-blocks", "6", "--", "true")
        assert "4096 threads" in found["left_out"]["default, 4096 threads"]

    def test_one_node_says_so_and_still_times_it(self, tmp_path: Path) -> None:
        from numawise.machine import read

        if len([n for n in read("/").nodes if n.memory_kib]) > 1:
            pytest.skip("this machine has several nodes")
        done = numawise(tmp_path, "bench", "--", "sh", "-c", "sleep 0.01")
        assert done.returncode == 0
        assert done.stdout.startswith("One node of memory: no other placement to try")
        assert "binding memory can gain nothing here" in done.stdout


def test_a_command_that_fails_is_one_line_with_its_own_words(tmp_path: Path) -> None:
    done = numawise(tmp_path, "bench", "--", "sh", "-c", "echo no weights here >&2; exit 7")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "the default failed" in done.stderr and "no weights here" in done.stderr
    done = numawise(tmp_path, "bench", "--", "/no/such/program")
    assert (done.returncode in (2, 4, 127), len(done.stderr.splitlines())) == (True, 1)


def test_an_arm_that_fails_does_not_end_the_others(tmp_path: Path) -> None:
    code = 'test "$OMP_NUM_THREADS" = 1 && { echo one is not enough; exit 3; }; true'
    found = bench(tmp_path, "--threads", "1", "--max-blocks", "6", "--", "sh", "-c", code)
    assert "one is not enough" in found["failed"]["default, 1 thread"]
    assert found["incomplete"] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--quick", "--full"], "give one of them"),
        (["--budget", "0"], "--budget takes a number of trials"),
        (["--budget", "1x"], "--budget takes a number of trials"),
        (["--budget", "nans"], "--budget takes a number of trials"),
        (["--threads", "0"], "--threads takes a whole number"),
        (["--threads", "1,,2"], "--threads takes a whole number"),
        (["--only", "bind:77"], "fits none of the arms there are"),
        (["--scale", "0"], "--scale"),
        (["--tokens", "-1"], "--tokens"),
        (["--max-blocks", "2"], "--max-blocks"),
        (["--metric", "x(.*)"], "are for a command of your own"),
        (["--env", "A=1"], "are for a command of your own"),
        (["--resume"], "no bench of this command was begun"),
        (["--metric", "(", "--", "true"], "not a regular expression"),
        (["--log", "/no/such/folder/it.log", "--", "true"], "cannot write /no/such/folder/it.log"),
    ],
)
def test_what_cannot_be_meant_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    done = numawise(tmp_path, "bench", *words)
    assert done.returncode in (2, 4)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_ctrl_c_keeps_what_was_measured_and_says_how_to_go_on(tmp_path: Path) -> None:
    marker = f"600.6{os.getpid()}"
    argv, env = command(tmp_path, "bench", "--threads", "1", "--", "sh", "-c", f"sleep {marker}; true")
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not alive(f"sleep\0{marker}") and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume" in said and "Traceback" not in said
    assert not alive(marker)


def test_killed_again_and_again_it_goes_on_without_losing_or_doubling_a_trial(tmp_path: Path) -> None:
    # Values that are the same every time, so that both runs take the same decisions.
    program = ("sh", "-c", "sleep 0.02; echo took 7.$OMP_NUM_THREADS")
    words = ("--metric", r"took (\S+)", "--threads", "1,2", "--max-blocks", "12", "--json", "--", *program)
    whole = bench(tmp_path / "whole", *words)
    home, chance, resumed, kills = tmp_path / "killed", random.Random(3), [], 0
    before: list[tuple[int, str]] = []
    while kills < 8:
        argv, env = command(home, "bench", *resumed, *words)
        process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.2, 0.5))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
        after = _kept(home)
        assert after[: len(before)] == before
        assert [number for number, _ in after] == list(range(len(after)))
        before, resumed = after, ["--resume"] if after else []
    done = bench(home, *resumed, *words)
    assert [t["candidate"] for t in done["history"]] == [t["candidate"] for t in whole["history"]]
    assert {a["name"]: a["verdict"] for a in done["arms"]} == {a["name"]: a["verdict"] for a in whole["arms"]}
    assert kills >= 2


def test_resuming_with_the_other_suite_is_refused(tmp_path: Path) -> None:
    assert numawise(tmp_path, "bench", "--max-blocks", "6", "--", "true").returncode == 0
    done = numawise(tmp_path, "bench", "--full", "--resume", "--", "true")
    assert (done.returncode, "is --quick, not --full" in done.stderr) == (2, True)
    done = numawise(tmp_path, "bench", "--threads", "1", "--resume", "--", "true")
    assert (done.returncode, "has the arms default, not default; default, 1 thread" in done.stderr) == (
        2,
        True,
    )


def test_report_shows_it_again(tmp_path: Path) -> None:
    first = bench(tmp_path, "--threads", "1", "--max-blocks", "6", "--", "true")
    again = json.loads(numawise(tmp_path, "report", "--json", first["study"]).stdout)
    assert again == first
    listed = numawise(tmp_path, "report", "--list").stdout
    assert first["study"] in listed and "bench" in listed


def _kept(home: Path) -> list[tuple[int, str]]:
    if not (home / "runs.sqlite").exists():
        return []
    with Store.open(home / "runs.sqlite") as store:
        runs = store.list()
        return [(trial.number, trial.candidate) for trial in store.trials(runs[0].id)] if runs else []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scale", "nan"), "--scale"),
        (("--timeout", "nan", "--", "true"), "--timeout"),
        (("--log", ""), "name a file"),
        (("--log", "/nowhere/x", "--", "true"), "name a file"),
    ],
)
def test_numbers_that_are_none_and_places_that_are_none_are_usage_errors(
    tmp_path: Path, words: tuple[str, ...], said: str
):
    done = numawise(tmp_path, "bench", *words)
    assert done.returncode == 2 and said in done.stderr and "internal" not in done.stderr
    assert not (tmp_path / "runs.sqlite").exists()
