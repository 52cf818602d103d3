"""The instruction sets that the kernels can be run with here."""

from __future__ import annotations

import os

from numawise.errors import UsageError
from numawise.native.table import library

VARIABLE = "NUMAWISE_ISA"


def isas() -> tuple[str, ...]:
    """The sets this machine has, best first; `portable` (what every CPU of the architecture has) is always the last.

    A set counts only when the CPU has it and the system saves its registers.

    >>> isas()[-1]
    'portable'
    """
    return tuple(_numbers())


def isa_number(name: str | None) -> int:
    """The library's number of a set: the one named, else that of the environment's NUMAWISE_ISA, else the best.

    Raises UsageError for a name that no set has, or a set that is not available here.

    >>> isa_number("portable")
    0
    """
    wanted = name or os.environ.get(VARIABLE)
    here = _numbers()
    if not wanted:
        return next(iter(here.values()))
    if wanted not in here:
        said = f"{VARIABLE}={wanted}" if not name else f"isa {wanted!r}"
        raise UsageError(
            f"{said} is no instruction set of this machine's kernels; there are {', '.join(here)}"
        )
    return here[wanted]


def _numbers() -> dict[str, int]:
    loaded = library()
    numbers: dict[str, int] = {}
    number = 0
    while (name := loaded.numawise_isa_name(number)) is not None:
        if loaded.numawise_isa_here(number):
            numbers[name.decode()] = number
        number += 1
    return dict(reversed(numbers.items()))
