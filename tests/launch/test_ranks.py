"""Which rank this is, from environments as launchers really set them."""

from __future__ import annotations

import pytest

from numawise.errors import UsageError
from numawise.launch.launchers import modules, per_node
from numawise.launch.ranks import Rank, read_rank

# As recorded from the real thing, with other numbers: torchrun of PyTorch 2.13, accelerate 1.15, DeepSpeed 0.19,
# Ray 2.60, Open MPI 4.1, MPICH 4.0, Slurm 22.05 (tests/launchers starts them).
TORCHRUN = {
    "GROUP_RANK": "0",
    "GROUP_WORLD_SIZE": "1",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "OMP_NUM_THREADS": "1",
    "RANK": "1",
    "ROLE_NAME": "default",
    "ROLE_RANK": "1",
    "ROLE_WORLD_SIZE": "2",
    "TORCHELASTIC_MAX_RESTARTS": "0",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "WORLD_SIZE": "2",
}
ACCELERATE = TORCHRUN | {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "NO"}
DEEPSPEED = {
    "CROSS_RANK": "1",
    "CROSS_SIZE": "2",
    "CUDA_VISIBLE_DEVICES": "0,1,2,3",
    "LOCAL_RANK": "2",
    "LOCAL_SIZE": "4",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
    "RANK": "6",
    "WORLD_SIZE": "8",
}
RAY = {
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "NODE_RANK": "1",
    "RANK": "5",
    "RAY_JOB_ID": "01000000",
    "WORLD_SIZE": "8",
}
OPENMPI = {
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_NODE_RANK": "0",
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "4",
    "PMIX_NAMESPACE": "1367343105",
    "PMIX_RANK": "2",
}
MPICH = {"MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1", "PMI_FD": "6", "PMI_RANK": "3", "PMI_SIZE": "4"}
SLURM = {
    "SLURM_CPU_BIND": "quiet,mask_cpu:0x1,0x2",
    "SLURM_JOB_ID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_NTASKS": "11",
    "SLURM_PROCID": "9",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "11",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2),3",
    "SLURM_TASKS_PER_NODE": "8(x3)",
}
SLURM_BATCH = {
    "SLURM_JOB_ID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_TASKS_PER_NODE": "2",
}


