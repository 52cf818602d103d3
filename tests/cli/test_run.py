"""`numawise run` from outside: what it prints, what it passes on, and how little it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
HOLD = [sys.executable, "-S", "-c", "import time; a = bytearray(64 << 20); time.sleep(0.4)"]


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "numawise", "run", *words],
        text=True,
        capture_output=True,
        timeout=60,
        **options,
    )  # type: ignore[call-overload, no-any-return]


def test_the_program_has_our_input_and_output() -> None:
    result = run("--", "cat", input="through and through")
    assert (result.stdout, result.returncode) == ("through and through", 0)


def test_the_exit_code_is_the_programs_own() -> None:
    assert run("--", "sh", "-c", "exit 37").returncode == 37
    assert run("--", "sh", "-c", "kill -KILL $$").returncode == 137


def test_it_says_where_the_pages_were() -> None:
    result = run("--node", "all", "--", *HOLD)
    assert "MiB where it should be (bind" in result.stderr
    assert "pages sampled" in result.stderr
    assert run("--quiet", "--", *HOLD).stderr == ""


def test_json_carries_the_plan_and_the_proof() -> None:
    report = json.loads(run("--node", "all", "--json", "--", *HOLD).stderr.splitlines()[-1])
    (process,) = report["processes"]
    assert report["exit_code"] == 0
    assert report["plan"]["placements"][0]["memory"]["mode"] == "bind"
    assert process["proof"]["on_target"]["low"] > 0.9
    assert process["proof"]["rss_kib"] > 60 * 1024


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_several_processes_are_labelled_and_numbered() -> None:
    result = run(
        "--workers",
        "2",
        "--port",
        "8000",
        "--env",
        "ME={rank}",
        "--",
        "sh",
        "-c",
        "echo $ME of {ranks} on {port}",
    )
    assert sorted(result.stdout.splitlines()) == ["[rank0] 0 of 2 on 8000", "[rank1] 1 of 2 on 8001"]


def test_a_command_may_hold_other_braces_and_options() -> None:
    result = run("--", "echo", '{"a": 1}', "--node", "9")
    assert result.stdout == '{"a": 1} --node 9\n'


def test_numactl_spellings() -> None:
    result = run("-N", "0", "-m", "0", "--", "sed", "-n", "1p", "/proc/self/numa_maps")
    assert "bind:0" in result.stdout
    result = run("--interleave=all", "sed", "-n", "1p", "/proc/self/numa_maps")
    assert "interleave:" in result.stdout


def run_refused(call: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`numawise run` under a filter that answers EPERM to one system call."""
    command = [
        sys.executable,
        str(PROGRAMS / "refuse.py"),
        call,
        "--",
        sys.executable,
        "-m",
        "numawise",
        "run",
    ]
    return subprocess.run([*command, *words], text=True, capture_output=True, timeout=60)


def test_a_refused_policy_walks_the_ladder() -> None:
    result = run_refused("set_mempolicy", "--node", "0", "--", *HOLD)
    assert result.returncode == 0
    assert "set_mempolicy answered EPERM" in result.stderr
    assert "memory follows by first touch" in result.stderr
    assert "--cap-add SYS_NICE" in result.stderr
    strict = run_refused("set_mempolicy", "--strict", "--node", "0", "--", "true")
    assert strict.returncode == 3
    assert "--strict" in strict.stderr


def test_looking_that_is_refused_is_said_not_guessed() -> None:
    result = run_refused("move_pages", "--node", "0", "--", *HOLD)
    assert result.returncode == 0
    assert "not looked at" in result.stderr
    assert "where it should be" not in result.stderr


def test_nothing_heavy_is_imported_on_the_way() -> None:
    code = (
        "import sys; from numawise.cli.main import main; main(['run', '--node', '0', '--', 'true']);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = set(subprocess.run([sys.executable, "-c", code], text=True, capture_output=True).stdout.split())
    assert "numawise" in loaded
    assert not loaded & {
        "numpy",
        "rich",
        "jinja2",
        "click",
        "sqlite3",
        "tarfile",
        "asyncio",
        "logging",
    }
