"""What a launcher bound, seen by real processes: the launcher is a shell, its ranks are bound by taskset."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

MINE = sorted(os.sched_getaffinity(0))
pytestmark = [
    pytest.mark.skipif(len(MINE) < 2, reason="needs two CPUs"),
    pytest.mark.skipif(shutil.which("taskset") is None, reason="no taskset here (util-linux)"),
]
LOOK = """
import json, os, sys, time
from numawise.launch.rank_binding import read_binding
from numawise.launch.ranks import read_rank
seen = read_binding(read_rank(os.environ), os.environ)
said = [int(os.environ["LOCAL_RANK"]), seen.own, str(seen.without), seen.sharing, seen.same_gpus]
os.write(1, (json.dumps(said) + "\\n").encode())  # at once: lines of several processes must not mix
time.sleep(1)
"""


def launched(ranks: list[str], prefix: str = "", before: str = "") -> list[Any]:
    """What each rank sees of its binding, by rank; `ranks`: the words in front of each one's command."""
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("LOCAL_", "CUDA_", "SLURM_", "OMPI_", "RAY_"))
    }
    lines = [before]
    for number, words in enumerate(ranks):
        lines.append(f'LOCAL_RANK={number} LOCAL_WORLD_SIZE={len(ranks)} {words} "$0" -c "$1" &')
    script = "\n".join([*lines, "wait"])
    done = subprocess.run(
        [*prefix.split(), "sh", "-c", script, sys.executable, LOOK],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean,
    )
    return sorted(json.loads(line) for line in done.stdout.splitlines())


def test_nothing_bound() -> None:
    every = ",".join(map(str, MINE))
    assert [seen[1:4] for seen in launched(["", ""])] == [[False, "", []]] * 2
    # CPUs that the launcher has itself are no binding of a rank.
    assert [seen[1] for seen in launched(["", ""], prefix=f"taskset -c {MINE[0]}")] == [False, False]
    assert [seen[1] for seen in launched([f"taskset -c {every}", ""])] == [False, False]


def test_each_bound_to_its_own() -> None:
    first, second = launched([f"taskset -c {MINE[0]}", f"taskset -c {MINE[1]}"])
    assert (first[1], first[3]) == (True, [0])
    assert (second[1], second[3]) == (True, [1])


def test_all_bound_to_the_same() -> None:
    seen = launched([f"taskset -c {MINE[0]}"] * 3)
    assert [(own, sharing) for _, own, _, sharing, _ in seen] == [(True, [0, 1, 2])] * 3


def test_through_a_wrapper_that_stays() -> None:
    wrapped = f"taskset -c {MINE[0]} sh -c '\"$@\"; true' sh"
    assert [(own, sharing) for _, own, _, sharing, _ in launched([wrapped, wrapped])] == [(True, [0, 1])] * 2


def test_gpus_of_the_launcher_and_of_the_rank() -> None:
    assert [same for *_, same in launched(["", "CUDA_VISIBLE_DEVICES=1"])] == [True, False]
    assert [same for *_, same in launched([""], prefix="env CUDA_VISIBLE_DEVICES=1")] == [True]


def test_a_launcher_that_cannot_be_seen() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a PID namespace needs root and unshare")
    # /proc of the old namespace: its numbers are of other processes.
    seen = launched([f"taskset -c {MINE[0]}", ""], prefix="unshare --pid --fork")
    assert [(own, sharing) for _, own, _, sharing, _ in seen] == [(True, [0]), (False, [])]
