"""Intervals cover the truth as often as they say, also for small finite populations."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numawise.errors import UsageError
from numawise.observe import wilson
from numawise.observe.interval import effective_size, share_of


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (8, 10, 0.4901625, 0.9433178),  # the textbook example
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (500, 1000, 0.4690696, 0.5309304),
        (0, 0, 0.0, 1.0),
    ],
)
def test_agrees_with_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-7)


def test_1000_pages_are_within_3_points_as_documented() -> None:
    low, high = wilson(500, 1000)
    assert (high - low) / 2 <= 0.031


@pytest.mark.parametrize(
    ("confidence", "z"), [(0.5, 0.67448975), (0.9, 1.64485363), (0.99, 2.57582930), (0.9999, 3.89059189)]
)
def test_any_confidence_has_its_normal_quantile(confidence: float, z: float) -> None:
    # Of a single success in one look, the lower end is 1 / (1 + z^2).
    assert wilson(1, 1, confidence)[0] == pytest.approx(1 / (1 + z * z), rel=1e-7)


@given(st.floats(0, 1), st.floats(0.01, 1e6), st.floats(0.01, 0.999))
def test_always_contains_the_share_seen(share: float, n: float, confidence: float) -> None:
    low, high = wilson(share * n, n, confidence)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


@pytest.mark.parametrize(
    ("successes", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0)]
)
def test_refuses_what_cannot_be(successes: int, n: int, confidence: float) -> None:
    with pytest.raises(UsageError, match="no interval"):
        wilson(successes, n, confidence)


@pytest.mark.parametrize("truth", [0.0, 0.003, 0.02, 0.3, 0.5, 0.98, 1.0])
def test_covers_the_true_share_19_times_in_20(truth: float) -> None:
    chance, covered, rounds = random.Random(7), 0, 1500
    for _ in range(rounds):
        hits = (
            chance.binomialvariate(400, truth)
            if hasattr(chance, "binomialvariate")
            else sum(chance.random() < truth for _ in range(400))
        )
        low, high = wilson(hits, 400)
        covered += low <= truth <= high
    assert covered / rounds >= 0.93


@pytest.mark.parametrize(
    ("population", "looks", "hits"), [(1200, 1000, 360), (1200, 600, 60), (5000, 1000, 2500)]
)
def test_covers_as_well_when_most_of_a_small_population_was_seen(
    population: int, looks: int, hits: int
) -> None:
    chance, covered, width, rounds = random.Random(3), 0, 0.0, 1000
    things = [1] * hits + [0] * (population - hits)
    for _ in range(rounds):
        seen = share_of(sum(chance.sample(things, looks)) / looks, effective_size(looks, population))
        covered += seen.low <= hits / population <= seen.high
        width += (seen.high - seen.low) / rounds
    low, high = wilson(hits * looks / population, looks)
    assert covered / rounds >= 0.93
    assert width < high - low  # and the interval is narrower for it


def test_what_was_seen_whole_has_no_width() -> None:
    seen = share_of(0.25, effective_size(40, 40))
    assert (seen.share, seen.low, seen.high) == (0.25, 0.25, 0.25)
