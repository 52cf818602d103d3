"""MPICH's process manager Hydra, for real."""

from __future__ import annotations

import shutil

import pytest
from launchers.ranks import MINE, are_apart, launch, report, told

MPIEXEC = shutil.which("mpiexec.hydra")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec.hydra here (Debian: mpich)")


def mpiexec(*options: str) -> list[str]:
    return [str(MPIEXEC), "-n", "2", *options]


def test_ranks_get_cores_of_their_own() -> None:
    ranks = told(done := launch([*mpiexec(), *report()]))
    assert [rank["words"] for rank in ranks] == [["0", "2"], ["1", "2"]]
    assert are_apart(ranks), ranks
    assert {cpu for rank in ranks for cpu in rank["cpus"]} == set(MINE)
    assert "local rank 1 of 2 by MPICH" in done.stderr
    assert "has bound" not in done.stderr


def test_its_own_binding_is_kept() -> None:
    done = launch([str(MPIEXEC), "-bind-to", "core", "-n", "2", *report(seconds=0.5)])
    assert are_apart(told(done))
    assert done.stderr.count("MPICH has bound this rank to CPUs") == 2


def test_a_variable_left_over_from_elsewhere_is_a_contradiction() -> None:
    done = launch([*mpiexec(), *report()], {"LOCAL_RANK": "0"})
    assert done.returncode != 0
    assert "MPI_LOCALRANKID=1" in done.stderr
    assert "LOCAL_RANK=0" in done.stderr
    assert "Traceback" not in done.stderr
