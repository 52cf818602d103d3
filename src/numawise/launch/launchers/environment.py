"""LOCAL_RANK and its kin without a sign of who set them: by hand, by a script, by a platform's operator."""

from __future__ import annotations

from collections.abc import Mapping

from numawise.launch.launchers import LOOSE, Rank
from numawise.launch.launchers.torchrun import torch_variables

NAME = "the environment"
LEVEL = LOOSE


def read(environ: Mapping[str, str]) -> Rank | None:
    """The variables of torch.distributed, whoever set them."""
    return torch_variables(environ, NAME, "LOCAL_WORLD_SIZE", "LOCAL_SIZE")
