"""The `deepspeed` command: deepspeed/launcher/launch.py sets these for each local process.

It puts --local_rank=N before the program's own arguments unless told --no_local_rank, and CUDA_VISIBLE_DEVICES to the
list of all local ranks.
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.launch.launchers import INNER, Rank
from numawise.launch.launchers.torchrun import torch_variables

NAME = "DeepSpeed"
LEVEL = INNER
UNBIND = "deepspeed without --bind_cores_to_rank"


def read(environ: Mapping[str, str]) -> Rank | None:
    """LOCAL_RANK and its kin, where CROSS_SIZE and LOCAL_SIZE tell who set them."""
    if "CROSS_SIZE" not in environ or "LOCAL_SIZE" not in environ or "TORCHELASTIC_RUN_ID" in environ:
        return None
    return torch_variables(environ, NAME, "LOCAL_SIZE")
