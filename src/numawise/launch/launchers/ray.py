"""Ray Train: its workers set the variables of torch.distributed in their own environment.

python/ray/train/torch/config.py (_set_torch_distributed_env_vars). All workers of one machine see the GPUs of all of
them (share_cuda_visible_devices). Ray's plain tasks and actors have no rank.
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.launch.launchers import INNER, Rank
from numawise.launch.launchers.torchrun import torch_variables

NAME = "Ray"
LEVEL = INNER


def read(environ: Mapping[str, str]) -> Rank | None:
    """LOCAL_RANK and its kin in a worker of Ray."""
    if "TORCHELASTIC_RUN_ID" in environ or not any(name.startswith("RAY_") for name in environ):
        return None
    return torch_variables(environ, NAME, "LOCAL_WORLD_SIZE")
