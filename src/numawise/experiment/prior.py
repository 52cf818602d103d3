"""What a prediction is worth to the race: who is tried first, whether it proves right, and who need not be tried.

Nobody is dropped on the word of a model alone. The first block begins with the candidates that it likes best and
with probes from all over the rest. What they really took is held against it, log time = a + b * log expected, and
only where the slope is clearly positive does the prediction count from then on: shifted, scaled, and with the error
that was seen (the one it claims weighs as much as four residuals). Where it proves wrong, the rest of the block is
run and the race is the one there would have been without it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence

import msgspec

from numawise.experiment.halving import Block
from numawise.experiment.records import Expectation

LEAST_CHECKED = 8
"""Fewer tried candidates say nothing about a prediction."""
_LIKED_SHARE = 0.25
_PROBED_SHARE = 0.12
_SURE_T = 3.0
"""Standard errors by which the slope must be above 0."""
_REACH = 1.5
"""A candidate is worth a run when it could be as good as the leader at so many standard deviations of luck."""
_CLAIM_WEIGHT = 4.0
"""How many residuals the claimed error is worth."""
_LEAST_SIGMA = 0.01
_ONE_RUN = 0.03
"""Noise of one run that the first block's leader is drawn back by, nothing being known of it yet."""
_OUTLIER = 2.5
_ROUNDS = 4

Prior = Mapping[int, Expectation]
"""What was expected of each candidate, by index. Those that nothing was expected of are not in it."""


class Calibrated(msgspec.Struct, frozen=True):
    """A prediction after it was held against measurements: log time of candidate i in the first block."""

    intercept: float
    slope: float
    scale: float
    """The error seen over the error claimed."""

    def expect(self, expectation: Expectation) -> tuple[float, float]:
        """Mean and standard deviation of the log time."""
        return self.intercept + self.slope * math.log(expectation.ratio), self.scale * _sigma(expectation)


def first_tried(prior: Prior, challengers: Sequence[int], keep: Collection[int]) -> list[int]:
    """The challengers to begin the first block with: all of them where there are too few to choose among.

    Those that nothing is expected of, those to `keep`, those expected to be best, and probes spread evenly over the
    order of the others.
    """
    free = sorted(
        (index for index in challengers if index in prior and index not in keep),
        key=lambda index: (prior[index].ratio, index),
    )
    liked = max(LEAST_CHECKED - 2, math.ceil(_LIKED_SHARE * len(free)))
    probes = max(3, math.ceil(_PROBED_SHARE * len(free)))
    rest = free[liked:]
    if len(rest) <= probes:
        return list(challengers)
    every = len(rest) / probes
    probed = {rest[int((place + 0.5) * every)] for place in range(probes)}
    held_back = set(rest) - probed
    return [index for index in challengers if index not in held_back]


def calibrate(prior: Prior, block: Block) -> Calibrated | None:
    """Hold the prediction against a block: None when it says nothing, or what it says proves wrong.

    Least squares weighted by the claimed errors, outliers pulled in to 2.5 standard deviations: those that
    were slower than expected, for delays are one-sided, and a prediction that calls fast ones slow must be found out.
    """
    tried = [index for index in block if index in prior]
    if len(tried) < LEAST_CHECKED:
        return None
    x = [math.log(prior[index].ratio) for index in tried]
    y = [block[index] for index in tried]
    weight = [1 / _sigma(prior[index]) ** 2 for index in tried]
    total = sum(weight)
    mean_x = sum(w * value for w, value in zip(weight, x, strict=True)) / total
    spread_x = sum(w * (value - mean_x) ** 2 for w, value in zip(weight, x, strict=True))
    if spread_x <= 1e-9 * total:
        return None
    pulled = list(y)
    intercept = slope = scale = 0.0
    for _ in range(_ROUNDS):
        mean_y = sum(w * value for w, value in zip(weight, pulled, strict=True)) / total
        slope = (
            sum(w * (u - mean_x) * (v - mean_y) for w, u, v in zip(weight, x, pulled, strict=True)) / spread_x
        )
        intercept = mean_y - slope * mean_x
        fitted = [intercept + slope * value for value in x]
        standardised = [(v - f) * math.sqrt(w) for v, f, w in zip(y, fitted, weight, strict=True)]
        limit = _OUTLIER * 1.4826 * statistics.median(map(abs, standardised))
        clipped = [min(value, limit) for value in standardised]
        pulled = [f + value / math.sqrt(w) for f, value, w in zip(fitted, clipped, weight, strict=True)]
        squares = sum(value * value for value in clipped)
        scale = math.sqrt((_CLAIM_WEIGHT + squares) / (_CLAIM_WEIGHT + len(tried) - 2))
    error = math.sqrt(squares / (len(tried) - 2) / spread_x)
    if slope <= 0 or slope < _SURE_T * error:
        return None
    return Calibrated(intercept=intercept, slope=slope, scale=scale)


def within_reach(found: Calibrated, prior: Prior, waiting: Sequence[int], block: Block) -> list[int]:
    """Those of `waiting` that could be as good as the best that was tried."""
    lead = min(shrunk(found, prior, block, sigma=_ONE_RUN).values())
    return [index for index in waiting if _low(found, prior[index]) <= lead]


def shrunk(found: Calibrated, prior: Prior, score: Mapping[int, float], *, sigma: float) -> dict[int, float]:
    """Scores drawn towards what was expected, each as far as its own error (`sigma`) and the expectation's say.

    What was expected is shifted so that its mean over these candidates is that of their scores: the scores
    are of those that did well, and relative to each other.
    """
    known = {index: found.expect(prior[index]) for index in score if index in prior}
    if len(known) < 2:
        return dict(score)
    shift = statistics.fmean(score[index] - mean for index, (mean, _) in known.items())
    result = dict(score)
    for index, (mean, error) in known.items():
        share = sigma**2 / (sigma**2 + error**2)
        result[index] = (1 - share) * score[index] + share * (mean + shift)
    return result


def _low(found: Calibrated, expectation: Expectation) -> float:
    mean, error = found.expect(expectation)
    return mean - _REACH * error


def _sigma(expectation: Expectation) -> float:
    return max(expectation.sigma, _LEAST_SIGMA)
