"""What each arm of a bench came to: medians of its trials, and its verdict."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec

from numawise.experiment.bench.run import references
from numawise.experiment.compare import look
from numawise.experiment.delivered import judged
from numawise.experiment.metric import Metric, as_cost
from numawise.experiment.records import Outcome, Study, Trial, Verdict


class Arm(msgspec.Struct, frozen=True):
    """One arm, all its trials together. The warm-up trial counts only where there is no other."""

    name: str
    axis: str
    against: str
    runs: int
    """Trials that gave a value, the warm-up not counted."""
    failures: int
    value: float | None = None
    """Median of what was measured."""
    figures: dict[str, float] = {}
    """Median of each number that the program printed beside it."""
    residency: dict[int, float] = {}
    on_target: float | None = None
    energy_j: float | None = None
    """Median energy of a whole run, its start included."""
    verdict: Verdict | None = None
    """None: it is only judged against, or it was not judged."""
    why: str = ""
    """Why there is no verdict."""

    @property
    def label(self) -> str:
        """The name less what it shares with what it is judged against: `bind:0` of `einsum, bind:0`."""
        return self.name.rpartition(", ")[2] if self.axis in ("placement", "layout", "dtype") else self.name


def arms(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> tuple[Arm, ...]:
    """Every arm in the order of the study. Of one that is not finished the verdicts are those so far."""
    verdicts = verdicts_so_far(study, trials) if outcome is None else outcome.verdicts
    reasons = {**outcome.failed, **outcome.left_out} if outcome is not None else {}
    found = []
    for candidate in study.candidates:
        own = [trial for trial in trials if trial.candidate == candidate.name]
        good = [trial for trial in own if trial.status == "ok" and trial.value is not None]
        counted = good[1:] or good
        found.append(
            Arm(
                name=candidate.name,
                axis=candidate.axis,
                against=candidate.against,
                runs=len(good[1:]),
                failures=len(own) - len(good),
                value=_median(trial.value for trial in counted),
                figures=_medians(trial.figures for trial in counted),
                residency=_shares(good),
                on_target=_mean(trial.on_target for trial in good),
                energy_j=_median(trial.energy_j for trial in counted),
                verdict=verdicts.get(candidate.name),
                why=reasons.get(candidate.name, ""),
            )
        )
    return tuple(found)


def blocks_of(trials: Sequence[Trial]) -> list[dict[str, Trial]]:
    """The blocks as they ran, the warm-up first: where an arm comes round again, a new one began."""
    blocks: list[dict[str, Trial]] = []
    for trial in trials:
        if not blocks or trial.candidate in blocks[-1]:
            blocks.append({})
        blocks[-1][trial.candidate] = trial
    return blocks


def verdicts_so_far(study: Study, trials: Sequence[Trial]) -> dict[str, Verdict]:
    """What the blocks so far say of each arm, none of it being decided before the study ends."""
    metric = Metric(study.metric, study.maximize)
    costs = [
        {name: as_cost(metric, t.value) for name, t in block.items() if t.status == "ok" and t.value}
        for block in blocks_of(trials)[1:]
    ]
    against = references(study)
    judged_arms = [
        (arm, study.candidates[against[i]]) for i, arm in enumerate(study.candidates) if against[i] != i
    ]
    verdicts = {}
    for arm, reference in judged_arms:
        ratios = [
            math.log(block[reference.name]) - math.log(block[arm.name])
            for block in costs
            if arm.name in block and reference.name in block
        ]
        if ratios:
            seen = look(ratios, study.alpha / len(judged_arms), study.delta, decide=False, last=False)
            verdicts[arm.name] = judged(seen, (reference, arm), trials)
    return verdicts


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _medians(found: Iterable[dict[str, float]]) -> dict[str, float]:
    every = [figures for figures in found if figures]
    keys = dict.fromkeys(key for figures in every for key in figures)
    return {key: statistics.median(f[key] for f in every if key in f) for key in keys}


def _shares(trials: Iterable[Trial]) -> dict[int, float]:
    seen = [trial.residency for trial in trials if trial.residency]
    nodes = sorted({node for shares in seen for node in shares})
    return {node: statistics.fmean(shares.get(node, 0.0) for shares in seen) for node in nodes}
