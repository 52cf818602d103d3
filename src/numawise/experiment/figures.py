"""The other numbers a program prints beside its metric: those of its last line of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

_MOST = 64
"""Numbers kept of one trial: enough for a program that says what it does, no room for one that prints its data."""


def read_figures(outputs: Sequence[str]) -> dict[str, float]:
    """The numbers of the last JSON object that the first process printed on a line of its own; empty without one.

    Nested keys are joined by dots, and the members of a list go by their `name`. Truths and numbers that are not
    finite are left out.

    >>> read_figures(['text', '{"seconds": 2, "operations": [{"name": "gate", "ms": 1.5}]}'][1:])
    {'seconds': 2.0, 'operations.gate.ms': 1.5}
    """
    for output in outputs[:1]:
        for line in reversed(output.splitlines()):
            if not line.lstrip().startswith("{"):
                continue
            try:
                found = json.loads(line)
                return dict(islice(_numbers(found, ""), _MOST))
            except (ValueError, RecursionError):  # the second: nested deeper than the reader goes
                continue
    return {}


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                yield from _numbers(inner, f"{path}.{inner['name']}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        number = float(value)
        if math.isfinite(number):
            yield path, number
