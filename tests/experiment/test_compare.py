"""`compare`: its promises on simulated timings, its order of runs, and what it refuses."""

from __future__ import annotations

import importlib.util
import itertools
import math
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

import numawise as nw
from numawise.experiment.compare import Ask, Pair, compare


def _simulator() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "surfaces.py"
    spec = importlib.util.spec_from_file_location("surfaces", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("surfaces", module)
    spec.loader.exec_module(module)
    return module


sim = _simulator()


def _series(time_b: float, count: int, **machine_options: object) -> list[nw.Verdict]:
    found = []
    for seed in range(count):
        machine = sim.SimulatedMachine(seed, **machine_options)
        found.append(
            compare(lambda m=machine: m.time(1.0), lambda m=machine: m.time(time_b), seed=seed)  # type: ignore[misc]
        )
    return found


def _share(verdicts: list[nw.Verdict], *kinds: str) -> float:
    return sum(verdict.kind in kinds for verdict in verdicts) / len(verdicts)


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_false_alarms_are_at_most_5_percent_of_2000_series(noise: float) -> None:
    assert _share(_series(1.0, 2000, noise=noise, drift="walk"), "better", "worse") <= 0.05


@pytest.mark.parametrize("drift", ["linear", "ar1", "step", "wave"])
def test_no_shape_of_drift_raises_false_alarms(drift: str) -> None:
    assert _share(_series(1.0, 600, noise=0.01, drift=drift), "better", "worse") <= 0.05


@pytest.mark.parametrize("spikes", ["small", "same", "tailed"])
def test_no_kind_of_spike_raises_false_alarms(spikes: str) -> None:
    assert _share(_series(1.0, 600, noise=0.03, spikes=spikes), "better", "worse") <= 0.05


@pytest.mark.parametrize("resolution", [0.01, 0.03])
def test_a_coarse_clock_does_not_raise_false_alarms(resolution: float) -> None:
    verdicts = _series(1.0, 600, noise=0.01, resolution=resolution)
    assert _share(verdicts, "better", "worse") <= 0.05


@pytest.mark.parametrize("drift", ["walk", "linear"])
def test_an_effect_of_3_percent_is_found_at_noise_1_percent(drift: str) -> None:
    verdicts = _series(1.03, 500, noise=0.01, drift=drift)
    assert _share(verdicts, "worse") >= 0.95
    assert all(verdict.pairs <= 30 for verdict in verdicts)


def test_the_interval_covers_the_truth() -> None:
    verdicts = _series(1.1, 500, noise=0.02, drift="walk")
    assert sum(v.low <= 1.1 <= v.high for v in verdicts) / len(verdicts) >= 0.95


def test_ratio_is_b_over_a_and_better_means_b() -> None:
    rng = random.Random(3)
    verdict = compare(lambda: 2.0 * rng.uniform(0.99, 1.01), lambda: 1.0 * rng.uniform(0.99, 1.01))
    assert verdict.kind == "better"
    assert verdict.low < verdict.ratio < verdict.high < 1
    assert verdict.ratio == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(("b", "kind"), [(1.0, "equivalent"), (1.5, "worse"), (0.5, "better")])
def test_times_that_never_vary_are_decided_at_the_first_look(b: float, kind: str) -> None:
    verdict = compare(lambda: 1.0, lambda: b)
    assert (verdict.kind, verdict.pairs) == (kind, 6)
    assert verdict.low == verdict.high == pytest.approx(b)


def test_pairs_that_cannot_decide_end_inconclusive_at_the_cap() -> None:
    rng = random.Random(1)
    verdict = compare(lambda: rng.uniform(1, 9), lambda: rng.uniform(1, 9), max_pairs=7)
    assert (verdict.kind, verdict.pairs) == ("inconclusive", 7)


def test_a_slow_first_pair_does_not_count() -> None:
    times = itertools.chain([900.0, 1.0], itertools.repeat(1.0))
    verdict = compare(lambda: next(times), lambda: next(times))
    assert (verdict.kind, verdict.ratio) == ("equivalent", 1.0)


def test_every_pair_has_both_arms_and_every_two_pairs_mirror_each_other() -> None:
    calls: list[str] = []
    rng = random.Random(0)

    def run(arm: str) -> float:
        calls.append(arm)
        return rng.uniform(1, 3)

    compare(lambda: run("a"), lambda: run("b"), max_pairs=20, seed=5)
    pairs = ["".join(calls[i : i + 2]) for i in range(0, len(calls), 2)]
    assert set(pairs) == {"ab", "ba"}
    counted = pairs[1:]
    assert all(x == y[::-1] for x, y in zip(counted[::2], counted[1::2], strict=False))


def test_the_same_seed_and_values_give_the_same_calls_and_verdict() -> None:
    def once(seed: int) -> tuple[list[int], nw.Verdict]:
        rng, order = random.Random(9), []
        verdict = compare(
            lambda: rng.gauss(10, 1),
            lambda: rng.gauss(10, 1),
            seed=seed,
            before=lambda ask: order.append(ask.index),
        )
        return order, verdict

    assert once(4) == once(4)
    assert once(4)[0] != once(5)[0]


def test_what_is_announced_is_what_happens() -> None:
    asked: list[Ask] = []
    pairs: list[Pair] = []
    rng = random.Random(2)
    verdict = compare(
        lambda: rng.gauss(10, 0.5),
        lambda: rng.gauss(10, 0.5),
        before=asked.append,
        on_pair=pairs.append,
        max_pairs=12,
    )
    assert [ask.number for ask in asked] == list(range(len(asked)))
    assert all(ask.number + ask.at_least <= len(asked) <= ask.number + ask.at_most for ask in asked)
    assert asked[0].at_most == 26
    assert [pair.step for pair in pairs] == list(range(verdict.pairs + 1))
    assert pairs[0].verdict is None
    assert pairs[-1].verdict == verdict


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, "1.0", None, True, [1.0]])
def test_a_value_that_is_no_time_is_refused_and_named(bad: object) -> None:
    with pytest.raises(nw.UsageError, match=r"run_b gave .*positive, finite"):
        compare(lambda: 1.0, lambda: bad)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"delta": -0.1}, "delta"),
        ({"max_pairs": 5}, "at least 6"),
        ({"max_pairs": 6, "alpha": 1e-4}, "at least 9"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(nw.UsageError, match=words):
        compare(lambda: 1.0, lambda: 1.0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("gone"), StopIteration])
def test_what_a_run_raises_comes_through(error: BaseException | type[BaseException]) -> None:
    def run() -> float:
        raise error

    with pytest.raises(type(error) if isinstance(error, BaseException) else error):
        compare(lambda: 1.0, run)


def test_values_of_any_size_are_compared() -> None:
    assert compare(lambda: 1e-300, lambda: 1e300).kind == "worse"
