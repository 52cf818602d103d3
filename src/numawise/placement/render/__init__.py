"""The same Plan, written for other tools. One file a tool, each with `render(plan, command) -> str`.

- `numactl`: one numactl line a process
- `taskset`: CPUs only, for machines without numactl
- `env`: the environment variables alone
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

from numawise.errors import UsageError
from numawise.placement.values import Plan


def formats() -> tuple[str, ...]:
    """The tools a plan can be written for: the modules of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def render(plan: Plan, tool: str, command: Sequence[str]) -> str:
    """Write `plan` for `tool`. Raises UsageError for a tool there is no file for."""
    if tool not in formats():
        raise UsageError(f"no export called {tool!r}; there are {', '.join(formats())}")
    text: str = importlib.import_module(f"{__name__}.{tool}").render(plan, command)
    return text
