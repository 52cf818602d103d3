"""False alarms and power of `compare` on simulated timings, beside what people do today.

    python benchmarks/compare_simulated.py [--series 2000] [--json]

False alarms: share of A/A series (both arms the same program) that end in better or worse. Power: share of series
in which a program truly 3 % slower is found worse. Each series has its own drift and 5 % of runs are spikes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable

from surfaces import DRIFTS, SPIKES, SimulatedMachine

import numawise as nw

Method = Callable[[SimulatedMachine, float, int], tuple[bool, int]]
"""(machine, true time of b, seed) -> (called different, runs used); a takes 1.0."""


def numawise(machine: SimulatedMachine, time_b: float, seed: int) -> tuple[bool, int]:
    """`nw.compare` as it comes."""
    verdict = nw.compare(lambda: machine.time(1.0), lambda: machine.time(time_b), seed=seed)
    return verdict.kind in ("better", "worse"), machine.runs


def all_a_then_all_b(machine: SimulatedMachine, time_b: float, seed: int) -> tuple[bool, int]:
    """Ten runs of a, then ten of b, Welch's t test at 5 %."""
    del seed
    a = [machine.time(1.0) for _ in range(10)]
    b = [machine.time(time_b) for _ in range(10)]
    va, vb = statistics.variance(a) / 10, statistics.variance(b) / 10
    freedom = (va + vb) ** 2 / (va**2 / 9 + vb**2 / 9)
    t = abs(statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(va + vb)
    return student_p(t, freedom) < 0.05, machine.runs


def stop_when_significant(machine: SimulatedMachine, time_b: float, seed: int) -> tuple[bool, int]:
    """A paired t test after every pair from the third, stopping at p < 0.05 or at 30 pairs."""
    del seed
    x: list[float] = []
    while len(x) < 30:
        x.append(math.log(machine.time(1.0) / machine.time(time_b)))
        if len(x) >= 3 and paired_p(x) < 0.05:
            return True, machine.runs
    return False, machine.runs


def ten_pairs(machine: SimulatedMachine, time_b: float, seed: int) -> tuple[bool, int]:
    """Ten pairs, one paired t test at the end."""
    del seed
    x = [math.log(machine.time(1.0) / machine.time(time_b)) for _ in range(10)]
    return paired_p(x) < 0.05, machine.runs


METHODS: dict[str, Method] = {
    "numawise compare": numawise,
    "all A, all B, Welch": all_a_then_all_b,
    "t test until p < 0.05": stop_when_significant,
    "10 fixed pairs": ten_pairs,
}


def paired_p(x: list[float]) -> float:
    """Two-sided p of a one-sample t test against 0."""
    spread = statistics.stdev(x) / math.sqrt(len(x))
    return student_p(abs(statistics.fmean(x)) / spread, len(x) - 1) if spread else 1.0


def student_p(t: float, freedom: float) -> float:
    """Two-sided p of Student's t, by Simpson's rule over the density (four digits are enough here)."""
    log_c = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    steps = 200
    width = min(t, 50.0) / steps
    total = 0.0
    for i in range(steps + 1):
        weight = 1 if i in (0, steps) else 4 if i % 2 else 2
        total += weight * math.exp(log_c - (freedom + 1) / 2 * math.log1p((i * width) ** 2 / freedom))
    return max(0.0, 1 - 2 * total * width / 3)


def share(
    method: Method, series: int, time_b: float, noise: float, drift: str, spikes: str
) -> tuple[float, float]:
    """How often `method` calls the two different, and its mean runs."""
    found = runs = 0
    for seed in range(series):
        machine = SimulatedMachine(seed, noise=noise, drift=drift, spikes=spikes)
        different, used = method(machine, time_b, seed)
        found += different
        runs += used
    return found / series, runs / series


def main() -> None:
    """Print (or give as JSON) one row for each method, noise, drift and kind of spike."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name, method in METHODS.items():
        for noise in (0.01, 0.03):
            cases = [(drift, "wide") for drift in DRIFTS] + [("walk", s) for s in SPIKES if s != "wide"]
            if name != "numawise compare":
                cases = [("linear", "wide"), ("walk", "wide")]
            for drift, spikes in cases:
                alarms, runs = share(method, options.series, 1.0, noise, drift, spikes)
                rows.append((name, "false alarms", noise, drift, spikes, alarms, runs))
        for drift in ("linear", "walk"):
            power, runs = share(method, options.series, 1.03, 0.01, drift, "wide")
            rows.append((name, "power at 3 %", 0.01, drift, "wide", power, runs))
    if options.json:
        keys = ("method", "what", "noise", "drift", "spikes", "share", "runs")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
        return
    for name, what, noise, drift, spikes, value, runs in rows:
        print(f"{name:22} {what:12} noise {noise:.0%} {drift:6} {spikes:6} {value:6.1%} {runs:5.1f} runs")


if __name__ == "__main__":
    main()
