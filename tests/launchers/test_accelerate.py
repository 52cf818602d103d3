"""`accelerate launch`, for real."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from launchers.ranks import are_apart, launch, report, told

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(
        importlib.util.find_spec("accelerate") is None,
        reason="accelerate is not installed (pip install accelerate)",
    ),
]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch"]


def test_ranks_get_cores_of_their_own() -> None:
    options = [
        "--multi_gpu",
        "--num_processes=2",
        "--num_machines=1",
        "--mixed_precision=no",
        "--dynamo_backend=no",
    ]
    done = launch([*LAUNCH, *options, "--no_python", *report()], timeout=200)
    ranks = told(done)
    assert [rank["words"] for rank in ranks] == [["0", "2"], ["1", "2"]]
    assert are_apart(ranks), ranks
    assert "local rank 1 of 2 by accelerate" in done.stderr
