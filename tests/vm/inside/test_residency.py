"""Sampled residency against processes whose split is known from numa_maps."""

from __future__ import annotations

import math
import time

import pytest
from programs import numa_maps
from vm.inside.tools import holding

import numawise.observe as observe

LOOKS = 100
# An interval of 95% that in truth covers 93% misses more often than this in one of a thousand series.
MOST_MISSES = 7 + math.ceil(3.1 * math.sqrt(LOOKS * 0.07 * 0.93))


def missed(pid: int, truth: dict[int, float], **range_: int) -> int:
    """How many of so many looks have an interval that leaves out the true share of node 0."""
    misses = 0
    for seed in range(LOOKS):
        seen = observe.residency(pid=pid, pages=300, seed=seed, **range_).residency
        share = seen.get(0)
        low, high = (share.low, share.high) if share else (0.0, 4 / 300)
        misses += not low - 1e-9 <= truth.get(0, 0.0) <= high + 1e-9
    return misses


@pytest.mark.parametrize(
    "words",
    [
        ["--split", "0=90,1=10"],
        ["--split", "0=50,1=50"],
        ["--split", "0=2,1=98"],
        ["--interleave", "0,1"],
        ["--interleave", "0,1,2"],
        ["--split", "0=60,1=40", "--huge"],
        ["--split", "0=30,2=70", "--shared"],
    ],
    ids=" ".join,
)
def test_the_interval_covers_the_truth(words: list[str]):
    with holding("100", *words) as (pid, address, length):
        # Of the memory itself, then of the whole process with its libraries and stack.
        held = numa_maps.shares(pid, within=range(address, address + length))
        assert missed(pid, held, address=address, length=length) <= MOST_MISSES
        whole = numa_maps.shares(pid)
        assert missed(pid, whole) <= MOST_MISSES


def test_huge_pages_are_really_there():
    with holding("100", "--split", "0=60,1=40", "--huge") as (pid, _, _):
        with open(f"/proc/{pid}/smaps_rollup") as lines:
            huge = next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))
        assert huge > 50 << 10


def test_looking_does_not_touch_pages():
    with holding("20") as (pid, _, _):
        before = numa_maps.kib_by_node(pid)
        for _ in range(5):
            observe.residency(pid=pid)
        assert numa_maps.kib_by_node(pid) == before


def test_a_process_that_ends_meanwhile_is_named():
    with holding("20") as (pid, _, _):
        pass
    time.sleep(0.2)
    with pytest.raises(observe.ProcessGone, match=str(pid)):
        observe.residency(pid=pid)
