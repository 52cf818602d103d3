"""Several processes as one weigh by their memory, and the interval of the whole covers the truth."""

from __future__ import annotations

import random

import pytest

from numawise.observe import Residency, merge
from numawise.observe.interval import effective_size
from numawise.observe.process import shares


def sampled(pid: int, kib: int, nodes: list[int]) -> Residency:
    """A process of `kib` whose sampled pages were on `nodes`."""
    every = shares(nodes, kib // 4)
    return Residency(
        pid=pid,
        rss_kib=kib,
        residency=every.nodes,
        sampled_pages=every.pages,
        unmapped_pages=1,
        anonymous=every.nodes,
        anonymous_kib=kib,
        anonymous_pages=every.pages,
        effective_pages=every.effective_pages,
        anonymous_effective_pages=every.effective_pages,
    )


def test_a_large_process_weighs_more_than_a_small_one() -> None:
    whole = merge([sampled(1, 3_000_000, [0] * 100), sampled(2, 1_000_000, [1] * 100)])
    assert whole.residency[0].share == pytest.approx(0.75)
    assert whole.residency[1].share == pytest.approx(0.25)
    assert whole.anonymous == whole.residency
    assert (whole.pid, whole.rss_kib, whole.sampled_pages, whole.unmapped_pages) == (1, 4_000_000, 200, 2)


def test_one_process_merges_to_itself() -> None:
    one = sampled(1, 400, [0, 1])
    assert merge([one]) == one


def test_processes_seen_whole_give_an_exact_share() -> None:
    whole = merge([sampled(1, 40, [0] * 10), sampled(2, 120, [1] * 30)])
    assert whole.effective_pages is None
    assert (whole.residency[1].low, whole.residency[1].high) == (0.75, 0.75)


def test_a_process_in_which_nothing_was_seen_says_nothing() -> None:
    whole = merge([sampled(1, 4000, [0] * 10), sampled(2, 999_999, [])])
    assert whole.residency[0].share == 1
    assert whole.effective_pages == pytest.approx(effective_size(10, 1000))
    nothing = merge([sampled(1, 0, []), sampled(2, 0, [])])
    assert (nothing.residency, nothing.effective_pages) == ({}, 0.0)
    assert nothing.on([0]).high == 1


@pytest.mark.parametrize("truths", [(0.5, 0.5, 0.5), (0.9, 0.2, 1.0), (0.99, 0.98, 1.0), (0.0, 0.0, 0.0)])
def test_the_interval_of_the_whole_covers_the_true_share(truths: tuple[float, ...]) -> None:
    chance, weights, looks, rounds, covered = random.Random(1), (5_000_000, 2_000_000, 1_000_000), 200, 400, 0
    truth = sum(w * t for w, t in zip(weights, truths, strict=True)) / sum(weights)
    for _ in range(rounds):
        parts = [
            sampled(pid, weight, [1 if chance.random() < share else 0 for _ in range(looks)])
            for pid, (weight, share) in enumerate(zip(weights, truths, strict=True))
        ]
        seen = merge(parts).on([1])
        covered += seen.low <= truth <= seen.high
    assert covered / rounds >= 0.93
