"""False alarms over a whole family of arms, and power, of `bench` on simulated timings, beside what people do today.

    python benchmarks/bench_simulated.py [--series 400] [--json]

False alarms: share of series with all arms equal in which any arm is called better or worse than the default. Power:
share of series in which the one arm that is truly 5 % slower is found so. 5 % of runs are spikes; each series has its
own drift.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence

from compare_simulated import student_p
from surfaces import SimulatedMachine

from numawise.experiment.bench.blocks import Task, bench_steps

DRIFTS = ("linear", "walk", "ar1", "wave")
RUNS = 10
"""Runs of each arm in the way people do it."""
Method = Callable[[SimulatedMachine, Sequence[float], int], tuple[set[int], int]]
"""(machine, true times, the default first, seed) -> (arms called different from the default, runs used)."""


def numawise(machine: SimulatedMachine, times: Sequence[float], seed: int) -> tuple[set[int], int]:
    """The comparison of `numawise bench`, at most 30 blocks."""
    task = Task(against=(0,) * len(times), alpha=0.05, delta=0.02, budget=1_000_000)
    steps = bench_steps(task, random.Random(seed), float)
    ask = next(steps)
    while True:
        try:
            ask = steps.send(machine.time(times[ask.index]))
        except StopIteration as done:
            verdicts = done.value.verdicts.items()
            return {arm for arm, verdict in verdicts if verdict.kind in ("better", "worse")}, machine.runs


def arm_after_arm(machine: SimulatedMachine, times: Sequence[float], seed: int) -> tuple[set[int], int]:
    """Ten runs of each arm, one arm after the other; each against the default by Welch's t test at 5 %."""
    del seed
    values = [[machine.time(time) for _ in range(RUNS)] for time in times]
    return {arm for arm in range(1, len(times)) if welch_p(values[0], values[arm]) < 0.05}, machine.runs


def arm_after_arm_shared(
    machine: SimulatedMachine, times: Sequence[float], seed: int
) -> tuple[set[int], int]:
    """The same with 5 % shared out over the arms."""
    del seed
    level = 0.05 / (len(times) - 1)
    values = [[machine.time(time) for _ in range(RUNS)] for time in times]
    return {arm for arm in range(1, len(times)) if welch_p(values[0], values[arm]) < level}, machine.runs


METHODS: dict[str, Method] = {
    "numawise bench": numawise,
    "arm after arm, Welch": arm_after_arm,
    "the same, 5 % shared": arm_after_arm_shared,
}


def welch_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of Welch's t test."""
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return student_p(abs(statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(va + vb), freedom)


def shares(
    method: Method, series: int, arms: int, noise: float, drift: str, slow: float
) -> tuple[float, float]:
    """How often what is asked for happened (any alarm, or the slow arm found), and the mean number of runs."""
    happened = runs = 0
    for seed in range(series):
        times = [1.0] * arms
        if slow != 1.0:
            times[1 + seed % (arms - 1)] = slow
        called, used = method(SimulatedMachine(seed, noise=noise, drift=drift), times, seed)
        happened += bool(called) if slow == 1.0 else (1 + seed % (arms - 1)) in called
        runs += used
    return happened / series, runs / series


def main() -> None:
    """Print (or give as JSON) one row for each method, number of arms, noise and drift."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--methods", help=f"of {', '.join(METHODS)}, with commas between; all unless given")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each row")
    options = parser.parse_args()
    keys = ("method", "arms", "what", "noise", "drift", "share", "runs")
    for row in table(options.series, options.methods.split(",") if options.methods else list(METHODS)):
        if options.json:
            print(json.dumps(dict(zip(keys, row, strict=True))), flush=True)
            continue
        name, arms, what, noise, drift, value, runs = row
        print(
            f"{name:22} {arms:2} arms {what:16} noise {noise:.0%} {drift:6} {value:6.1%} {runs:6.0f} runs",
            flush=True,
        )


Row = tuple[str, int, str, float, str, float, float]


def table(series: int, methods: Sequence[str]) -> Iterator[Row]:
    """One row after another, as they are done."""
    for name in methods:
        for arms in (4, 12, 40):
            share, runs = shares(METHODS[name], series, arms, 0.01, "walk", 1.05)
            yield name, arms, "power at 5 %", 0.01, "walk", share, runs
            for noise in (0.01, 0.03):
                for drift in DRIFTS:
                    share, runs = shares(METHODS[name], series, arms, noise, drift, 1.0)
                    yield name, arms, "any false alarm", noise, drift, share, runs


if __name__ == "__main__":
    main()
