"""The interval behind every verdict: valid however often it is looked at, steady under outliers.

The x of a pair is log(time_a / time_b). The interval is the anytime-valid t interval (a Bayes factor with a
normal prior on the standardised effect, inverted: Lindon, Ham, Tingley and Bojinov, "Anytime-valid linear
models", arXiv 2210.08589). Winsorising in front of it has no proof, only the simulations in
docs/statistics.md.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence

import msgspec

from numawise.errors import UsageError
from numawise.experiment.records import Verdict, VerdictKind

FIRST_LOOK = 6
"""Pairs before the first look: fewer say nothing about their own spread."""

_OUTLIER_MADS = 3
"""In plain median absolute deviations: 3 of them are 2 sigmas of a normal distribution."""

_SMALL_SAMPLE = 2
"""The MAD of few values comes out too small (by a fifth for six), so limits are wider by 1 + 2/n."""

_OUTLIER_SHARE = 0.25
"""A larger share outside the limits is no outlier but the distribution itself (coarse clock, two modes)."""

_ROUNDING = 1e-9
"""Log ratios closer to 0 than this are rounding of floating point, not speed."""


class Estimate(msgspec.Struct, frozen=True):
    """Mean of the log ratios and its interval, `mean` +- `half_width` (infinite where nothing can be said)."""

    mean: float
    half_width: float
    count: int


def winsorise(values: Sequence[float]) -> list[float]:
    """Pull outliers in to the median +- 3 MAD (1 + 2/n), MAD being the median distance from the median.

    Left alone: values whose MAD is 0, and values of which more than a quarter lie outside. There the MAD
    describes the commonest value and not the spread (a coarse clock, two modes), and clipping would remove
    real variation.

    >>> winsorise([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 90.0])
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 12.0]
    >>> winsorise([0.0, 0.0, 0.0, 0.0, 0.1])
    [0.0, 0.0, 0.0, 0.0, 0.1]
    """
    if not values:
        return []
    middle = statistics.median(values)
    mad = statistics.median(abs(value - middle) for value in values)
    limit = _OUTLIER_MADS * (1 + _SMALL_SAMPLE / len(values)) * mad
    outside = sum(abs(value - middle) > limit for value in values)
    if limit <= _ROUNDING or outside > _OUTLIER_SHARE * len(values):
        return list(values)
    return [min(max(value, middle - limit), middle + limit) for value in values]


def interval_factor(count: int, alpha: float, g: float = 1.0) -> float:
    """Half-width of the anytime-valid interval of a mean of `count` values, in standard deviations.

    K = 1 + n g, r = (sqrt(K)/alpha)^(2/n), u = (r - 1)/(1 - r/K), factor = sqrt((n - 1) u / n); infinite
    if r >= K.

    >>> round(interval_factor(10, 0.05), 3)
    1.224
    >>> interval_factor(2, 0.05)
    inf
    """
    if count < 2:
        return math.inf
    k = 1 + count * g
    log_r = (math.log(k) / 2 - math.log(alpha)) * 2 / count
    if log_r >= math.log(k):
        return math.inf
    r = math.exp(log_r)
    return math.sqrt((count - 1) * (r - 1) / (1 - r / k) / count)


def first_look(alpha: float) -> int:
    """Pairs from which the interval is looked at: 6, or more for a tiny alpha, until it is finite."""
    count = FIRST_LOOK
    while math.isinf(interval_factor(count, alpha)):
        count += 1
    return count


def estimate(log_ratios: Sequence[float], alpha: float) -> Estimate:
    """Winsorise and put the anytime-valid interval of level `alpha` around the mean."""
    count = len(log_ratios)
    if count == 0:
        return Estimate(mean=0.0, half_width=math.inf, count=0)
    values = winsorise(log_ratios)
    mean = statistics.fmean(values)
    factor = interval_factor(count, alpha)
    half_width = math.inf if math.isinf(factor) else factor * statistics.stdev(values)
    return Estimate(mean=mean, half_width=half_width, count=count)


def kind_of(seen: Estimate, delta: float) -> VerdictKind:
    """What an interval of log(time_a / time_b) says of b, in this order.

    Clear of 0: better or worse, even if the whole interval is inside the indifference zone (how much is in
    the verdict's ratio). Inside +-log(1 + delta): equivalent. Else inconclusive, which means "go on" before
    the cap.
    """
    low, high = seen.mean - seen.half_width, seen.mean + seen.half_width
    if low > _ROUNDING:
        return "better"
    if high < -_ROUNDING:
        return "worse"
    if -math.log1p(delta) < low and high < math.log1p(delta):
        return "equivalent"
    return "inconclusive"


def verdict_of(seen: Estimate, kind: VerdictKind, reason: str) -> Verdict:
    """The same on the scale people read: time of b over time of a."""
    return Verdict(
        kind=kind,
        ratio=_ratio(-seen.mean),
        low=_ratio(-seen.mean - seen.half_width),
        high=_ratio(-seen.mean + seen.half_width),
        pairs=seen.count,
        reason=reason,
    )


def _ratio(log_ratio: float) -> float:
    """exp, kept finite: JSON has no infinity, and a verdict must survive being stored."""
    return math.exp(min(max(log_ratio, math.log(sys.float_info.min)), math.log(sys.float_info.max)))


def checked_value(value: object, whose: str) -> float:
    """A measured value as a positive finite float, or UsageError naming whose it was."""
    try:
        number = float(value)  # type: ignore[arg-type]  # NumPy and torch scalars are welcome too
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, (bool, str, bytes)) or not (math.isfinite(number) and number > 0):
        raise UsageError(
            f"{whose} gave {value!r:.80}: a measured value must be a positive, finite number (lower is better)"
        )
    return number


def checked_levels(alpha: float, delta: float) -> None:
    """Refuse levels that cannot be meant. Raises UsageError."""
    if not 0 < alpha < 1:
        raise UsageError(
            f"alpha is {alpha}: the chance of a false alarm must lie between 0 and 1, such as 0.05"
        )
    if not (0 <= delta < math.inf):
        raise UsageError(
            f"delta is {delta}: the difference that does not matter must be 0 or more, such as 0.02"
        )
