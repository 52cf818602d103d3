"""The process's own policy, as numa_maps writes it where get_mempolicy is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from numawise.linux.own_policy import policy_of_stack

REFUSE = str(Path(__file__).parents[1] / "programs/refuse.py")
SET_AND_ASK = """
import sys
from numawise.linux import syscalls
from numawise.linux.own_policy import own_policy
syscalls.set_mempolicy(sys.argv[1], [int(node) for node in sys.argv[2:]])
try:
    syscalls.get_mempolicy()
except OSError as error:
    print(error.errno, *own_policy())
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("default", ("default", ())),
        ("local", ("local", ())),
        ("bind:0-1", ("bind", (0, 1))),
        ("bind=static:8", ("bind", (8,))),
        ("bind=static|balancing:0,250", ("bind", (0, 250))),
        ("prefer:1", ("preferred", (1,))),
        ("prefer (many):0-1", ("preferred-many", (0, 1))),
        ("interleave:0-3", ("interleave", (0, 1, 2, 3))),
        ("weighted interleave:0,2", ("weighted-interleave", (0, 2))),
    ],
)
def test_all_policies_in_the_kernels_words(words: str, expected: tuple[str, tuple[int, ...]]) -> None:
    others = "55f0 bind:7 file=/bin/stack N0=2\n7ff0 bind:7 anon=2 N0=2\n"
    assert policy_of_stack(f"{others}7ffc {words} stack anon=3 N0=3 kernelpagesize_kB=4\n") == expected


@pytest.mark.parametrize("text", ["", "7ffc new-mode:0 stack\n", "7ff0 bind:0 anon=2\n", "stack\n"])
def test_what_is_not_said_is_not_guessed(text: str) -> None:
    assert policy_of_stack(text) is None


@pytest.mark.parametrize(
    ("mode", "said"), [("bind", "bind (0,)"), ("preferred", "preferred (0,)"), ("local", "local ()")]
)
def test_a_real_policy_under_a_filter(mode: str, said: str) -> None:
    nodes = [] if mode == "local" else ["0"]
    command = [sys.executable, REFUSE, "get_mempolicy", "--", sys.executable, "-c", SET_AND_ASK, mode, *nodes]
    done = subprocess.run(command, text=True, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"1 {said}\n"), done.stderr
