"""numawise: measured, verified NUMA placement for AI programs.

>>> import numawise as nw
>>> topology = nw.read_topology()
>>> len(topology.nodes) >= 1
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numawise.errors import NotPermittedError, NumawiseError, SnapshotError, UsageError
    from numawise.experiment.compare import compare
    from numawise.experiment.records import Verdict
    from numawise.experiment.tune import TrialFailed, TuneResult, tune
    from numawise.launch.inside.arrays import empty, empty_tensor
    from numawise.launch.inside.bind import bind
    from numawise.launch.inside.dataloader import data_loader_options, worker_init_fn
    from numawise.launch.inside.gpu import bind_to_gpu
    from numawise.launch.inside.policy import memory_policy
    from numawise.launch.inside.rank import bind_rank
    from numawise.launch.inside.values import Bound
    from numawise.machine import read as read_topology
    from numawise.machine.topology import Topology
    from numawise.observe import Residency, residency
    from numawise.placement.plan import plan
    from numawise.placement.request import Request
    from numawise.placement.values import MemoryPolicy, Placement, Plan

# Public name -> (module, name there). Imported on first use: `numawise run` needs few of them and must start fast.
_PUBLIC = {
    "Bound": ("launch.inside.values", "Bound"),
    "MemoryPolicy": ("placement.values", "MemoryPolicy"),
    "NotPermittedError": ("errors", "NotPermittedError"),
    "NumawiseError": ("errors", "NumawiseError"),
    "Placement": ("placement.values", "Placement"),
    "Plan": ("placement.values", "Plan"),
    "Request": ("placement.request", "Request"),
    "Residency": ("observe", "Residency"),
    "SnapshotError": ("errors", "SnapshotError"),
    "Topology": ("machine.topology", "Topology"),
    "TrialFailed": ("experiment.tune", "TrialFailed"),
    "TuneResult": ("experiment.tune", "TuneResult"),
    "UsageError": ("errors", "UsageError"),
    "Verdict": ("experiment.records", "Verdict"),
    "bind": ("launch.inside.bind", "bind"),
    "bind_rank": ("launch.inside.rank", "bind_rank"),
    "bind_to_gpu": ("launch.inside.gpu", "bind_to_gpu"),
    "compare": ("experiment.compare", "compare"),
    "data_loader_options": ("launch.inside.dataloader", "data_loader_options"),
    "empty": ("launch.inside.arrays", "empty"),
    "empty_tensor": ("launch.inside.arrays", "empty_tensor"),
    "memory_policy": ("launch.inside.policy", "memory_policy"),
    "plan": ("placement.plan", "plan"),
    "read_topology": ("machine", "read"),
    "residency": ("observe", "residency"),
    "tune": ("experiment.tune", "tune"),
    "worker_init_fn": ("launch.inside.dataloader", "worker_init_fn"),
}

__all__ = [
    "Bound",
    "MemoryPolicy",
    "NotPermittedError",
    "NumawiseError",
    "Placement",
    "Plan",
    "Request",
    "Residency",
    "SnapshotError",
    "Topology",
    "TrialFailed",
    "TuneResult",
    "UsageError",
    "Verdict",
    "bind",
    "bind_rank",
    "bind_to_gpu",
    "compare",
    "data_loader_options",
    "empty",
    "empty_tensor",
    "memory_policy",
    "plan",
    "read_topology",
    "residency",
    "tune",
    "worker_init_fn",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'numawise' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = getattr(importlib.import_module(f"numawise.{module}"), attribute)
    globals()[name] = value  # so that the next look-up is a plain one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
