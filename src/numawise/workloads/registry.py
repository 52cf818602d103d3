"""The built-in workloads, found by looking into this folder."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import msgspec

from numawise import workloads
from numawise.errors import UsageError


class Workload(msgspec.Struct, frozen=True):
    """A program that can be tuned by name."""

    name: str
    summary: str
    module: str
    """Where it runs: `python -m MODULE`."""
    arguments: tuple[str, ...] = ()
    """What tuning runs it with; `{threads}`, `{workers}` and other placeholders are filled in per process."""
    metric: str = ""
    """What it is judged by: empty for wall time, or `json:KEY` of its last line. Lower is better."""
    memory_per_worker_mib: int = 0
    """What one worker needs with these arguments, so that only what fits is tried; 0: not known."""

    @property
    def command(self) -> tuple[str, ...]:
        """The command to run, with this Python and with placeholders."""
        return (sys.executable, "-m", self.module, *self.arguments)


def names() -> tuple[str, ...]:
    """The names of all built-in workloads, sorted.

    >>> names()
    ('moe_einsum',)
    """
    return tuple(sorted(_found()))


def get(name: str) -> Workload:
    """The workload of this name. Raises UsageError, naming those there are, when there is none."""
    found = _found()
    if name not in found:
        raise UsageError(f"no built-in workload is called {name!r}; there are {', '.join(sorted(found))}")
    return found[name]


def command(name: str) -> tuple[str, ...]:
    """The command of a workload, with placeholders. Raises UsageError for an unknown name.

    >>> command("moe_einsum")[1:5]
    ('-m', 'numawise.workloads.moe_einsum', '--threads', '{threads}')
    """
    return get(name).command


def _found() -> dict[str, Workload]:
    modules = (
        importlib.import_module(f"{workloads.__name__}.{info.name}")
        for info in pkgutil.iter_modules(workloads.__path__)
        if not info.ispkg
    )
    held = (getattr(module, "WORKLOAD", None) for module in modules)
    return {workload.name: workload for workload in held if isinstance(workload, Workload)}
