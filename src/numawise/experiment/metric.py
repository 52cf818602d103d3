"""What a trial is judged by: wall time, a number in the output (regular expression or JSON key), or joules."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

import msgspec

from numawise.errors import NumawiseError, UsageError

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_GOES_ON = re.compile(r"[,_xX']\w*\d")
_LEAST, _MOST = 1e-100, 1e100  # beyond these, squares and inverses leave floating point
_OF_ENERGY = re.compile(r"energy:[a-z_-]*")  # as a regular expression it would match text without a number

PACKAGE_ENERGY = "energy:package"
"""The metric that is joules of the processor packages."""


class Metric(msgspec.Struct, frozen=True):
    """What to read: `text` is empty (wall time), `energy:package` (joules), a regular expression, or `json:KEY`."""

    text: str = ""
    maximize: bool = False

    @property
    def words(self) -> str:
        """What is measured, for people."""
        return (
            f"{self.text} ({'higher' if self.maximize else 'lower'} is better)" if self.text else "wall time"
        )


class NoMetricError(NumawiseError):
    """The output holds nothing that the metric matches."""


def check_metric(metric: Metric) -> None:
    """Raise UsageError for a metric that can never match."""
    if _OF_ENERGY.fullmatch(metric.text):
        if metric.text != PACKAGE_ENERGY:
            raise UsageError(
                f"--metric {metric.text}: of energy there is {PACKAGE_ENERGY}, in joules of the packages"
            )
        if metric.maximize:
            raise UsageError(f"--metric {PACKAGE_ENERGY} is better when it is lower: leave out --maximize")
    elif metric.text.startswith("json:"):
        if not metric.text.removeprefix("json:"):
            raise UsageError("--metric json:KEY needs a key, such as json:seconds")
    else:
        try:
            re.compile(metric.text)
        except re.error as error:
            raise UsageError(f"--metric {metric.text!r} is not a regular expression: {error}") from None
    if metric.maximize and not metric.text:
        raise UsageError("--maximize needs a --metric: wall time is better when it is lower")


def read_metric(
    metric: Metric, outputs: Sequence[str], seconds: float, energy_j: float | None = None
) -> float:
    r"""The value of one trial, from the output of each of its processes, its time or its energy.

    The last match counts. Over several processes rates (`maximize`) add up, and of costs the worst counts.
    Raises NoMetricError when a process printed none, one written so that it can be read in two ways (`1,234`), or
    one that is not a positive number of 1e-100 to 1e100, and when the energy is asked for and not known.

    >>> read_metric(Metric(r"speed: (\S+)", maximize=True), ["speed: 3.5 GB/s"], 1.0)
    3.5
    >>> read_metric(Metric("json:a.b"), ['text\n{"a": {"b": 2}}'], 1.0)
    2.0
    """
    if not metric.text:
        return seconds
    if metric.text == PACKAGE_ENERGY:
        if energy_j is None:
            raise NoMetricError("the energy of this trial is not known")
        return energy_j
    values = [_from_output(metric, output) for output in outputs]
    return sum(values) if metric.maximize else max(values)


def as_cost(metric: Metric, value: float) -> float:
    """The value as something where lower is better: rates are inverted."""
    return 1.0 / value if metric.maximize else value


def _from_output(metric: Metric, output: str) -> float:
    if metric.text.startswith("json:"):
        found = _json_value(output, metric.text.removeprefix("json:"))
    else:
        matches = list(re.finditer(metric.text, output))
        found = _number_in(matches[-1]) if matches else None
    if found is None:
        raise NoMetricError(f"the output holds no number for --metric {metric.text!r}")
    if not _LEAST <= found <= _MOST:
        kind = "a positive number" if not found > 0 or math.isinf(found) else "a number of 1e-100 to 1e100"
        raise NoMetricError(f"--metric {metric.text!r} found {found}, which is not {kind}")
    return found


def _number_in(match: re.Match[str]) -> float | None:
    text = match.group(1) if match.re.groups else match.group(0)
    number = _NUMBER.search(text or "")
    if number is None:
        return None
    if _GOES_ON.match(text, number.end()):
        # 1,234 is a thousand to some and one and a bit to others; 0x10 is not 0. Better no number than a wrong one.
        raise NoMetricError(
            f"--metric found {text[number.start() :][:40]!r}, which can be read in more than one way; "
            "print it as digits with a decimal point"
        )
    return float(number.group(0))


def _json_value(output: str, key: str) -> float | None:
    for line in reversed(output.splitlines()):
        if not line.lstrip().startswith("{"):
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):  # the second: nested deeper than the reader goes
            continue
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            # A whole number may be too big for float().
            return float(value) if abs(value) <= _MOST else math.inf
    return None
