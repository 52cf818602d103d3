"""A bench as a study: gone on with from any trial, judged by what was delivered, whatever is refused on the way."""

from __future__ import annotations

import math
import random

import made_up_bench as made_up
import msgspec
import pytest
from machines import one_node

from numawise.errors import NumawiseError
from numawise.experiment.bench.results import arms, blocks_of, verdicts_so_far
from numawise.experiment.bench.run import carry_out, spent
from numawise.experiment.records import Candidate, Outcome, Study, Trial
from numawise.experiment.sequential import estimate
from numawise.machine.codec import from_json, to_json


def test_the_best_placement_is_found_and_the_rest_is_judged() -> None:
    _, _, outcome = made_up.carried_out(made_up.study(own=True, full=True))
    assert outcome.best.startswith("bind:")
    assert outcome.verdict.kind == "better"
    assert outcome.verdicts["cpu:0 mem:1"].kind == "worse"
    assert outcome.verdicts["cpu:0 mem:1"].ratio == pytest.approx(1.3, rel=0.1)
    assert outcome.verdicts["local"].kind in ("equivalent", "inconclusive")
    assert outcome.alpha_per_arm == pytest.approx(0.05 / (len(outcome.verdicts)))


def test_where_nothing_matters_the_default_stays() -> None:
    begun, trials, outcome = made_up.carried_out(made_up.study(own=True), made_up.nothing_matters)
    assert outcome.best == begun.default == "default"
    assert {verdict.kind for verdict in outcome.verdicts.values()} == {"equivalent"}
    assert outcome.trials == len(trials)


@pytest.mark.parametrize("seconds", [None, 40.0])
def test_killed_at_any_trial_it_goes_on_to_the_same_end(seconds: float | None) -> None:
    begun = made_up.study(seed=11)
    assert begun.bench is not None
    begun = msgspec.structs.replace(begun, bench=msgspec.structs.replace(begun.bench, seconds=seconds))
    _, whole, outcome = made_up.carried_out(begun)
    for stop in random.Random(1).sample(range(len(whole)), 12):
        cut = made_up.Simulated(begun, made_up.memory_bound, stop=stop)
        with pytest.raises(KeyboardInterrupt):
            carry_out(begun, cut)
        resumed = made_up.Simulated(begun, made_up.memory_bound, kept=tuple(cut.trials))
        assert carry_out(begun, resumed) == outcome
        assert tuple(resumed.trials) == whole


def test_a_pause_between_kill_and_resume_is_no_time_of_the_trials() -> None:
    _, trials, _ = made_up.carried_out(made_up.study(own=True))
    later = tuple(msgspec.structs.replace(t, started=t.started + 86_400 * (t.number >= 20)) for t in trials)
    assert spent(later) == pytest.approx(spent(trials) + 2.0 - 0.05)
    assert spent(trials[:1]) == trials[0].seconds
    assert spent(()) == 0


def physics_where(name: str, value: float) -> made_up.Physics:
    def physics(candidate: Candidate) -> float:
        return value if candidate.name == name else made_up.memory_bound(candidate)

    return physics


def test_an_arm_that_fails_is_told_and_the_rest_goes_on() -> None:
    _, _, outcome = made_up.carried_out(made_up.study(own=True), physics_where("bind:0", math.nan))
    assert "RuntimeError: no room" in outcome.failed["bind:0"]
    assert outcome.failed["cpu:0 mem:1"] == "what it is judged against failed"
    assert set(outcome.verdicts) == {"bind:1", "interleave"}


def test_an_arm_the_system_refuses_is_told_and_the_rest_goes_on() -> None:
    begun, trials, outcome = made_up.carried_out(made_up.study(own=True), physics_where("bind:1", math.inf))
    assert outcome.failed["bind:1"] == "cannot run there: the system answered EPERM"
    assert [trial.number for trial in trials] == list(range(len(trials)))
    again = made_up.Simulated(begun, physics_where("bind:1", math.inf), kept=trials)
    assert carry_out(begun, again).verdicts == outcome.verdicts


def test_a_default_that_fails_or_is_refused_ends_it_with_one_line() -> None:
    with pytest.raises(NumawiseError, match="the default failed"):
        made_up.carried_out(made_up.study(own=True), physics_where("default", math.nan))
    with pytest.raises(NumawiseError, match="EPERM"):
        made_up.carried_out(made_up.study(own=True), physics_where("default", math.inf))


