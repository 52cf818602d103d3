"""The program: its last line, its table, its options, and one line for everything that cannot be meant."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from numawise.workloads.moe_einsum import WORKLOAD

SMALL = ("--scale", "0.02", "--repeat", "2", "--seconds", "0")
KEYS = {
    *("workload", "engine", "method", "layout", "dtype", "scale", "seed"),
    *("hidden", "intermediate", "experts", "top"),
    *("weights_mib", "tokens", "workers", "threads", "repeats", "seconds", "seconds_min", "seconds_max"),
    *("setup_seconds", "tokens_per_s", "gflops", "gb_per_s", "read_gb_per_s", "share_of_read", "checksum"),
    *("operations", "computing_threads"),
}  # fmt: skip


def run(*options: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", WORKLOAD.module, *options],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | (env or {}),
        check=False,
    )


def result(*options: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    done = run(*SMALL, *options, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_last_line_is_json_with_the_documented_keys() -> None:
    found = result("--tokens", "3")
    assert set(found) == KEYS
    assert found["workload"] == "moe_einsum"
    assert (found["tokens"], found["workers"], found["repeats"]) == (3, 1, 2)
    assert [o["name"] for o in found["operations"]] == [
        "router",
        "gate",
        "up",
        "activation",
        "down",
        "combine",
    ]
    assert all(o["ms"] > 0 and o["gflops"] > 0 and o["gb_per_s"] > 0 for o in found["operations"])
    assert found["seconds_min"] <= found["seconds"] <= found["seconds_max"]
    assert found["tokens_per_s"] == pytest.approx(3 / found["seconds"])
    assert found["share_of_read"] == pytest.approx(found["gb_per_s"] / found["read_gb_per_s"])


def test_the_table_has_a_row_for_each_operation_and_the_whole() -> None:
    text = run(*SMALL, "--no-limit").stdout
    for name in ("router", "gate", "up", "activation", "down", "combine", "forward"):
        assert f"\n{name} " in text
    assert "GFLOP/s" in text and "of read" not in text


def test_no_limit_measures_none() -> None:
    found = result("--no-limit")
    assert found["read_gb_per_s"] is None and found["share_of_read"] is None


@pytest.mark.parametrize("layout", ["contiguous", "non-contiguous"])
def test_the_same_tokens_give_the_same_answer_however_they_are_computed(layout: str) -> None:
    common = ("--no-limit", "--layout", layout, "--tokens", "5", "--seed", "7")
    runs = [
        result(*common),
        result(*common, "--method", "optimized"),
        result(*common, "--method", "chosen"),
        result(*common, "--workers", "2", "--threads", "1"),
    ]
    assert [r["checksum"] for r in runs] == pytest.approx([runs[0]["checksum"]] * 4, rel=1e-5)
    assert [r["tokens"] for r in runs] == [5, 5, 5, 5]
    assert result(*common[:-1], "8")["checksum"] != pytest.approx(runs[0]["checksum"], rel=1e-3)


def test_programs_that_share_a_batch_do_its_parts() -> None:
    common = ("--no-limit", "--tokens", "7")
    parts = [result(*common, "--ranks", "2", "--rank", rank) for rank in ("0", "1")]
    assert sorted(part["tokens"] for part in parts) == [3, 4]
    assert sum(part["checksum"] for part in parts) == pytest.approx(result(*common)["checksum"], rel=1e-5)


def test_no_more_workers_than_tokens_are_started() -> None:
    done = run(*SMALL, "--no-limit", "--tokens", "2", "--workers", "5")
    assert json.loads(done.stdout.splitlines()[-1])["workers"] == 2
    assert "2 of 5 workers started: there are no tokens for the others" in done.stdout


def test_threads_are_those_asked_for_or_those_of_the_environment() -> None:
    cpus = len(os.sched_getaffinity(0))
    assert result("--no-limit", "--threads", "1", env={"OPENBLAS_NUM_THREADS": "2"})["threads"] == 1
    assert result("--no-limit", env={"OPENBLAS_NUM_THREADS": "1"})["threads"] == 1
    plain = {"OPENBLAS_NUM_THREADS": "", "OMP_NUM_THREADS": ""}
    assert result("--no-limit", env=plain)["threads"] == cpus


def test_threads_reach_the_library_that_computes() -> None:
    """Counted by the kernel: OpenBLAS starts its threads when it is loaded."""
    code = (
        "import os, sys; from numawise.workloads.moe_einsum import main; "
        f"main([*{SMALL!r}, '--no-limit', '--method', 'optimized', '--threads', sys.argv[1]]); "
        "print(len(os.listdir('/proc/self/task')))"
    )

    def threads(count: str) -> int:
        done = subprocess.run([sys.executable, "-c", code, count], capture_output=True, text=True, check=True)
        return int(done.stdout.splitlines()[-1])

    assert threads("1") == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert threads("2") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scale", "0"], "'0' is not a number from 0 to 64"),
        (["--scale", "nan"], "'nan' is not a number"),
        (["--scale", "inf"], "'inf' is not a number"),
        (["--tokens", "0"], "'0' is not a whole number from 1"),
        (["--tokens", "1.5"], "'1.5' is not a whole number"),
        (["--threads", "-1"], "'-1' is not a whole number"),
        (["--threads", "{threads}"], "'{threads}' is not a whole number"),
        (["--seed", "9" * 5000], "is not a whole number"),
        (["--repeat", "x"], "'x' is not a whole number"),
        (["--seconds", "-1"], "'-1' is not a number from 0"),
        (["--engine", "jax"], "invalid choice: 'jax'"),
        (["--layout", "fortran"], "invalid choice"),
        (["--dtype", "bfloat16"], "NumPy has no fast bfloat16"),
        (["--rank", "2", "--ranks", "2"], "--rank 2 is not one of --ranks 2"),
        (["--ranks", "4", "--tokens", "3"], "leaves some of --ranks 4 without work"),
        (["--scale", "64"], "use a smaller --scale"),
        (["--scal", "1"], "unrecognized arguments"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(options: list[str], said: str) -> None:
    done = run(*options)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_missing_pytorch_is_told() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        done = run("--engine", "torch")
        assert done.returncode == 2
        assert "pip install 'numawise[torch]'" in done.stderr
    else:
        pytest.skip("PyTorch is installed here")


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", WORKLOAD.module, *SMALL, "--no-limit"],
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (4, "")


@pytest.mark.torch
def test_torch_does_the_same_work() -> None:
    pytest.importorskip("torch")
    common = ("--no-limit", "--engine", "torch", "--threads", "2", "--tokens", "5")
    runs = [result(*common, *more) for more in ([], ["--method", "chosen"], ["--workers", "2"])]
    assert [r["checksum"] for r in runs] == pytest.approx([runs[0]["checksum"]] * 3, rel=1e-4)
    assert runs[0]["checksum"] == pytest.approx(result("--no-limit", "--tokens", "5")["checksum"], rel=1e-3)
    assert {r["threads"] for r in runs} == {2}
    done = run("--engine", "torch", "--method", "optimized")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_the_limit_is_that_of_the_threads_that_compute() -> None:
    plain = result("--threads", "2")
    assert (plain["threads"], plain["computing_threads"]) == (2, 1), "np.einsum is a loop on one thread"
    assert result("--threads", "2", "--method", "chosen")["computing_threads"] == 2
