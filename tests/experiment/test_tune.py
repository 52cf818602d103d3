"""`tune`: what it finds on simulated surfaces, that it claims nothing false, keeps its budget, and can go on."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

import numawise as nw
from numawise.errors import UsageError
from numawise.experiment.compare import Ask
from numawise.experiment.halving import noise, scores, survivors
from numawise.experiment.records import Expectation
from numawise.experiment.tune import TuneResult, least_budget, tune


def _simulator() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "surfaces.py"
    spec = importlib.util.spec_from_file_location("surfaces", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("surfaces", module)
    spec.loader.exec_module(module)
    return module


sim = _simulator()
DRIFTS = ("none", "linear", "walk", "wave")


def _search(times: Sequence[float], default: int, budget: int, seed: int) -> TuneResult:
    machine = sim.SimulatedMachine(seed, noise=0.03, drift=DRIFTS[seed % len(DRIFTS)])
    result = tune(
        range(len(times)), lambda i: machine.time(times[i]), default=default, budget=budget, seed=seed
    )
    assert result.trials == machine.runs <= budget
    return result


@pytest.mark.parametrize(
    ("which", "budget", "wanted"),
    [("any", 110, 0.84), ("any", 180, 0.92), ("slow", 110, 0.90), ("slow", 180, 0.95)],
)
def test_what_it_finds_is_within_2_percent_of_the_best(which: str, budget: int, wanted: float) -> None:
    good = 0
    for seed in range(400):
        rng = random.Random(seed)
        times = sim.surface(rng)
        result = _search(times, sim.choose_default(times, which, rng), budget, seed)
        good += times[result.best_index] <= 1.02
    assert good / 400 >= wanted


@pytest.mark.parametrize("budget", [60, 110, 180])
def test_nothing_is_called_better_where_all_are_equal(budget: int) -> None:
    claims = sum(_search([1.0] * 48, seed % 48, budget, seed).verdict.kind == "better" for seed in range(400))
    assert claims / 400 <= 0.05


def test_several_finalists_do_not_make_false_claims() -> None:
    # The default equals the best and the rest is slower, so that it is the challengers' luck that is tested.
    times = [1.0] * 6 + [1.3] * 10
    claims = sum(_search(times, seed % 6, 120, seed).verdict.kind == "better" for seed in range(400))
    assert claims / 400 <= 0.05


def test_the_default_stays_unless_another_is_shown_better() -> None:
    for seed in range(60):
        result = _search([1.0, 1.01, 0.99, 1.0, 1.02], 0, 40, seed)
        assert (result.best_index == result.winner_index) == (result.verdict.kind == "better")
        assert result.verdict.kind == "better" or result.best_index == 0
        assert result.winner_index != 0


def test_the_final_comparison_uses_no_run_of_the_race() -> None:
    asked: list[Ask] = []
    times = {"d": 1.3, "a": 1.0, "b": 1.01, "c": 1.6}
    rng = random.Random(1)
    result = tune(
        list(times), lambda c: times[c] * rng.gauss(1, 0.02), default="d", budget=80, before=asked.append
    )
    final = [ask for ask in asked if ask.phase == "final"]
    assert asked == [ask for ask in asked if ask.phase == "race"] + final
    assert result.best in ("a", "b")
    assert result.verdict.pairs <= sum(ask.index == 0 for ask in final)


def test_what_is_announced_is_what_happens() -> None:
    rng = random.Random(8)
    for seed in range(20):
        asked: list[Ask] = []
        result = tune(
            range(12),
            lambda i: (1 + i / 20) * rng.gauss(1, 0.03),
            default=5,
            budget=70,
            seed=seed,
            before=asked.append,
        )
        assert [ask.number for ask in asked] == list(range(result.trials))
        assert all(result.trials <= ask.number + ask.at_most == 70 for ask in asked)
        in_race = [ask for ask in asked if ask.phase == "race"]
        assert all(ask.number + ask.at_least <= result.trials for ask in in_race)


def test_every_block_of_the_race_has_the_default_and_nobody_twice() -> None:
    asked: list[Ask] = []
    rng = random.Random(4)
    tune(range(20), lambda i: (1 + i / 30) * rng.gauss(1, 0.03), default=19, budget=90, before=asked.append)
    blocks: dict[int, list[int]] = {}
    for ask in asked:
        if ask.phase == "race":
            blocks.setdefault(ask.step, []).append(ask.index)
    assert sorted(blocks[1]) == list(range(20))
    assert all(19 in block and len(block) == len(set(block)) for block in blocks.values())
    assert len(blocks) >= 2


@pytest.mark.parametrize("cut", [1, 30, 61, 75])
def test_a_search_resumed_with_recorded_values_is_the_same_search(cut: int) -> None:
    def search(answers: list[float], order: list[int]) -> TuneResult:
        machine_values = random.Random(77)
        fresh = [(1 + i / 40) for i in range(30)]
        position = 0

        def run(index: int) -> float:
            nonlocal position
            value = fresh[index] * machine_values.gauss(1, 0.03)
            if position < len(answers):
                value = answers[position]
            else:
                answers.append(value)
            position += 1
            order.append(index)
            return value

        return tune(range(30), run, default=20, budget=90, seed=3)

    recorded: list[float] = []
    first_order: list[int] = []
    whole = search(recorded, first_order)
    second_order: list[int] = []
    assert search(recorded[:cut], second_order) == whole
    assert second_order == first_order


def test_only_the_default() -> None:
    result = tune(["as it is"], lambda _: pytest.fail("nothing to run"), default="as it is", budget=1)
    assert (result.best, result.trials, result.verdict.kind) == ("as it is", 0, "equivalent")


def test_two_candidates_are_just_compared() -> None:
    result = tune([1.0, 0.7], lambda c: c, default=1.0, budget=14)
    assert (result.best, result.verdict.kind, result.trials) == (0.7, "better", 14)


@pytest.mark.parametrize("count", [3, 4, 7, 48])
def test_the_smallest_budget_is_enough_and_one_less_is_refused(count: int) -> None:
    times = [1.0] + [1.5 + i / 100 for i in range(count - 1)]
    least = least_budget(count)
    assert least == count + 12
    result = tune(range(count), times.__getitem__, default=count - 1, budget=least)
    assert (result.best_index, result.trials <= least) == (0, True)
    with pytest.raises(nw.UsageError, match=f"at least {least}"):
        tune(range(count), times.__getitem__, default=0, budget=least - 1)


@pytest.mark.parametrize("budget", [15, 16, 17, 23, 40, 41, 99, 400])
def test_the_budget_is_never_exceeded(budget: int) -> None:
    rng = random.Random(budget)
    calls: list[float] = []

    def run(candidate: float) -> float:
        calls.append(candidate)
        return candidate * rng.gauss(1, 0.05)

    for seed in range(20):
        calls.clear()
        result = tune([1.0, 1.02, 0.98], run, default=1.0, budget=budget, seed=seed)
        assert len(calls) == result.trials <= budget


def test_ties_do_not_use_up_a_great_budget() -> None:
    rng = random.Random(0)
    result = tune(range(4), lambda _: rng.gauss(1, 0.005), default=0, budget=5000)
    assert result.best_index == 0
    assert result.trials < 500


@pytest.mark.parametrize("default", [0, 3])
def test_a_candidate_that_fails_leaves_the_race(default: int) -> None:
    seen = []

    def run(index: int) -> float:
        seen.append(index)
        if index in (1, 2):
            raise nw.TrialFailed(f"no memory on node {index}")
        return 1.0 + index / 10

    result = tune(range(5), run, default=default, budget=60)
    assert result.failed == {1: "no memory on node 1", 2: "no memory on node 2"}
    assert seen.count(1) == seen.count(2) == 1
    assert result.trials == len(seen)
    assert result.best_index == 0


def test_a_winner_that_fails_in_the_final_gives_way_to_the_next() -> None:
    asked: list[Ask] = []

    def run(index: int) -> float:
        if index == 1 and asked[-1].phase == "final":
            raise nw.TrialFailed("killed")
        return (2.0, 1.0, 1.2)[index]

    result = tune(range(3), run, default=0, budget=80, before=asked.append)
    assert (result.best_index, result.verdict.kind, result.failed) == (2, "better", {1: "killed"})


def test_nobody_left_to_meet_the_default() -> None:
    def run(index: int) -> float:
        if index:
            raise nw.TrialFailed("broken")
        return 1.0

    result = tune(range(4), run, default=0, budget=40)
    assert (result.best_index, result.verdict.kind, result.verdict.pairs) == (0, "equivalent", 0)
    assert "failed" in result.verdict.reason


def test_a_default_that_fails_ends_the_search() -> None:
    def run(index: int) -> float:
        if index == 2:
            raise nw.TrialFailed("exit code 1")
        return 1.0

    with pytest.raises(nw.NumawiseError, match=r"default failed.*exit code 1"):
        tune(range(4), run, default=2, budget=40)


def test_candidates_may_be_anything() -> None:
    unhashable = [{"cpus": [0]}, {"cpus": [1]}, {"cpus": [0, 1]}]
    result = tune(unhashable, lambda c: 2.0 / len(c["cpus"]), default={"cpus": [0]}, budget=40)
    assert result.best is unhashable[2]


def test_candidates_without_a_plain_equality_are_told_apart_by_identity() -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.ones(3), numpy.ones(3) * 2]
    result = tune(arrays, lambda a: float(a.sum()), default=arrays[1], budget=20)
    assert result.best is arrays[0]


@pytest.mark.parametrize("candidates", [[], ["a", "b"]])
def test_a_default_that_is_no_candidate_is_refused(candidates: list[str]) -> None:
    with pytest.raises(nw.UsageError, match="not among"):
        tune(candidates, lambda _: 1.0, default="c", budget=50)


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), float("inf"), "fast", None])
def test_a_value_that_is_no_time_is_refused(bad: object) -> None:
    with pytest.raises(nw.UsageError, match="positive, finite"):
        tune(range(3), lambda _: bad, default=0, budget=40)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("budget", [0, -3, 12.5, True, None])
def test_a_budget_that_is_no_count_is_refused(budget: object) -> None:
    with pytest.raises(nw.UsageError, match="budget"):
        tune(range(3), lambda _: 1.0, default=0, budget=budget)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopIteration, ZeroDivisionError])
def test_what_a_run_raises_comes_through(error: type[BaseException]) -> None:
    def run(_: int) -> float:
        raise error

    with pytest.raises(error):
        tune(range(3), run, default=0, budget=40)


def test_the_noise_is_seen_under_spikes_and_drift() -> None:
    rng = random.Random(6)
    blocks = [
        {i: drift + i / 10 + rng.gauss(0, 0.01) + (rng.random() < 0.05) for i in range(30)}
        for drift in (0.0, 0.3, -0.2, 0.1)
    ]
    assert noise(blocks) == pytest.approx(0.01, rel=0.35)


def test_a_score_ignores_the_level_of_a_block_and_a_single_spike() -> None:
    blocks = [{0: 0.0, 1: 0.1, 2: 0.2}, {0: 5.0, 1: 5.1, 2: 5.2}, {0: 1.9, 1: 1.1, 2: 1.2}]
    score = scores(blocks, [0, 1, 2], 0.01)
    assert sorted(score, key=score.__getitem__) == [0, 1, 2]


def test_those_clearly_behind_leave_and_near_ties_stay() -> None:
    score = {0: 0.0, 1: 0.001, 2: 0.5}
    assert survivors([0, 1, 2], score, 5, 0.01, first_keep=9) == [0, 1]


def _expected(kind: str, times: Sequence[float], default: int, seed: int) -> list[Expectation] | None:
    """Predictions of a surface: off by 10 %, or plain wrong in one of several ways."""
    rng = random.Random(seed + 7_777_777)
    logs = [math.log(time / times[default]) for time in times]
    if kind == "none":
        return None
    if kind == "off by 10 %":
        return [Expectation(math.exp(value + rng.gauss(0, 0.1)), 0.1) for value in logs]
    if kind == "permuted":
        rng.shuffle(logs)
    wrong = {"permuted": logs, "inverted": [-value for value in logs], "constant": [0.0] * len(logs)}
    if kind == "overconfident":
        return [Expectation(math.exp(value + rng.gauss(0, 0.3)), 0.01) for value in logs]
    return [Expectation(math.exp(value), 0.1) for value in wrong[kind]]


def _good(kind: str, budget: int, surfaces: int = 400) -> float:
    """Share of searches that end within 2 % of the best."""
    good = 0
    for seed in range(surfaces):
        rng = random.Random(seed)
        times = sim.surface(rng)
        default = sim.choose_default(times, "any", rng)
        machine = sim.SimulatedMachine(seed, noise=0.03, drift=DRIFTS[seed % len(DRIFTS)])
        result = tune(
            range(len(times)),
            lambda i, times=times, machine=machine: machine.time(times[i]),
            default=default,
            budget=budget,
            seed=seed,
            expected=_expected(kind, times, default, seed),
        )
        assert result.trials == machine.runs <= budget
        good += times[result.best_index] <= 1.02
    return good / surfaces


def test_a_prediction_off_by_10_percent_is_worth_nearly_30_percent_of_the_runs() -> None:
    # Over 1 000 surfaces it falls short by 2 points (docs/benchmarks.md), and any 400 leave 2.5 points of chance.
    assert _good("off by 10 %", 77) >= _good("none", 110) - 0.04
    assert _good("off by 10 %", 77) >= _good("none", 77) + 0.05


@pytest.mark.parametrize("kind", ["permuted", "inverted", "constant", "overconfident"])
def test_a_wrong_prediction_does_no_harm(kind: str) -> None:
    assert _good(kind, 110) >= _good("none", 110) - 0.03


def test_a_right_prediction_leaves_hopeless_candidates_untried_but_never_those_to_keep() -> None:
    times = [1 + i / 20 for i in range(40)]
    expected = [Expectation(time / times[5], 0.05) for time in times]
    run: list[int] = []

    def measure(index: int) -> float:
        run.append(index)
        return times[index]

    result = tune(range(40), measure, default=5, budget=90, expected=expected, keep=[39])
    assert result.best_index == 0 and result.trials < 90
    assert len(result.not_tried) >= 10
    assert not set(run) & set(result.not_tried)
    assert {5, 39} <= set(run) and set(run) | set(result.not_tried) == set(range(40))


def test_candidates_dropped_in_error_come_back() -> None:
    # The best is called the worst; whatever is seen of the others says the prediction is wrong.
    times = [1 + i / 20 for i in range(40)]
    expected = [Expectation(1 / time, 0.02) for time in times]
    result = tune(range(40), times.__getitem__, default=20, budget=90, expected=expected)
    assert result.best_index == 0 and result.not_tried == ()


@pytest.mark.parametrize("cut", [1, 20, 41])
def test_a_search_with_predictions_resumes_as_the_same_search(cut: int) -> None:
    times = [1 + i / 40 for i in range(30)]
    rng = random.Random(5)
    expected = [Expectation(time * math.exp(rng.gauss(0, 0.1)), 0.1) for time in times]

    def search(answers: list[float]) -> TuneResult:
        noise_of = random.Random(9)
        place = iter(range(10_000))

        def run(index: int) -> float:
            position, value = next(place), times[index] * noise_of.gauss(1, 0.03)
            if position < len(answers):
                return answers[position]
            answers.append(value)
            return value

        return tune(range(30), run, default=20, budget=60, seed=3, expected=expected)

    recorded: list[float] = []
    whole = search(recorded)
    assert search(recorded[:cut]) == whole


def test_nothing_is_claimed_of_equals_whatever_is_expected() -> None:
    claims = 0
    for seed in range(300):
        rng = random.Random(seed)
        expected = [Expectation(math.exp(rng.gauss(0, 0.3)), 0.05) for _ in range(48)]
        machine = sim.SimulatedMachine(seed, noise=0.03, drift=DRIFTS[seed % len(DRIFTS)])
        result = tune(
            range(48),
            lambda _, machine=machine: machine.time(1.0),
            default=0,
            budget=90,
            seed=seed,
            expected=expected,
        )
        claims += result.verdict.kind == "better"
    assert claims / 300 <= 0.05


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ([Expectation(1.0, 0.1)], "1 expectations for 3 candidates"),
        ([None, Expectation(0.0, 0.1), None], "above 0"),
        ([None, Expectation(math.nan, 0.1), None], "finite"),
        ([None, Expectation(1.0, -1.0), None], "not below"),
    ],
)
def test_predictions_that_cannot_be_are_refused(expected: list[Expectation | None], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        tune("abc", lambda _: 1.0, default="a", budget=40, expected=expected)
