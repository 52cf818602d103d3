"""Slurm's srun, for real: a cluster of two machines, both of them this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import gpu_boxes
import pytest
from launchers.ranks import MINE, NUMAWISE, are_apart, report, told
from launchers.slurm_cluster import Cluster

ADDRESSES = ("0000:17:00.0", "0000:65:00.0")


def test_unbound_tasks_get_cores_of_their_own(slurm: Cluster) -> None:
    ranks = told(done := slurm.srun("--ntasks=2", "--cpu-bind=none", *report()))
    assert [rank["words"] for rank in ranks] == [["0", "2"], ["1", "2"]]
    assert are_apart(ranks), ranks
    assert "local rank 1 of 2 by Slurm: CPUs" in done.stderr
    assert "has bound" not in done.stderr


def test_its_own_binding_is_kept(slurm: Cluster) -> None:
    done = slurm.srun("--ntasks=2", "--cpu-bind=cores", *report(seconds=0.5))
    assert are_apart(told(done))
    assert done.stderr.count("Slurm has bound this rank to CPUs") == 2


def test_all_tasks_on_one_cpu_are_told(slurm: Cluster) -> None:
    cpu = MINE[1]
    done = slurm.srun("--ntasks=2", f"--cpu-bind=map_cpu:{cpu},{cpu}", *report(seconds=1))
    assert {tuple(rank["cpus"]) for rank in told(done)} == {(cpu,)}
    assert f"bound all 2 ranks to the same CPUs {cpu} of " in done.stderr


def test_tasks_are_counted_on_each_machine(slurm: Cluster) -> None:
    done = slurm.srun("--nodes=2", "--ntasks=3", "--distribution=block", "--cpu-bind=none", *report())
    ranks = told(done)
    assert are_apart(ranks[:2])
    assert "rank 1: note: local rank 1 of 2 by Slurm" in done.stderr
    assert "rank 2: note: local rank 0 of 1 by Slurm" in done.stderr
    assert "has bound" not in done.stderr
    assert [rank["words"] for rank in ranks] == [["0", "3"], ["1", "3"], ["2", "3"]]


def test_a_batch_script_is_no_rank(slurm: Cluster, tmp_path: Path) -> None:
    command = [*NUMAWISE, "--", "true"]
    output = tmp_path / "output"
    done = subprocess.run(
        ["sbatch", "--wait", "--ntasks=2", f"--output={output}", "--wrap", subprocess.list2cmdline(command)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=slurm.environment,
    )
    assert done.returncode == 2, output.read_text()
    assert "SLURM_PROCID=0 do not tell" in output.read_text()


@pytest.mark.torch
def test_torchrun_inside_of_a_task_shares_out_what_the_task_has(slurm: Cluster) -> None:
    torchrun = [NUMAWISE[0], "-m", "torch.distributed.run", "--no-python", "--nproc-per-node", "2"]
    done = slurm.srun("--ntasks=1", "--cpus-per-task=2", "--cpu-bind=none", *torchrun, *report(), timeout=200)
    assert are_apart(told(done))
    assert "local rank 1 of 2 by torchrun" in done.stderr


@pytest.mark.skipif(gpu_boxes.why_not() is not None, reason=str(gpu_boxes.why_not()))
class TestGPUs:
    """Slurm counts two GPUs; the tasks see two made-up ones on node 0."""

    @pytest.fixture
    def box(self, tmp_path: Path) -> Path:
        for minor, address in enumerate(ADDRESSES):
            gpu_boxes.device(tmp_path, address, 0)
            gpu_boxes.driver(tmp_path, address, f"GPU-{minor}aaaaaaa", minor)
        return tmp_path

    def gpus(self, slurm: Cluster, box: Path, *options: str) -> list[tuple[str, str, list[int]]]:
        """By rank: the GPU it is put beside, the list that its program sees, its CPUs."""
        done = slurm.srun(
            "--ntasks=2", "--cpu-bind=none", *options, *gpu_boxes.inside(box, [*report(), "{gpu}"])
        )
        return [
            (rank["words"][2], rank["environment"]["CUDA_VISIBLE_DEVICES"], rank["cpus"])
            for rank in told(done)
        ]

    @pytest.mark.parametrize(
        "options", [["--gpus-per-task=1"], ["--gpus=2", "--gpu-bind=single:1"]], ids=" ".join
    )
    def test_a_task_with_a_single_gpu_is_beside_that_one(
        self, slurm: Cluster, box: Path, options: list[str]
    ) -> None:
        found = self.gpus(slurm, box, *options)
        assert [seen for _, seen, _ in found] == ["0", "1"]
        assert [gpu for gpu, _, _ in found] == list(ADDRESSES)
        assert not set(found[0][2]) & set(found[1][2])

    def test_a_task_may_be_given_the_gpu_of_another_number(self, slurm: Cluster, box: Path) -> None:
        found = self.gpus(slurm, box, "--gpus=2", "--gpu-bind=map_gpu:1,0")
        assert [(gpu, seen) for gpu, seen, _ in found] == [(ADDRESSES[1], "1"), (ADDRESSES[0], "0")]
        assert not set(found[0][2]) & set(found[1][2])

    def test_tasks_that_see_all_take_theirs_by_rank(self, slurm: Cluster, box: Path) -> None:
        found = self.gpus(slurm, box, "--gres=gpu:2")
        assert [(gpu, seen) for gpu, seen, _ in found] == [(address, "0,1") for address in ADDRESSES]
