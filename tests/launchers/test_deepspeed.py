"""DeepSpeed's launcher of one machine, for real: what the command `deepspeed` runs on each."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys

import pytest
from launchers.ranks import are_apart, launch, report, told

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None,
        reason="DeepSpeed is not installed (pip install deepspeed)",
    ),
]
WORLD = base64.urlsafe_b64encode(json.dumps({"localhost": [0, 1]}).encode()).decode()
LAUNCH = [sys.executable, "-m", "deepspeed.launcher.launch", f"--world_info={WORLD}", "--no_python"]


def test_ranks_get_cores_of_their_own() -> None:
    done = launch([*LAUNCH, "--no_local_rank", *report()], timeout=200)
    ranks = told(done)
    assert [rank["words"] for rank in ranks] == [["0", "2"], ["1", "2"]]
    assert {rank["environment"]["CUDA_VISIBLE_DEVICES"] for rank in ranks} == {"0,1"}
    assert are_apart(ranks), ranks
    assert "local rank 1 of 2 by DeepSpeed" in done.stderr
