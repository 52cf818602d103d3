"""The figures behind the charts find what was put into the made-up data."""

from __future__ import annotations

import math
import random

import made_up
import msgspec
import pytest

from numawise.experiment.records import Trial
from numawise.report import estimates


def raced(seed: int, true: dict[str, float], blocks: int, *, spikes: bool) -> list[Trial]:
    """Randomised complete blocks with a strong drift, and runs a quarter slower now and then."""
    chance, trials = random.Random(seed), []
    for block in range(blocks):
        order = list(true)
        chance.shuffle(order)
        for name in order:
            spike = 1.25 if spikes and chance.random() < 0.05 else 1.0
            value = 10 * true[name] * spike * (1 + 0.2 * block) * math.exp(chance.gauss(0, 0.01))
            facts = {"phase": "race", "status": "ok", "value": value, "seconds": value}
            trials.append(Trial(number=len(trials), candidate=name, started=float(len(trials)), **facts))  # type: ignore[arg-type]
    return trials


def test_drift_does_not_pass_for_a_difference() -> None:
    study, _, _ = made_up.tuned()
    names = [candidate.name for candidate in study.candidates[:6]]
    true = dict(zip(names, (1.0, 0.9, 1.1, 1.0, 1.3, 0.97), strict=True))
    trials = raced(5, true, 6, spikes=True)
    found = {effect.name: effect for effect in estimates.effects(study, trials)}
    assert list(found) == sorted(found, key=lambda name: found[name].ratio or 0)
    assert {name: effect.ratio for name, effect in found.items()} == pytest.approx(true, rel=0.03)
    pace = [point.value for point in estimates.drift(study, trials)]
    assert pace == pytest.approx([10 * (1 + 0.2 * block) for block in range(6)], rel=0.03)


@pytest.mark.parametrize(("spikes", "least"), [(False, 0.92), (True, 0.85)])
def test_the_intervals_of_the_race_hold_the_truth_about_as_often_as_they_say(
    spikes: bool, least: float
) -> None:
    study, _, _ = made_up.tuned()
    true = {candidate.name: 1.0 + 0.01 * i for i, candidate in enumerate(study.candidates[:20])}
    inside = total = 0
    for seed in range(40):
        for effect in estimates.effects(study, raced(seed, true, 4, spikes=spikes)):
            if effect.low is not None and effect.high is not None:
                total += 1
                inside += effect.low <= true[effect.name] <= effect.high
    assert total == 40 * 19
    assert inside / total >= least


def test_the_last_interval_is_the_verdicts() -> None:
    for study, trials, outcome in (made_up.tuned(), made_up.compared()):
        found = estimates.pairs(study, trials, outcome)
        assert not found[0].counted
        assert sum(pair.counted for pair in found) == outcome.verdict.pairs
        assert found[-1].mean == pytest.approx(outcome.verdict.ratio)
        assert (found[-1].low, found[-1].high) == pytest.approx((outcome.verdict.low, outcome.verdict.high))


def test_a_metric_to_maximize_is_turned_for_the_reader_and_turned_back() -> None:
    study, trials, outcome = made_up.compared()
    (first, second) = estimates.effects_as_measured(estimates.effects(study, trials), study)
    assert (first.name, second.name) == ("--node 0", "--node 1")
    assert second.ratio is not None
    assert second.low is not None
    assert second.high is not None
    assert second.low < second.ratio < second.high < 1, "fewer tokens/s"
    pair = estimates.pairs_as_measured(estimates.pairs(study, trials, outcome), study)[-1]
    assert (pair.low or 1) < (pair.mean or 0) < (pair.high or 0) < 1


def test_a_pair_whose_partner_failed_is_left_out() -> None:
    study, trials, outcome = made_up.compared()
    broken = [msgspec.structs.replace(t, status="failed", value=None) if t.number == 9 else t for t in trials]
    assert len(estimates.pairs(study, broken, outcome)) == len(estimates.pairs(study, trials, outcome)) - 1


def test_nothing_to_say_is_said_without_figures() -> None:
    study, trials, _ = made_up.tuned()
    assert estimates.effects(study, ()) == ()
    assert estimates.pairs(study, (), None) == ()
    assert estimates.drift(study, ()) == ()
    (lone,) = estimates.effects(study, [t for t in trials if t.status == "failed"])
    assert (lone.ratio, lone.median, lone.failures) == (None, None, 1)
    without_default = [t for t in trials if t.candidate != "default"]
    assert all(effect.ratio is None for effect in estimates.effects(study, without_default))


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_value_without_a_logarithm_is_no_measurement(value: float) -> None:
    study, trials, outcome = made_up.tuned()
    odd = [msgspec.structs.replace(t, value=value) if t.number % 7 == 3 else t for t in trials]
    assert all(e.ratio is None or math.isfinite(e.ratio) for e in estimates.effects(study, odd))
    assert all(math.isfinite(pair.ratio) for pair in estimates.pairs(study, odd, outcome))
