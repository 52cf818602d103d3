"""Ray Train, for real: its workers start numawise, or ask it where they belong from inside."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from launchers.ranks import NUMAWISE, PROGRAMS, are_apart, environment, report, told

from numawise.linux.cpuset import CPUSet

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed (pip install ray[train])"
    ),
]
TRAIN = """
import os, subprocess, sys
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

def worker(config):
    from numawise.launch.ranks import this_rank
    from numawise.machine import read

    rank, plan = this_rank(read(devices=False))
    done = subprocess.run(config["command"], capture_output=True, text=True)
    with open(f"{config['folder']}/{rank.rank}", "w") as file:
        file.write(f"{rank.launcher} {rank.local_rank} {plan.placements[0].cpus}\\n{done.stdout}")

folder, command = sys.argv[1], sys.argv[2:]
ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 << 20)
TorchTrainer(
    worker,
    train_loop_config={"command": command, "folder": folder},
    torch_config=TorchConfig(backend="gloo"),
    scaling_config=ScalingConfig(num_workers=2),
    run_config=RunConfig(storage_path=f"{folder}/store"),
).fit()
"""


def test_ranks_get_cores_of_their_own(tmp_path: Path) -> None:
    guard = [sys.executable, str(PROGRAMS / "guard.py"), "240", "--"]
    done = subprocess.run(
        [*guard, sys.executable, "-c", TRAIN, str(tmp_path), *report(start=NUMAWISE)],
        check=False,
        capture_output=True,
        text=True,
        timeout=270,
        env=environment(RAY_USAGE_STATS_ENABLED="0"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = [(tmp_path / str(rank)).read_text().splitlines() for rank in range(2)]
    ranks = told(
        subprocess.CompletedProcess([], 0, "\n".join(line for lines in said for line in lines[1:]), "")
    )
    assert are_apart(ranks), ranks
    assert [lines[0].split()[:2] for lines in said] == [["Ray", "0"], ["Ray", "1"]]
    # From inside they come to the same places.
    for lines, rank in zip(said, ranks, strict=True):
        assert set(CPUSet.parse(lines[0].split()[2])) == set(rank["cpus"])
        assert json.loads(lines[1])["words"] == rank["words"]