def test_a_placement_that_was_not_there_says_nothing_about_its_speed() -> None:
    begun = made_up.study(own=True)

    class Elsewhere(made_up.Simulated):
        def _trial(self, number: int, candidate: Candidate) -> Trial:
            trial = super()._trial(number, candidate)
            return msgspec.structs.replace(trial, on_target=0.4) if candidate.name == "bind:0" else trial

    recorder = Elsewhere(begun, made_up.memory_bound)
    outcome = carry_out(begun, recorder)
    assert outcome.verdicts["bind:0"].kind == "not-delivered"
    assert "40%" in outcome.verdicts["bind:0"].reason
    assert outcome.verdicts["cpu:0 mem:1"].kind == "not-delivered", "neither is what is judged against it"
    assert outcome.best == "bind:1"


def test_a_policy_that_is_refused_half_way_down_the_ladder_leaves() -> None:
    begun = made_up.study(own=True)

    class Refused(made_up.Simulated):
        def _trial(self, number: int, candidate: Candidate) -> Trial:
            trial = super()._trial(number, candidate)
            note = "memory policy interleave:0,1 refused (set_mempolicy answered EPERM): memory is NOT placed"
            return msgspec.structs.replace(trial, notes=(note,)) if candidate.name == "interleave" else trial

    recorder = Refused(begun, made_up.memory_bound)
    outcome = carry_out(begun, recorder)
    assert outcome.failed["interleave"].startswith("not permitted: memory policy interleave")
    assert sum(trial.candidate == "interleave" for trial in recorder.trials) == 1, (
        "tried once, not in every block"
    )


def test_a_rate_to_maximize_is_judged_the_right_way_round() -> None:
    _, _, outcome = made_up.carried_out(made_up.study(own=True, metric="rate: (.*)", maximize=True))
    assert outcome.verdicts["bind:0"].kind == "better"
    assert outcome.verdicts["bind:0"].ratio < 1


def test_one_node_ends_without_a_placement_to_recommend() -> None:
    begun, _, outcome = made_up.carried_out(made_up.study(one_node()))
    assert outcome.best == outcome.winner == begun.default
    assert outcome.verdict.pairs == 0
    assert outcome.verdicts["per-expert, default"].kind == "better"


class TestResults:
    def test_blocks_are_cut_where_they_were(self) -> None:
        begun, trials, outcome = made_up.carried_out(made_up.study())
        blocks = blocks_of(trials)
        assert sum(map(len, blocks)) == len(trials)
        assert set(blocks[0]) == {candidate.name for candidate in begun.candidates}
        for name, verdict in outcome.verdicts.items():
            against = next(c.against for c in begun.candidates if c.name == name)
            pairs = [block for block in blocks[1:] if name in block and against in block]
            assert len(pairs) >= verdict.pairs
            ratios = [
                math.log(block[against].value or 0) - math.log(block[name].value or 0)
                for block in pairs[: verdict.pairs]
            ]
            seen = estimate(ratios, outcome.alpha_per_arm or 0)
            assert math.exp(-seen.mean) == pytest.approx(verdict.ratio)

    def test_of_an_unfinished_run_the_intervals_so_far_are_known_and_nothing_is_decided(self) -> None:
        begun, trials, _ = made_up.carried_out(made_up.study(own=True))
        so_far = verdicts_so_far(begun, trials[:33])
        assert {verdict.kind for verdict in so_far.values()} == {"inconclusive"}
        assert verdicts_so_far(begun, ()) == {}
        assert [arm.runs for arm in arms(begun, (), None)] == [0] * 5

    def test_figures_are_medians_without_the_warm_up(self) -> None:
        begun, trials, outcome = made_up.carried_out(made_up.study())
        spoilt = tuple(msgspec.structs.replace(t, value=99.0) if t.number == 0 else t for t in trials)
        default = arms(begun, spoilt, outcome)[0]
        assert default.value is not None and default.value < 0.03
        assert default.figures["read_gb_per_s"] == 9.0


def test_all_of_it_survives_being_stored() -> None:
    begun, trials, outcome = made_up.carried_out(made_up.study())
    assert from_json(to_json(begun), Study, source="it") == begun
    assert from_json(to_json(outcome), Outcome, source="it") == outcome
    assert from_json(to_json(trials[3]), Trial, source="it") == trials[3]
