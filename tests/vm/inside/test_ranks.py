"""Ranks of launchers on two nodes, judged by a reading of numa_maps that shares no code with what placed them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gpu_boxes
import pytest
from programs import numa_maps
from vm.inside.tools import HOLD, NUMAWISE, cpuset, holding

RUN = [*NUMAWISE, "run", "--per", "rank", "--"]
CPUS = {0: "0-1", 1: "2-3"}
MPIRUN = shutil.which("mpirun.openmpi")
LOOK = ["sh", "-c", "grep ^Cpus_allowed_list /proc/self/status; head -1 /proc/self/numa_maps | cut -d' ' -f2"]
SIZE = "120"  # MiB


def numbered(local: int, of: int) -> list[str]:
    """A prefix that gives the variables as torchrun does."""
    words = {
        "LOCAL_RANK": local,
        "LOCAL_WORLD_SIZE": of,
        "RANK": local,
        "WORLD_SIZE": of,
        "TORCHELASTIC_RUN_ID": "x",
    }
    return ["env", *(f"{name}={value}" for name, value in words.items())]


def check(pid: int, node: int, cpus: str | None = None) -> None:
    assert sum(numa_maps.kib_by_node(pid, "anon=").values()) > 100 << 10
    assert numa_maps.shares(pid, "anon=")[node] > 0.99
    assert f"Cpus_allowed_list:\t{cpus or CPUS[node]}\n" in Path(f"/proc/{pid}/status").read_text()


def looked(*prefix: str) -> tuple[list[str], str]:
    """The CPUs and policy of a rank, and what was said of it."""
    done = subprocess.run([*prefix, *RUN, *LOOK], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1:], done.stderr


def test_two_ranks_are_on_two_nodes():
    with ExitStack() as both:
        pids = [both.enter_context(holding(SIZE, prefix=[*numbered(r, 2), *RUN]))[0] for r in range(2)]
        for rank, pid in enumerate(pids):
            check(pid, rank)


@pytest.mark.parametrize(("rank", "where"), [(1, ["1", "bind:0"]), (2, ["2", "bind:1"])])
def test_four_ranks_split_the_cores(rank: int, where: list[str]):
    assert looked(*numbered(rank, 4))[0] == where


def test_a_single_rank_is_left_as_it_is():
    assert looked(*numbered(0, 1))[0] == ["0-3", "default"]


def test_in_a_cpuset_of_one_node_ranks_share_that():
    with cpuset("2-3", "1") as prefix:
        where, said = looked(*prefix, *numbered(1, 2))
    assert where == ["3", "bind:1"]
    assert "has bound" not in said


def test_what_the_launcher_bound_is_kept_and_judged(tmp_path: Path):
    for address in ("0000:17:00.0", "0000:65:00.0"):
        gpu_boxes.device(tmp_path, address, 1)
    where, said = looked(*gpu_boxes.inside(tmp_path, ["taskset", "-c", "0-1", *numbered(0, 2)]))
    assert where == ["0-1", "bind:0"]
    assert "torchrun has bound this rank to CPUs 0-1 (node 0): kept" in said
    assert "its GPU 0000:17:00.0 is on node 1, not on node 0" in said


def test_beside_the_gpu_not_beside_its_number(tmp_path: Path):
    for address, node in (("0000:17:00.0", 1), ("0000:65:00.0", 0)):
        gpu_boxes.device(tmp_path, address, node)
    with holding(SIZE, prefix=gpu_boxes.inside(tmp_path, [*numbered(0, 2), *RUN])) as (pid, _, _):
        check(pid, 1)
    # One is left, for this rank alone (its launcher, this test, sees both): its place does not go by its rank.
    visible = [*numbered(1, 2), "CUDA_VISIBLE_DEVICES=0"]
    with holding(SIZE, prefix=gpu_boxes.inside(tmp_path, [*visible, *RUN])) as (pid, _, _):
        check(pid, 1)


@contextmanager
def mpirun(*options: str) -> Iterator[list[int]]:
    """Two ranks that hold memory, started by Open MPI: their pids by rank."""
    hold = [*HOLD, SIZE, "--seconds", "60"]
    command = ["mpirun.openmpi", "--allow-run-as-root", "-n", "2", "--tag-output", *options, *RUN, *hold]
    environment = {**os.environ, "OMPI_MCA_btl": "self,vader", "OMPI_MCA_oob_tcp_if_include": "lo"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as launcher:
        assert launcher.stdout
        try:
            pids: dict[int, int] = {}
            for line in launcher.stdout:  # [1,0]<stdout>:ready PID ADDRESS LENGTH
                tag, _, words = line.partition(">:")
                if words.startswith("ready"):
                    pids[int(tag.partition(",")[2].partition("]")[0])] = int(words.split()[1])
                if len(pids) == 2:
                    break
            yield [pids[0], pids[1]]
        finally:
            launcher.terminate()


@pytest.fixture
def loopback() -> None:
    """mpirun speaks with itself over a network, which the machine has not brought up."""
    if MPIRUN is None:
        pytest.skip("no mpirun.openmpi here (Debian: openmpi-bin)")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize("options", [["--bind-to", "none"], ["--bind-to", "core"]], ids=" ".join)
def test_mpirun(options: Sequence[str]):
    with mpirun(*options) as pids:
        for rank, pid in enumerate(pids):
            check(pid, rank)
