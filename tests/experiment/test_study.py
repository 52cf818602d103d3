"""Whole studies through the command line: real processes, kills, resumes, profiles."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alive import alive

from numawise.experiment.store import Store

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two thread counts need two CPUs")

# Two threads are twice as fast as one; the default (told all CPUs, OMP_NUM_THREADS unset) is the slowest.
FASTER_WITH_TWO = 'echo "speed: ${OMP_NUM_THREADS:-0}5"; sleep 0.05'
BY_SPEED = ("--metric", r"speed: (\d+)", "--maximize", "--thp", "default")


def command(home: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "numawise", *words], {**os.environ, "NUMAWISE_HOME": str(home)}


def numawise(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(home, *words)
    return subprocess.run(argv, env=env, text=True, capture_output=True, timeout=120)


def test_tune_finds_what_is_faster_and_run_uses_it(tmp_path: Path) -> None:
    result = numawise(
        tmp_path, "tune", "--json", *BY_SPEED, "--save", "fast", "--", "sh", "-c", FASTER_WITH_TWO
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["verdict"]["verdict"] == "better"
    assert found["best"]["threads"] == 2
    assert found["profile"] == "fast"
    assert found["trials"] == len(found["history"])
    assert {"cpus", "memory", "env"} <= set(found["best"])
    again = numawise(tmp_path, "run", "--quiet", "--profile", "fast", "--", "sh", "-c", FASTER_WITH_TWO)
    assert again.stdout == "speed: 25\n"


def test_tune_leaves_alone_what_makes_no_difference(tmp_path: Path) -> None:
    csv, html = tmp_path / "trials.csv", tmp_path / "page.html"
    words = ("--metric", r"took (\d+)", "--csv", str(csv), "--html", str(html), "--json")
    result = numawise(tmp_path, "tune", *words, "--", "sh", "-c", "echo took 1000")
    found = json.loads(result.stdout)
    assert found["verdict"]["verdict"] == "equivalent"
    assert found["best"]["name"] == "default"
    assert len(csv.read_text().splitlines()) == found["trials"] + 1
    assert "Leave it as it is" in html.read_text()


def test_a_candidate_that_fails_is_reported_and_leaves_the_race(tmp_path: Path) -> None:
    code = 'test "$OMP_NUM_THREADS" = 1 && { echo "one is not enough"; exit 3; }; echo "speed: 5"'
    result = numawise(tmp_path, "tune", *BY_SPEED, "--", "sh", "-c", code)
    assert result.returncode == 0, result.stderr
    assert "one is not enough" in result.stdout
    assert "exit code 3" in result.stdout


def test_workers_and_threads_reach_the_program_by_its_own_variables(tmp_path: Path) -> None:
    code = 'echo "rate: ${W:-1}${T:-1}"'
    words = (
        "--env",
        "W={workers}",
        "--env",
        "T={threads}",
        "--metric",
        r"rate: (\d+)",
        "--maximize",
        "--json",
    )
    found = json.loads(numawise(tmp_path, "tune", *words, "--", "sh", "-c", code).stdout)
    assert found["verdict"]["verdict"] == "better"
    assert found["best"]["env"]["W"] == "2"
    assert found["best"]["env"]["T"] == "1"


def test_killed_at_any_instant_it_goes_on_without_losing_or_doubling_a_trial(tmp_path: Path) -> None:
    program = ("sh", "-c", FASTER_WITH_TWO)
    # Told apart by a variable that changes nothing: many candidates, and values that are the same every time.
    more = [word for i in range(40) for word in ("--candidate", f"--threads 1 --env I={i}")]
    words = ("tune", *BY_SPEED, *more, "--budget", "130", "--json", "--", *program)
    whole = json.loads(numawise(tmp_path / "whole", *words).stdout)
    home, chance = tmp_path / "killed", random.Random(2)
    resumed, kills, before = [], 0, []
    while kills < 20 and len(before) < len(whole["history"]):
        argv, env = command(home, "tune", *resumed, *words[1:])
        process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.15, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        kills += process.returncode == -signal.SIGKILL
        trials = stored(home)
        assert trials[: len(before)] == before, "a trial that was kept has changed or gone"
        assert [number for number, _, _ in trials] == list(range(len(trials)))
        before = trials
        resumed = ["--resume"] if study_begun(home) else []
    done = json.loads(numawise(home, "tune", *resumed, *words[1:]).stdout)
    assert done["best"]["name"] == whole["best"]["name"]
    assert done["profile"] == whole["profile"]
    names = [(trial["number"], trial["candidate"]) for trial in whole["history"]]
    assert [(number, candidate) for number, candidate, _ in stored(home)] == names
    assert kills >= 10, "it was over before it could be killed often"


def stored(home: Path) -> list[tuple[int, str, float]]:
    """The trials kept, read by other means than ours."""
    path = home / "runs.sqlite"
    if not path.exists():
        return []
    with sqlite3.connect(path) as connection:
        try:
            return connection.execute("SELECT number, candidate, value FROM trial ORDER BY number").fetchall()
        except sqlite3.OperationalError:
            return []  # killed while the tables were being made
        finally:
            connection.commit()


def study_begun(home: Path) -> bool:
    with Store.open(home / "runs.sqlite") as store:
        return bool(store.list())


def test_ctrl_c_leaves_no_child_and_says_how_to_go_on(tmp_path: Path) -> None:
    marker = f"600.4{os.getpid()}"
    argv, env = command(tmp_path, "tune", "--budget", "40", "--", "sh", "-c", f"sleep {marker}; true")
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not alive(f"sleep\0{marker}") and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said
    assert not alive(marker)


def test_what_a_killed_run_left_running_is_ended_before_going_on(tmp_path: Path) -> None:
    marker = f"600.8{os.getpid()}"
    # The grandchild ignores the death of its parent, as a daemonised helper would.
    first = tmp_path / "first"
    code = f"test -e {first} && exit 0; touch {first}; setsid sleep {marker} & wait"
    words = ("--max-pairs", "6", "--arm", "default", "--arm", "--cpus 0", "--", "sh", "-c", code)
    argv, env = command(tmp_path, "compare", *words)
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not alive(f"sleep\0{marker}") and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert alive(marker), "the grandchild should have outlived the kill: there is nothing to test otherwise"
    assert numawise(tmp_path, "compare", "--resume", *words).returncode in (0, 1)
    assert not alive(marker)


def test_a_time_limit_is_a_failure_of_the_candidate(tmp_path: Path) -> None:
    code = 'test "$OMP_NUM_THREADS" = 1 && sleep 60; echo speed: 5'
    result = numawise(tmp_path, "tune", *BY_SPEED, "--timeout", "0.3", "--", "sh", "-c", code)
    assert result.returncode == 0, result.stderr
    assert "stopped after 0.3 s" in result.stdout


def test_compare_answers_with_its_exit_code_and_json(tmp_path: Path) -> None:
    words = (
        "--json",
        "--metric",
        r"speed: (\d+)",
        "--maximize",
        "--arm",
        "--threads 2",
        "--arm",
        "--threads 1",
    )
    result = numawise(tmp_path, "compare", *words, "--", "sh", "-c", FASTER_WITH_TWO)
    said = json.loads(result.stdout)
    assert result.returncode == 1
    assert said["verdict"] == "worse"
    assert said["ratio"] == pytest.approx(25 / 15)
    assert [arm["name"] for arm in said["arms"]] == ["--threads 2", "--threads 1"]
    assert [arm["median"] for arm in said["arms"]] == [25, 15]
    assert said["pairs"] >= 6
