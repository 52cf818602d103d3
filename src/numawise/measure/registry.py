"""The parts of a measurement, found by their files in `parts/`: to add one, add a file there and a test."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

from numawise.machine.topology import Topology
from numawise.measure.wanted import Plan

Group = Literal["latency", "bandwidth", "loaded"]
"""What `numawise measure` is asked for."""
How = Literal["chase", "stream", "loaded", "core to core"]
"""Who carries the readings out (`takers`)."""


class Part(NamedTuple):
    """One part: what it is called, when it comes, and what it takes on a machine."""

    name: str
    """The field of `Measurements` that it fills."""
    group: Group
    order: int
    """When its turn comes: what one wants to see first has the lowest."""
    how: How
    plan: Callable[[Topology], Plan]


_parts: dict[str, Part] = {}


def part(
    name: str, *, group: Group, order: int, how: How
) -> Callable[[Callable[[Topology], Plan]], Callable[[Topology], Plan]]:
    """Decorate the function that says what a part takes on a machine: this enters the part."""

    def enter(plan: Callable[[Topology], Plan]) -> Callable[[Topology], Plan]:
        _parts[name] = Part(name, group, order, how, plan)
        return plan

    return enter


@cache
def parts() -> tuple[Part, ...]:
    """All parts, in order.

    >>> [part.name for part in parts()][:2]
    ['latency', 'bandwidth']
    """
    folder = importlib.import_module("numawise.measure.parts")
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return tuple(sorted(_parts.values(), key=lambda part: part.order))