def numbers(rank: Rank | None) -> tuple[str, int | None, int | None, int, int | None]:
    assert rank is not None
    return rank.launcher, rank.rank, rank.world, rank.local_rank, rank.local_world


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (TORCHRUN, ("torchrun", 1, 2, 1, 2)),
        (ACCELERATE, ("accelerate", 1, 2, 1, 2)),
        (DEEPSPEED, ("DeepSpeed", 6, 8, 2, 4)),
        (RAY, ("Ray", 5, 8, 1, 4)),
        (OPENMPI, ("Open MPI", 2, 4, 0, 2)),
        (MPICH, ("MPICH", 3, 4, 1, 2)),
        (SLURM, ("Slurm", 9, 11, 1, 3)),
        ({"LOCAL_RANK": "3"}, ("the environment", None, None, 3, None)),
        ({"MV2_COMM_WORLD_LOCAL_RANK": "1", "MV2_COMM_WORLD_LOCAL_SIZE": "2"}, ("MPICH", None, None, 1, 2)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_each_launcher(environ: dict[str, str], expected: tuple[object, ...]) -> None:
    rank = read_rank({"HOME": "/root", "PATH": "/bin", **environ})
    assert numbers(rank) == expected
    assert rank is not None
    assert rank.variables.items() <= environ.items()


def test_no_launcher_is_no_rank() -> None:
    assert read_rank({}) is None
    assert read_rank({"PMI_RANK": "3", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": ""}) is None


def test_a_batch_script_is_no_task() -> None:
    assert read_rank(SLURM_BATCH) is None
    shell_of_salloc = SLURM_BATCH | {"SLURM_STEP_ID": "4294967290"}
    assert read_rank(shell_of_salloc) is None


@pytest.mark.parametrize("inner", [TORCHRUN, DEEPSPEED, RAY, OPENMPI, MPICH], ids=lambda e: next(iter(e)))
def test_the_innermost_launcher_started_this_process(inner: dict[str, str]) -> None:
    assert numbers(read_rank(SLURM | inner)) == numbers(read_rank(inner))


def test_torchrun_inside_of_mpirun() -> None:
    assert numbers(read_rank(OPENMPI | TORCHRUN))[0] == "torchrun"


def test_a_wrapper_that_hands_on_the_same_numbers_is_fine() -> None:
    said = {"LOCAL_RANK": "0", "RANK": "2", "WORLD_SIZE": "4"}
    assert numbers(read_rank(OPENMPI | said))[0] == "Open MPI"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        (TORCHRUN | {"LOCAL_RANK": "2"}, ["LOCAL_RANK=2", "LOCAL_WORLD_SIZE=2", "rank 2 of 2"]),
        (TORCHRUN | {"RANK": "7"}, ["RANK=7", "WORLD_SIZE=2"]),
        (OPENMPI | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, ["2 ranks here, 1 in all"]),
        (OPENMPI | {"LOCAL_RANK": "1"}, ["OMPI_COMM_WORLD_LOCAL_RANK=0", "LOCAL_RANK=1", "unset"]),
        (OPENMPI | MPICH, ["Open MPI", "MPICH", "MPI_LOCALRANKID=1"]),
        (TORCHRUN | {"LOCAL_RANK": "-1"}, ["LOCAL_RANK='-1'"]),
        (TORCHRUN | {"LOCAL_RANK": "9" * 5000}, ["LOCAL_RANK="]),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "999999999", "WORLD_SIZE": ""}, ["LOCAL_WORLD_SIZE=999999999"]),
        (MPICH | {"MPI_LOCALRANKID": "one"}, ["MPI_LOCALRANKID='one'"]),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "4(x"}, ["SLURM_STEP_TASKS_PER_NODE='4(x'"]),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "4(x99999999999)"}, ["SLURM_STEP_TASKS_PER_NODE="]),
        (SLURM | {"SLURM_LOCALID": "3"}, ["SLURM_LOCALID=3", "rank 3 of 3"]),
    ],
)
def test_contradictions_are_named(environ: dict[str, str], named: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        read_rank(environ)
    for text in named:
        assert text in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "count"),
    [
        ({"SLURM_NODEID": "0"}, 4),
        ({"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_NODEID": "0"}, 2),
        ({"SLURM_STEP_TASKS_PER_NODE": "", "SLURM_TASKS_PER_NODE": "4(x3)"}, 4),
        ({"SLURM_STEP_TASKS_PER_NODE": "", "SLURM_TASKS_PER_NODE": "", "SLURM_NTASKS_PER_NODE": "4"}, 4),
        ({"SLURM_STEP_TASKS_PER_NODE": "", "SLURM_TASKS_PER_NODE": ""}, None),
        ({"SLURM_STEP_TASKS_PER_NODE": "4,3", "SLURM_TASKS_PER_NODE": "", "SLURM_NODEID": "7"}, None),
    ],
)
def test_slurm_counts_the_tasks_of_this_machine(changed: dict[str, str], count: int | None) -> None:
    rank = read_rank(SLURM | changed)
    assert rank is not None
    assert rank.local_world == count


@pytest.mark.parametrize("text", ["", "x", "4(x0)", "4(x2", "4)x2(", ",", "(x2)", "4(x2)x"])
def test_what_slurm_would_not_write(text: str) -> None:
    with pytest.raises(ValueError):
        per_node(text)


def test_a_launchers_file_has_what_a_launcher_needs() -> None:
    assert len({launcher.NAME for launcher in modules()}) == len(modules()) >= 8
    for launcher in modules():
        assert launcher.__doc__
        assert launcher.read({}) is None
        assert isinstance(launcher.LEVEL, int)
