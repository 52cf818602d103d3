"""Hugging Face's `accelerate launch`: torchrun's agent in its own process, so torchrun's variables and some of its own.

src/accelerate/commands/launch.py (multi_gpu_launcher) and utils/launch.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.launch.launchers import INNER, Rank
from numawise.launch.launchers.torchrun import torch_variables

NAME = "accelerate"
LEVEL = INNER
UNBIND = "accelerate launch without --enable_cpu_affinity"


def read(environ: Mapping[str, str]) -> Rank | None:
    """LOCAL_RANK and its kin, where ACCELERATE_MIXED_PRECISION, always set, says who started torchrun's agent."""
    if "TORCHELASTIC_RUN_ID" not in environ or "ACCELERATE_MIXED_PRECISION" not in environ:
        return None
    return torch_variables(environ, NAME, "LOCAL_WORLD_SIZE")
