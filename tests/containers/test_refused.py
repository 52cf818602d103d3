"""What a container's profile takes away, without a container: every call on the list refused, every command goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REFUSE = str(Path(__file__).parents[1] / "programs/refuse.py")
CALLS = "set_mempolicy,get_mempolicy,mbind,move_pages,migrate_pages"


def refused(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REFUSE, CALLS, "--", sys.executable, "-m", "numawise", *words]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
    return subprocess.run(command, text=True, capture_output=True, timeout=120, env=env)


@pytest.mark.parametrize(
    "words",
    [
        ("topology",),
        ("plan", "--node", "0"),
        ("run", "--node", "0", "--mem", "bind:0", "--", "true"),
        ("run", "--mem", "interleave:0", "--", "true"),
        ("compare", "--arm", "--node 0", "--max-pairs", "6", "--", "true"),
        ("tune", "--policies", "default,bind", "--thp", "default", "--budget", "60", "--", "true"),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_every_command_goes_on(words: tuple[str, ...], tmp_path: Path) -> None:
    done = refused(*words, home=tmp_path)
    # 1: an arm whose placement was refused is "not delivered", which is an answer, not a failure.
    assert done.returncode in ((0, 1) if words[0] in ("compare", "tune") else (0,)), done.stderr
    assert "Traceback" not in done.stderr


def test_the_steps_say_what_was_refused_and_what_is_left(tmp_path: Path) -> None:
    near = refused("run", "--node", "0", "--mem", "bind:0", "--", "true", home=tmp_path)
    assert "bind:0 refused (set_mempolicy answered EPERM; a seccomp filter answers so" in near.stderr
    assert "CPUs are bound and memory follows by first touch" in near.stderr
    far = refused("run", "--mem", "interleave:0", "--", "true", home=tmp_path)
    assert "memory is NOT placed" in far.stderr
    strict = refused("run", "--strict", "--mem", "bind:0", "--", "echo", "started", home=tmp_path)
    assert (strict.returncode, strict.stdout) == (3, "")
