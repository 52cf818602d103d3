"""Idle time of CPUs: read from real text, and from this kernel."""

from __future__ import annotations

import os
import time

import pytest

from numawise.linux.cpuset import CPUSet
from numawise.linux.idle import idle_seconds, parse_idle

STAT = """cpu  2255 34 2290 22625563 6290 127 456 0 0 0
cpu0 1132 34 1441 11311718 3675 127 438 0 0 0
cpu1 1123 0 849 11313845 2614 0 18 0 0 0
intr 114930548 113199788 3
"""


@pytest.mark.parametrize(
    ("cpus", "ticks"),
    [([0], 11311718 + 3675), ([1], 11313845 + 2614), ([0, 1], 22625563 + 6289), ([0, 7], 11315393)],
)
def test_only_these_cpus_count(cpus: list[int], ticks: int):
    assert parse_idle(STAT, CPUSet(cpus), 100) == ticks / 100


@pytest.mark.parametrize("text", ["", "cpu  1 2 3 4 5\n", "cpu0 1 2 3\n", "cpu0 a b c d e\n", "\0\n\n"])
def test_text_that_does_not_say_gives_nothing(text: str):
    assert parse_idle(text, CPUSet([0]), 100) is None


def test_idle_time_of_this_machine_never_exceeds_time():
    cpus = CPUSet(os.sched_getaffinity(0))
    before, began = idle_seconds(cpus), time.monotonic()
    time.sleep(0.3)
    after, took = idle_seconds(cpus), time.monotonic() - began
    assert before is not None and after is not None
    assert -0.05 <= after - before <= len(cpus) * (took + 0.1)
