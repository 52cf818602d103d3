"""MPICH and what has its process manager Hydra: Intel MPI, MVAPICH, Microsoft MPI's variables.

Hydra's proxy sets MPI_LOCALRANKID and MPI_LOCALNRANKS beside PMI_RANK and PMI_SIZE (MPICH wiki, "Using the Hydra
Process Manager", "Environment Settings"). Slurm sets PMI_RANK as well (srun --mpi=pmi2), but no local rank by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.launch.launchers import MIDDLE, Rank, Reader

NAME = "MPICH"
LEVEL = MIDDLE
UNBIND = "mpiexec -bind-to none"


def read(environ: Mapping[str, str]) -> Rank | None:
    """MPI_LOCALRANKID and its kin, or the older names of MVAPICH."""
    reader = Reader(environ)
    local_rank = reader.number("MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK")
    if local_rank is None:
        return None
    rank = reader.number("PMI_RANK", "MV2_COMM_WORLD_RANK")
    world = reader.number("PMI_SIZE", "MV2_COMM_WORLD_SIZE")
    local_world = reader.number("MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE")
    return Rank(NAME, rank, world, local_rank, local_world, reader.variables)
