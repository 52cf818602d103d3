"""The same Plan, written for other tools. One file a tool, each with `render(job) -> Export`, found by its name.

- `numactl`, `taskset`: one shell line a process; `env`: the environment variables alone
- `docker`, `compose`, `k8s`: containers
- `slurm`, `systemd`: a batch script, units
- `nginx`, `haproxy`: what stands in front of several servers and shares the requests out
- `shared/`: what they have in common: the job, quoting, GPUs

A file may say `USES`, the fields of Job beyond plan and command that mean something to it.
What a tool cannot say is in the text as a comment and in `Export.notes`; nothing of a plan is lost in silence.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from numawise.errors import UsageError
from numawise.placement.render.shared.job import Export, Job
from numawise.placement.values import Plan

_LAST_PORT = 65535


def formats() -> tuple[str, ...]:
    """The tools a plan can be written for: the modules of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg))


def uses(tool: str) -> tuple[str, ...]:
    """The fields of Job that `tool` has a use for, beyond the plan, the command and the port."""
    names: tuple[str, ...] = getattr(_module(tool), "USES", ())
    return names


def export(job: Job, tool: str) -> Export:
    """Write `job` for `tool`.

    Raises UsageError for a tool there is no file for, for a placeholder without a value, and for what the tool's
    format cannot hold at all.
    """
    module = _module(tool)
    _check(job)
    made: Export = module.render(job)
    return made


def render(plan: Plan, tool: str, command: Sequence[str], *, port: int | None = None) -> str:
    """The text alone. See `export`."""
    made = export(Job(plan, tuple(command), port=port), tool)
    return made.text.rstrip("\n")


def _module(tool: str) -> ModuleType:
    if tool not in formats():
        raise UsageError(f"no export called {tool!r}; there are {', '.join(formats())}")
    return importlib.import_module(f"{__name__}.{tool}")


def _check(job: Job) -> None:
    last = len(job.plan.placements) - 1
    if job.port is not None and job.port + last > _LAST_PORT:
        raise UsageError(f"--port {job.port} leaves no port for the last of {last + 1} processes")
    words = (*job.command, *(f"{k}={v}" for p in job.plan.placements for k, v in p.env.items()))
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{word[:80]!r} is not UTF-8 and cannot be written down; put the command into a script "
                "(and if LANG=C is why, set LANG=C.UTF-8)"
            ) from None
