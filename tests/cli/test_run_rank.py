"""`numawise run --per rank` under no launcher at all: the variables are given by hand, the machine is this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu_boxes
import pytest

MINE = sorted(os.sched_getaffinity(0))
NUMAWISE = [sys.executable, "-m", "numawise"]
REPORT = [sys.executable, "-S", str(Path(__file__).resolve().parents[1] / "programs/rank_report.py"), "0"]
TWO = {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "RANK": "3", "WORLD_SIZE": "4"}
LEFT_OUT = (
    "SLURM_",
    "OMPI_",
    "PMI",
    "MPI_",
    "OMP_",
    "LOCAL_",
    "RANK",
    "WORLD_SIZE",
    "CUDA_",
    "TORCHELASTIC",
    "RAY_",
)


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    return {**clean, **variables}


def run(*words: str, command: str = "run", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NUMAWISE, command, *words],
        check=False,
        text=True,
        capture_output=True,
        timeout=60,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    return done.stderr


@pytest.mark.skipif(len(MINE) < 2, reason="needs two CPUs")
def test_the_second_of_two() -> None:
    done = run("--per", "rank", "--", *REPORT, "{rank}/{ranks}", **TWO)
    report = json.loads(done.stdout)
    assert set(report["cpus"]) < set(MINE)
    assert MINE[0] not in report["cpus"]
    assert report["policy"].startswith("bind:")
    assert report["words"] == ["3/4"]
    assert "numawise: rank 3: note: local rank 1 of 2 by the environment: CPUs" in done.stderr
    assert report["environment"]["OMP_NUM_THREADS"]


@pytest.mark.skipif(len(MINE) < 2, reason="needs two CPUs")
def test_other_options_beside_it() -> None:
    options = [
        "--no-smt",
        "--threads",
        "1",
        "--mem",
        "local",
        "--env",
        "CUDA_VISIBLE_DEVICES=none-{rank}",
        "--quiet",
    ]
    done = run("--per", "rank", *options, "--", *REPORT, **TWO)
    report = json.loads(done.stdout)
    assert (report["policy"], report["environment"]["CUDA_VISIBLE_DEVICES"]) == ("local", "none-3")
    assert done.stderr == ""


def test_json_has_the_plan() -> None:
    done = run("--per", "rank", "--json", "--", "true", **TWO)
    (placement,) = json.loads(done.stderr.splitlines()[-1])["plan"]["placements"]
    assert (placement["rank"], placement["ranks"]) == (3, 4)


def test_without_a_launcher_it_says_what_there_is_instead() -> None:
    said = refused(run("--per", "rank", "--", "true"))
    assert "no launcher has started this process" in said
    assert "--per gpu" in said
    assert "PMI_RANK=3 do not tell" in refused(run("--per", "rank", "--", "true", PMI_RANK="3"))


def test_variables_that_contradict() -> None:
    said = refused(run("--per", "rank", "--", "true", LOCAL_RANK="2", LOCAL_WORLD_SIZE="2"))
    assert "LOCAL_RANK=2 LOCAL_WORLD_SIZE=2 contradict" in said


@pytest.mark.parametrize(
    "option", [["--gpu", "0"], ["--workers", "2"], ["--profile", "x"]], ids=lambda o: o[0]
)
def test_what_the_launcher_has_said_cannot_be_said_again(option: list[str]) -> None:
    assert f"--per rank goes without {option[0]}" in refused(
        run("--per", "rank", *option, "--", "true", **TWO)
    )


def test_bad_values_beside_it() -> None:
    assert "--gpu-mode takes one of" in refused(run("--per", "rank", "--gpu-mode", "x", "--", "true", **TWO))
    assert "no port for rank 3" in refused(run("--per", "rank", "--port", "65533", "--", "true", **TWO))


def test_it_goes_with_run_alone() -> None:
    assert "--per rank goes with run alone" in refused(run("--per", "rank", command="plan", **TWO))
    words = ["--arm", "--node 0", "--arm", "--per rank", "--", "true"]
    assert "--per rank goes with run alone" in refused(run(*words, command="compare", **TWO))


def test_nothing_heavy_is_imported_on_the_way() -> None:
    code = (
        "import sys; from numawise.cli.main import main; main(['run', '--per', 'rank', '--', 'true']);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, text=True, capture_output=True, env=environment(**TWO)
    )
    loaded = set(done.stdout.split())
    assert "numawise" in loaded
    assert not loaded & {"numpy", "rich", "jinja2", "click", "sqlite3", "tarfile", "asyncio", "logging"}


@pytest.mark.skipif(gpu_boxes.why_not() is not None, reason=str(gpu_boxes.why_not()))
class TestGPUs:
    """Two made-up GPUs under this machine's kernel."""

    ADDRESSES = ("0000:17:00.0", "0000:65:00.0")

    @pytest.fixture
    def box(self, tmp_path: Path) -> Path:
        for minor, address in enumerate(self.ADDRESSES):
            gpu_boxes.device(tmp_path, address, 0)
            gpu_boxes.driver(tmp_path, address, f"GPU-{minor}aaaaaaa-0000", minor)
        return tmp_path

    def beside(self, box: Path, **variables: str) -> tuple[str, dict[str, str], str]:
        command = [*NUMAWISE, "run", "--per", "rank", "--", *REPORT, "{gpu}"]
        done = gpu_boxes.run(box, command, environment(**variables))
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        return report["words"][0], report["environment"], done.stderr

    def test_by_local_rank_in_the_list_of_all(self, box: Path) -> None:
        gpu, seen, _ = self.beside(box, **TWO)
        assert gpu == self.ADDRESSES[1]
        assert "CUDA_VISIBLE_DEVICES" not in seen
        assert seen["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"

    def test_in_a_list_that_renumbers(self, box: Path) -> None:
        gpu, seen, _ = self.beside(box, **TWO, CUDA_VISIBLE_DEVICES="1,0")
        assert (gpu, seen["CUDA_VISIBLE_DEVICES"]) == (self.ADDRESSES[0], "1,0")

    def test_a_list_of_one_is_its_own(self, box: Path) -> None:
        gpu, seen, _ = self.beside(box, **TWO, CUDA_VISIBLE_DEVICES="0")
        assert (gpu, seen["CUDA_VISIBLE_DEVICES"]) == (self.ADDRESSES[0], "0")

    def test_none_left_is_told(self, box: Path) -> None:
        command = [*NUMAWISE, "run", "--per", "rank", "--", "true"]
        done = gpu_boxes.run(box, command, environment(**TWO, CUDA_VISIBLE_DEVICES=""))
        assert done.returncode == 0
        assert (
            "no GPU can be used here (CUDA_VISIBLE_DEVICES= in the environment leaves it out)" in done.stderr
        )
