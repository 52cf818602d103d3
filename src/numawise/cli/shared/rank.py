"""`--per rank`: one process, placed as the rank that a launcher (torchrun, srun, mpirun ...) started us as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast, get_args

import msgspec

from numawise.cli.shared.selection import request_from
from numawise.errors import UsageError
from numawise.machine.topology import Topology
from numawise.placement.request import GpuMode
from numawise.placement.values import Plan

_LAUNCHERS = ("profile", "gpu", "workers")
"""Options that say what the launcher has said already."""


def is_per_rank(values: Mapping[str, Sequence[str]]) -> bool:
    """Is the process to be placed as the rank it is?"""
    return values.get("per", [""])[-1] == "rank"


def plan_of_rank(values: Mapping[str, Sequence[str]], topology: Topology) -> Plan:
    """The placement of this process's rank on this machine. Raises UsageError where no launcher started us."""
    from numawise.launch.ranks import this_rank

    for name in _LAUNCHERS:
        if name in values:
            raise UsageError(
                f"--per rank goes without --{name}: how many processes there are and which GPU is whose "
                "the launcher has said (what it leaves visible, CUDA_VISIBLE_DEVICES say, is heeded)"
            )
    request = request_from({k: v for k, v in values.items() if k not in ("per", "gpu-mode")}, topology)
    if "gpu-mode" in values:
        mode = values["gpu-mode"][-1]
        if mode not in get_args(GpuMode):
            raise UsageError(f"--gpu-mode takes one of {', '.join(get_args(GpuMode))}, not {mode!r}")
        request = msgspec.structs.replace(request, gpu_mode=cast("GpuMode", mode))
    return this_rank(topology, request)[1]


def refuse() -> UsageError:
    """What other commands answer to `--per rank`."""
    return UsageError(
        "--per rank goes with run alone, as what a launcher starts: "
        "torchrun --no-python ... numawise run --per rank -- python train.py"
    )
