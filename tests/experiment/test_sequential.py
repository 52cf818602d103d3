"""The interval and the winsorising in front of it."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numawise.experiment.sequential import (
    estimate,
    first_look,
    interval_factor,
    kind_of,
    verdict_of,
    winsorise,
)

finite = st.floats(-5, 5)


def test_the_factor_is_the_published_formula() -> None:
    n, alpha = 12, 0.05
    k = 1 + n
    r = (math.sqrt(k) / alpha) ** (2 / n)
    u = (r - 1) / (1 - r / k)
    assert interval_factor(n, alpha) == pytest.approx(math.sqrt((n - 1) * u) / math.sqrt(n))


def test_the_factor_inverts_the_bayes_factor() -> None:
    # At the edge of the interval the evidence against 0 is exactly 1/alpha.
    n, alpha = 9, 0.05
    t_squared = interval_factor(n, alpha) ** 2 * n
    k = 1 + n
    evidence = k**-0.5 * ((1 + t_squared / (n - 1)) / (1 + t_squared / (n - 1) / k)) ** (n / 2)
    assert evidence == pytest.approx(1 / alpha)


def test_the_interval_narrows_with_pairs_and_widens_with_certainty() -> None:
    factors = [interval_factor(n, 0.05) for n in range(6, 200)]
    assert factors == sorted(factors, reverse=True)
    assert interval_factor(10, 0.01) > interval_factor(10, 0.05)


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-9, 5e-324])
def test_the_first_look_has_a_finite_interval(alpha: float) -> None:
    count = first_look(alpha)
    assert count >= 6
    assert math.isfinite(interval_factor(count, alpha))


def test_an_outlier_is_pulled_in() -> None:
    quiet = [0.01 * x for x in (-2, -1, 0, 1, 2, -1, 1, 0)]
    assert max(winsorise([*quiet, 50.0])) < 0.1


@given(st.lists(finite, max_size=40))
def test_winsorising_keeps_count_order_and_median(values: list[float]) -> None:
    pulled = winsorise(values)
    assert len(pulled) == len(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    assert all(pulled[a] <= pulled[b] for a, b in itertools.pairwise(order))
    if values:
        assert statistics.median(pulled) == statistics.median(values)


@pytest.mark.parametrize("inside", [5, 7])
def test_a_coarse_clock_keeps_its_variation(inside: int) -> None:
    # Most pairs look exactly equal: MAD is 0, yet the rest is what the data say about noise.
    values = [0.0] * inside + [0.02, -0.02, 0.02]
    assert winsorise(values) == values
    assert estimate(values, 0.05).half_width > 0.005


def test_a_second_mode_is_not_an_outlier() -> None:
    values = [0.0001 * x for x in range(-3, 3)] + [0.3, 0.3, -0.3]
    assert winsorise(values) == values


def test_differences_within_rounding_are_none() -> None:
    assert kind_of(estimate([1e-13] * 8, 0.05), 0.02) == "equivalent"


def test_a_sure_small_effect_is_better_before_it_is_equivalent() -> None:
    rng = random.Random(1)
    seen = estimate([0.01 + rng.gauss(0, 0.001) for _ in range(20)], 0.05)
    assert kind_of(seen, 0.02) == "better"


@pytest.mark.parametrize("mean", [-2000.0, 0.0, 2000.0])
def test_a_verdict_is_always_finite(mean: float) -> None:
    verdict = verdict_of(estimate([mean] * 3, 0.05), "inconclusive", "")
    assert all(math.isfinite(x) and x > 0 for x in (verdict.ratio, verdict.low, verdict.high))
