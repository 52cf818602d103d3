"""One file a launcher of ranks. To teach numawise another, add a file with these names:

- `NAME`: what people call it
- `LEVEL`: how far outside it is started (`INNER` inside of everything else, `OUTER` around everything else)
- `read(environ) -> Rank | None`: the rank, from variables that this launcher alone sets; None: it is not there

and, where there is something to say,

- `UNBIND`: what to tell it so that it leaves CPUs to us
- `allotted(environ) -> int | None`: how many CPUs of this machine its ranks may use together, where a scheduler decides
- `own_gpus(environ) -> int | None`: how many GPUs it gives each rank for itself; None: ranks share a list, or not known

and a test of its own, with variables as a real launch had them.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from types import ModuleType

import msgspec

from numawise.errors import UsageError

_COUNT = re.compile(r"(\d{1,6})(?:\(x(\d{1,6})\))?", re.ASCII)

INNER, MIDDLE, OUTER, LOOSE = range(4)
"""Frameworks (torchrun) start inside of MPI, MPI inside of a scheduler's step; what anybody may have set comes last."""


class Rank(msgspec.Struct, frozen=True):
    """One process among those of a launch."""

    launcher: str
    rank: int | None
    """Among all processes of the launch."""
    world: int | None
    """How many these are."""
    local_rank: int
    """Among those on this machine."""
    local_world: int | None
    """How many these are; None where the launcher does not tell."""
    variables: dict[str, str]
    """The variables it was read from."""


class Reader:
    """Reads whole numbers from an environment, and remembers from which variables."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.variables: dict[str, str] = {}

    def number(self, *names: str) -> int | None:
        """The value of the first of these variables that is set. Raises UsageError for what is no whole number."""
        for name in names:
            text = self._environ.get(name)
            if text:
                if not (text.isascii() and text.isdigit() and len(text) < 10):
                    raise UsageError(f"{name}={text[:40]!r} in the environment should be a whole number")
                self.variables[name] = text
                return int(text)
        return None

    def text(self, name: str) -> str | None:
        """The value of this variable; None when it is not set or empty."""
        text = self._environ.get(name)
        if not text:
            return None
        self.variables[name] = text
        return text


def names() -> tuple[str, ...]:
    """The files of this folder."""
    folder = os.path.dirname(__file__)  # noqa: PTH120 - pathlib costs start-up time
    files = os.listdir(folder)  # noqa: PTH208 - likewise
    return tuple(sorted(f[:-3] for f in files if f.endswith(".py") and not f.startswith("_")))


def module(name: str) -> ModuleType:
    """The launcher's file of this name."""
    return importlib.import_module(f"{__name__}.{name}")


def modules() -> list[ModuleType]:
    """All of them, from the inside out."""
    return sorted(map(module, names()), key=lambda found: found.LEVEL)


def named(launcher: str) -> ModuleType:
    """The file of the launcher that people call so. Raises KeyError."""
    for found in modules():
        if launcher == found.NAME:
            return found
    raise KeyError(launcher)


def per_node(text: str) -> list[int]:
    """Tasks of each machine as Slurm writes them. Raises ValueError.

    >>> per_node("4(x2),3")
    [4, 4, 3]
    """
    counts: list[int] = []
    for piece in text.split(","):
        found = _COUNT.fullmatch(piece.strip())
        if found is None or found[2] == "0":
            raise ValueError(text)
        counts += [int(found[1])] * int(found[2] or 1)
    return counts
