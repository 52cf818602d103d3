"""Real A/A comparisons: the same program under the same placement as both arms. How many verdicts are false alarms?

    python benchmarks/compare_aa.py [--comparisons 40]

Every trial is a fresh process started, timed and looked at as `numawise compare` does it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

import numawise as nw
from numawise.experiment.metric import Metric
from numawise.experiment.records import Candidate
from numawise.experiment.trial import Conditions, run_trial

PROGRAM = "sum(i * i for i in range(700_000))"


def main() -> None:
    """Run the comparisons and print the count of each verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--comparisons", type=int, default=40)
    wanted = parser.parse_args().comparisons
    topology = nw.read_topology()
    same = Candidate(name="default", plan=nw.plan(topology, nw.Request()))
    conditions = Conditions((sys.executable, "-S", "-c", PROGRAM), Metric(), topology)

    def run() -> float:
        trial = run_trial(0, same, "pair", conditions)
        assert trial.value is not None, trial.tail
        return trial.value

    kinds: Counter[str] = Counter()
    pairs, began = [], time.monotonic()
    for number in range(wanted):
        verdict = nw.compare(run, run, seed=number)
        kinds[verdict.kind] += 1
        pairs.append(verdict.pairs)
        print(
            f"{number + 1:3} {verdict.kind:13} ratio {verdict.ratio:.4f} "
            f"[{verdict.low:.4f}-{verdict.high:.4f}] {verdict.pairs} pairs",
            flush=True,
        )
    wrong = kinds["better"] + kinds["worse"]
    print(
        f"{wanted} A/A comparisons: {wrong} said better or worse, "
        f"{kinds['equivalent']} equivalent, {kinds['inconclusive']} inconclusive"
    )
    print(f"{sum(pairs)} pairs, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
