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
    from numawise.machine import read as read_topology
    from numawise.machine.topology import Topology
    from numawise.observe import Residency, residency
    from numawise.placement.plan import plan
    from numawise.placement.request import Request
    from numawise.placement.values import MemoryPolicy, Placement, Plan

# Public name -> (module, name there). Imported on first use: `numawise run` needs few of them and must start fast.
_PUBLIC = {
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
    "compare": ("experiment.compare", "compare"),
    "plan": ("placement.plan", "plan"),
    "read_topology": ("machine", "read"),
    "residency": ("observe", "residency"),
    "tune": ("experiment.tune", "tune"),
}

__all__ = [
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
    "compare",
    "plan",
    "read_topology",
    "residency",
    "tune",
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
