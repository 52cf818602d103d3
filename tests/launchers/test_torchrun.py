"""torchrun and Python programs under it, for real."""

from __future__ import annotations

import sys

import pytest
from launchers.ranks import MINE, are_apart, launch, report, told

pytestmark = pytest.mark.torch
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def done():
    return launch([*TORCHRUN, *report()], timeout=200)


def test_ranks_get_cores_of_their_own(done) -> None:
    ranks = told(done)
    assert [rank["words"] for rank in ranks] == [["0", "2"], ["1", "2"]]
    assert [rank["environment"]["LOCAL_RANK"] for rank in ranks] == ["0", "1"]
    assert are_apart(ranks), ranks
    assert {cpu for rank in ranks for cpu in rank["cpus"]} == set(MINE)
    assert "local rank 1 of 2 by torchrun" in done.stderr


def test_its_single_openmp_thread_stays_and_threads_overrides_it(done) -> None:
    assert {rank["environment"]["OMP_NUM_THREADS"] for rank in told(done)} == {"1"}
    if len(MINE) == 2:  # then one thread is what a rank's core has room for
        again = told(launch([*TORCHRUN[:-1], "1", *report("--threads", "2")], timeout=200))
        assert again[0]["environment"]["OMP_NUM_THREADS"] == "2"
