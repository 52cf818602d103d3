"""Slurm's srun: srun(1), "OUTPUT ENVIRONMENT VARIABLES".

A batch script and the shell of salloc have SLURM_PROCID=0 and SLURM_LOCALID=0 as well and are no rank: only what srun
started has SLURM_STEP_ID. With --gpus-per-task or --gpu-bind a task sees its own GPUs only, so that its GPU is the one
with index 0, whatever its rank.
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.errors import UsageError
from numawise.launch.launchers import OUTER, Rank, Reader, per_node

NAME = "Slurm"
LEVEL = OUTER
UNBIND = "srun --cpu-bind=none"

_NO_TASKS = 0xFFFFFF00
"""Steps numbered above it are the batch script, salloc's shell and the like (slurm.h, SLURM_MAX_NORMAL_STEP_ID)."""


def read(environ: Mapping[str, str]) -> Rank | None:
    """SLURM_LOCALID and its kin in a task of a job step."""
    reader = Reader(environ)
    step = reader.number("SLURM_STEP_ID", "SLURM_STEPID") if _is_normal(environ) else None
    local_rank = reader.number("SLURM_LOCALID")
    if step is None or local_rank is None:
        return None
    rank = reader.number("SLURM_PROCID")
    world = reader.number("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS")
    return Rank(NAME, rank, world, local_rank, _local_world(reader), reader.variables)


def own_gpus(environ: Mapping[str, str]) -> int | None:
    """With --gpus-per-task or --gpu-bind each task sees its own GPUs only: those of SLURM_STEP_GPUS.

    slurmd tells its tasks of the first by SLURMD_TRES_BIND=gpu:per_task:N (Slurm 22.05), srun of the second by
    SLURM_GPU_BIND.
    """
    bound = environ.get("SLURMD_TRES_BIND") or environ.get("SLURM_GPU_BIND") or ""
    given = environ.get("SLURM_STEP_GPUS", "")
    if not bound or bound.endswith("none") or not given:
        return None
    return len(given.split(","))


def allotted(environ: Mapping[str, str]) -> int | None:
    """CPUs of this machine that the step may use; a task bound to so many has them all, and not for itself."""
    return Reader(environ).number("SLURM_CPUS_ON_NODE")


def _is_normal(environ: Mapping[str, str]) -> bool:
    step = environ.get("SLURM_STEP_ID") or environ.get("SLURM_STEPID") or ""
    return not (step.isascii() and step.isdigit() and len(step) == 10 and int(step) > _NO_TASKS)


def _local_world(reader: Reader) -> int | None:
    """Tasks of this step on this machine: counted for each machine, else what was asked for of each."""
    for name, place in (
        ("SLURM_STEP_TASKS_PER_NODE", "SLURM_NODEID"),
        ("SLURM_TASKS_PER_NODE", "SLURM_NODEID"),
    ):
        given = reader.text(name)
        if given is None:
            continue
        node = reader.number(place)
        try:
            counts = per_node(given)
            if node is not None and node < len(counts):
                return counts[node]
            if len(set(counts)) == 1:
                return counts[0]
        except ValueError:
            raise UsageError(
                f"{name}={given!r} in the environment should be counts such as 4(x2),3"
            ) from None
    return reader.number("SLURM_NTASKS_PER_NODE")
