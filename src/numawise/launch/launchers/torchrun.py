"""torchrun (torch.distributed.run), and what builds on it.

https://docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables". It sets OMP_NUM_THREADS=1 for several
processes where nobody has set it, and binds nothing unless told to (--numa-binding).
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.launch.launchers import INNER, Rank, Reader

NAME = "torchrun"
LEVEL = INNER
UNBIND = "torchrun without --numa-binding"


def read(environ: Mapping[str, str]) -> Rank | None:
    """LOCAL_RANK and its kin, where TORCHELASTIC_RUN_ID says that the elastic agent set them."""
    if "TORCHELASTIC_RUN_ID" not in environ:
        return None
    return torch_variables(environ, NAME, "LOCAL_WORLD_SIZE")


def torch_variables(environ: Mapping[str, str], launcher: str, *local_world: str) -> Rank | None:
    """The variables of torch.distributed, which several launchers set; `local_world`: those that count local ranks."""
    reader = Reader(environ)
    local_rank = reader.number("LOCAL_RANK")
    if local_rank is None:
        return None
    rank, world = reader.number("RANK"), reader.number("WORLD_SIZE")
    return Rank(launcher, rank, world, local_rank, reader.number(*local_world), reader.variables)
