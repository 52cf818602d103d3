"""The figures behind the charts: how each candidate did against the default, and how the pairs added up.

These describe; the verdict is the experiment's own. The race is a table of candidates by blocks (a block is
one round through all candidates still in the race), taken apart as log of time = candidate + block + rest by
least squares with the outliers among the rests pulled in (Huber, "Robust Statistics", 1981, section 7.8).
Drift of the machine goes into the blocks.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from numawise.experiment.records import Outcome, Study, Trial
from numawise.experiment.sequential import estimate

_ROUNDS = 12
_ROUNDING = 1e-12


class Effect(msgspec.Struct, frozen=True):
    """One candidate against the default, from the runs of the race (or the pairs of a compare)."""

    name: str
    runs: int
    failures: int
    median: float | None
    """Of the values as measured; None when no run gave one."""
    ratio: float | None = None
    """Time (or whatever is lower when better) over the default's; None when either has no value."""
    low: float | None = None
    high: float | None = None
    """95% interval of `ratio`; None when nothing was run twice."""


class Pair(msgspec.Struct, frozen=True):
    """One pair of the comparison, and what was known after it."""

    ratio: float
    """Second arm over first, lower is better."""
    counted: bool
    """False for the first pair, a warm-up."""
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    """The anytime-valid interval after this pair; None while it is not bounded."""


class Drift(msgspec.Struct, frozen=True):
    """The machine's own pace in one block of the race, told by all its candidates together."""

    started: float
    value: float
    """What the default would have given in this block, in the units measured."""


R = TypeVar("R", Effect, Pair)


