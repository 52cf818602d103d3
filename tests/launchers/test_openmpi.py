"""Open MPI's mpirun, for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from launchers.ranks import MINE, NUMAWISE, are_apart, environment, launch, report, told

MPIRUN = shutil.which("mpirun.openmpi")
pytestmark = pytest.mark.skipif(MPIRUN is None, reason="no mpirun.openmpi here (Debian: openmpi-bin)")
AS_ROOT = ["--allow-run-as-root"] if os.geteuid() == 0 else []


def mpirun(*options: str, count: int = 2) -> list[str]:
    return ["mpirun.openmpi", *AS_ROOT, "--oversubscribe", "-n", str(count), *options]


def test_unbound_ranks_get_cores_of_their_own() -> None:
    ranks = told(done := launch([*mpirun("--bind-to", "none"), *report()]))
    assert [rank["words"] for rank in ranks] == [["0", "2"], ["1", "2"]]
    assert are_apart(ranks), ranks
    assert {cpu for rank in ranks for cpu in rank["cpus"]} == set(MINE)
    assert "local rank 1 of 2 by Open MPI: CPUs" in done.stderr
    assert "has bound" not in done.stderr


def test_its_own_binding_is_kept() -> None:
    # The default for two ranks: one core each.
    bound = launch([*mpirun("--bind-to", "core"), *report(seconds=0.5)])
    ranks = told(bound)
    assert are_apart(ranks), ranks
    assert bound.stderr.count("Open MPI has bound this rank to CPUs") == 2


def test_a_binding_that_leaves_one_core_is_told() -> None:
    done = launch([*mpirun("--bind-to", "core", count=1), *report("--threads", "2")])
    assert done.returncode != 0
    assert "Open MPI has bound this rank to CPUs" in done.stderr
    assert "use mpirun --bind-to none" in done.stderr


def test_all_ranks_on_one_cpu_are_told() -> None:
    done = launch([*mpirun("--cpu-set", str(MINE[1]), "--bind-to", "core"), *report(seconds=1)])
    assert {tuple(rank["cpus"]) for rank in told(done)} == {(MINE[1],)}
    assert f"bound all 2 ranks to the same CPUs {MINE[1]} of " in done.stderr


def test_cpus_of_the_launcher_itself_are_for_its_ranks_to_share() -> None:
    # Not a binding of this rank: mpirun was started there.
    done = launch(["taskset", "-c", str(MINE[0]), *mpirun("--bind-to", "none"), *report()])
    assert {tuple(rank["cpus"]) for rank in told(done)} == {(MINE[0],)}
    assert "has bound" not in done.stderr
    assert "2 ranks for 1 CPU: 2 of them share CPU" in done.stderr


def test_a_wrapper_in_between_changes_nothing(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text('#!/bin/sh\nexport WRAPPED=1\n"$@"\n')
    wrapper.chmod(0o755)
    bound = launch([*mpirun("--bind-to", "core"), str(wrapper), *report(seconds=0.5)])
    assert are_apart(told(bound))
    assert bound.stderr.count("Open MPI has bound this rank to CPUs") == 2


def test_the_exit_code_of_a_rank_reaches_the_launcher() -> None:
    done = launch([*mpirun("--bind-to", "none"), *NUMAWISE, "--", "sh", "-c", "exit $((40 + {rank}))"])
    assert done.returncode in (40, 41)


def test_what_ends_the_launcher_ends_the_program(tmp_path: Path) -> None:
    command = [
        *mpirun("--bind-to", "none"),
        *NUMAWISE,
        "--",
        "sh",
        "-c",
        f"echo $$ > {tmp_path}/{{rank}}; sleep 300",
    ]
    with subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as launcher:
        pids = [wait_for(lambda rank=rank: (tmp_path / str(rank)).read_text().strip()) for rank in range(2)]
        launcher.terminate()
        launcher.communicate(timeout=30)
    for pid in pids:
        wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists() or "State:\tZ" in status(pid))


def status(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "State:\tZ (gone)"


def wait_for(ready):
    """What `ready` gives once it is something, at most half a minute."""
    until = time.monotonic() + 30
    while True:
        try:
            found = ready()
        except FileNotFoundError:
            found = None
        if found:
            return found
        assert time.monotonic() < until
        time.sleep(0.05)
