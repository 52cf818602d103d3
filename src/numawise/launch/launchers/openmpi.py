"""Open MPI's mpirun.

https://docs.open-mpi.org, "Environment variables" (OMPI_COMM_WORLD_*). By default it binds each rank to one core when
there are one or two, and to a package or NUMA domain when there are more (mpirun(1), "Mapping, Ranking, and Binding").
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.launch.launchers import MIDDLE, Rank, Reader

NAME = "Open MPI"
LEVEL = MIDDLE
UNBIND = "mpirun --bind-to none"


def read(environ: Mapping[str, str]) -> Rank | None:
    """OMPI_COMM_WORLD_LOCAL_RANK and its kin."""
    reader = Reader(environ)
    local_rank = reader.number("OMPI_COMM_WORLD_LOCAL_RANK")
    if local_rank is None:
        return None
    rank, world = reader.number("OMPI_COMM_WORLD_RANK"), reader.number("OMPI_COMM_WORLD_SIZE")
    local_world = reader.number("OMPI_COMM_WORLD_LOCAL_SIZE")
    return Rank(NAME, rank, world, local_rank, local_world, reader.variables)