def measured(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that gave a value one can take the logarithm of."""
    return [
        trial
        for trial in trials
        if trial.status == "ok" and trial.value is not None and 0 < trial.value < math.inf
    ]


def cost(trial: Trial, study: Study) -> float:
    """The trial's value so that lower is better."""
    value = trial.value or math.nan
    return 1 / value if study.maximize else value


def arms(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> tuple[str, str] | None:
    """Names of the two that met in the comparison, the reference first; None when it has not begun."""
    if study.kind == "compare" and len(study.candidates) > 1:
        return study.candidates[0].name, study.candidates[1].name
    if outcome is not None and outcome.winner != study.default:
        return study.default, outcome.winner
    others = [t.candidate for t in trials if t.phase == "final" and t.candidate != study.default]
    return (study.default, others[-1]) if others else None


def pairs(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> tuple[Pair, ...]:
    """The pairs of the comparison in order, with the interval as it stood after each."""
    names = arms(study, trials, outcome)
    if names is None:
        return ()
    found: list[Pair] = []
    log_ratios: list[float] = []  # log(reference / other), as the experiment has it
    for i, ratio in enumerate(_pair_ratios(study, trials, names)):
        if i == 0:
            found.append(Pair(ratio=ratio, counted=False))
            continue
        log_ratios.append(-math.log(ratio))
        now = estimate(log_ratios, study.alpha)
        bounded = math.isfinite(now.half_width)
        found.append(
            Pair(
                ratio=ratio,
                counted=True,
                mean=math.exp(-now.mean),
                low=math.exp(-now.mean - now.half_width) if bounded else None,
                high=math.exp(-now.mean + now.half_width) if bounded else None,
            )
        )
    return tuple(found)


def effects(study: Study, trials: Sequence[Trial]) -> tuple[Effect, ...]:
    """Every candidate that ran, the best first; those without a value last."""
    phases = {"race"} if study.kind == "tune" else {"pair"}
    raced = [trial for trial in trials if trial.phase in phases]
    good = measured(raced)
    fit = _Fit(good, study)
    found = []
    for candidate in study.candidates:
        own = [trial for trial in raced if trial.candidate == candidate.name]
        if own:
            values = [t.value for t in good if t.candidate == candidate.name and t.value is not None]
            ratio, low, high = fit.against(candidate.name, study.default)
            found.append(
                Effect(
                    name=candidate.name,
                    runs=len(own),
                    failures=len(own) - len(values),
                    median=statistics.median(values) if values else None,
                    ratio=ratio,
                    low=low,
                    high=high,
                )
            )
    return tuple(sorted(found, key=lambda e: (e.ratio is None, e.ratio or 0.0, e.name)))


def drift(study: Study, trials: Sequence[Trial]) -> tuple[Drift, ...]:
    """The machine's own pace over the blocks of the race; empty when the default gave no value there."""
    fit = _Fit(measured(t for t in trials if t.phase == "race"), study)
    level = fit.candidate_effects.get(study.default)
    if level is None:
        return ()
    costs = [math.exp(level + effect) for effect in fit.block_effects]
    return tuple(
        Drift(statistics.fmean(t.started for t in block), 1 / expected if study.maximize else expected)
        for block, expected in zip(fit.blocks, costs, strict=True)
    )


def effects_as_measured(found: Iterable[Effect], study: Study) -> tuple[Effect, ...]:
    """The same effects, in the same order, as ratios of what was measured: upside down to maximize."""
    return tuple(_turned(effect) for effect in found) if study.maximize else tuple(found)


def pairs_as_measured(found: Iterable[Pair], study: Study) -> tuple[Pair, ...]:
    """The same pairs as ratios of what was measured: upside down to maximize."""
    return tuple(_turned(pair) for pair in found) if study.maximize else tuple(found)


def _turned(one: R) -> R:
    def over(ratio: float | None) -> float | None:
        return 1 / ratio if ratio else None

    changes = {"ratio": over(one.ratio), "low": over(one.high), "high": over(one.low)}
    if isinstance(one, Pair):
        changes["mean"] = over(one.mean)
    return msgspec.structs.replace(one, **changes)


def residency(trials: Iterable[Trial]) -> dict[int, float]:
    """Mean share of pages on each node over the trials that were looked at; empty when none was."""
    seen = [trial.residency for trial in trials if trial.residency]
    nodes = sorted({node for shares in seen for node in shares})
    return {node: statistics.fmean(shares.get(node, 0.0) for shares in seen) for node in nodes}


def _pair_ratios(study: Study, trials: Sequence[Trial], names: tuple[str, str]) -> list[float]:
    """Runs come two by two, in either order; a run whose partner gave nothing is left out."""
    first, second = names
    ratios: list[float] = []
    waiting: Trial | None = None
    for trial in sorted((t for t in trials if t.phase != "race"), key=lambda t: t.number):
        if trial.candidate not in names:
            continue
        if waiting is None or waiting.candidate == trial.candidate:
            waiting = trial
            continue
        if len(measured((waiting, trial))) == 2:
            costs = {t.candidate: cost(t, study) for t in (waiting, trial)}
            ratios.append(costs[second] / costs[first])
        waiting = None
    return ratios


def blocks_of(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Cut the race where a candidate comes round again: there a new block began."""
    blocks: list[list[Trial]] = []
    for trial in sorted(trials, key=lambda t: t.number):
        if not blocks or any(t.candidate == trial.candidate for t in blocks[-1]):
            blocks.append([])
        blocks[-1].append(trial)
    return blocks


class _Fit:
    """log cost = candidate + block + rest."""

    def __init__(self, trials: Sequence[Trial], study: Study) -> None:
        self.blocks = blocks_of(trials)
        found = [
            (i, t.candidate, math.log(cost(t, study))) for i, block in enumerate(self.blocks) for t in block
        ]
        self.counts = Counter(name for _, name, _ in found)
        self.block_effects = [0.0] * len(self.blocks)
        self.candidate_effects = dict.fromkeys(self.counts, 0.0)
        self._freedom = len(found) - len(self.counts) - len(self.blocks) + 1
        self._spread: float | None = None
        rests = [0.0] * len(found)
        for _ in range(_ROUNDS):
            # Outliers count as far as three standard deviations, judged by the rests of the round before.
            limit = 3 * self._spread if self._spread else math.inf
            pulled = [
                (i, name, value - rest + min(max(rest, -limit), limit))
                for (i, name, value), rest in zip(found, rests, strict=True)
            ]
            self._fit(pulled)
            rests = [value - self.block_effects[i] - self.candidate_effects[name] for i, name, value in found]
            self._spread = self._scatter(rests)

    def _fit(self, values: Sequence[tuple[int, str, float]]) -> None:
        """Least squares of a two-way table, by turns."""
        for _ in range(_ROUNDS):
            sums = [0.0] * len(self.blocks)
            for i, name, value in values:
                sums[i] += value - self.candidate_effects[name]
            self.block_effects = [total / len(block) for total, block in zip(sums, self.blocks, strict=True)]
            totals = dict.fromkeys(self.counts, 0.0)
            for i, name, value in values:
                totals[name] += value - self.block_effects[i]
            self.candidate_effects = {name: total / self.counts[name] for name, total in totals.items()}

    def _scatter(self, rests: Sequence[float]) -> float | None:
        """Standard deviation of one run, by the median absolute rest; None when nothing was run twice."""
        # A candidate that ran once has no rest: the fit goes through it.
        left = [abs(rest) for rest in rests if abs(rest) > _ROUNDING]
        if self._freedom < 1 or not left:
            return None
        return 1.4826 * statistics.median(left) * math.sqrt(max(1.0, len(left) / self._freedom))

    def against(self, name: str, reference: str) -> tuple[float | None, float | None, float | None]:
        """Ratio and 95% interval (Student's t)."""
        if name not in self.counts or reference not in self.counts:
            return None, None, None
        difference = self.candidate_effects[name] - self.candidate_effects[reference]
        if self._spread is None or name == reference:
            return math.exp(difference), None, None
        error = self._spread * math.sqrt(1 / self.counts[name] + 1 / self.counts[reference])
        half = _t_quantile(0.975, self._freedom) * error
        return math.exp(difference), math.exp(difference - half), math.exp(difference + half)


def _t_quantile(p: float, freedom: int) -> float:
    """Student's t by its expansion around the normal (Abramowitz and Stegun 26.7.5); 1% off at 3 degrees.

    >>> round(_t_quantile(0.975, 10), 2)
    2.23
    """
    z = statistics.NormalDist().inv_cdf(p)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
