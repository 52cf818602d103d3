"""A verdict as JSON: the keys that every command's form has in common."""

from __future__ import annotations

import math
from typing import Any

from numawise.experiment.records import Verdict

_EDGE = 1e300  # beyond lies only what stands for infinity


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Kind, ratio with its interval, pairs and reason; null where a number is not bounded."""
    return {
        "verdict": verdict.kind,
        "ratio": _number(verdict.ratio),
        "low": _number(verdict.low),
        "high": _number(verdict.high),
        "pairs": verdict.pairs,
        "reason": verdict.reason,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) and abs(value) < _EDGE else None
