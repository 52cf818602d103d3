"""Are the error bars honest? Real trials on this machine against what was expected before them.

    python benchmarks/predict_trials.py [--rounds 5] [--forms NAME ...] [--json]

Runs the built-in workload in a few forms: a short run of the default shows what it does, the model says what each
candidate of tune should take, and then every candidate is tried as in the blocks of tune: all of them once in random
order, again and again. The best of each counts, since what other programs do meanwhile mostly delays; where the system
permits it all run at real-time priority. Uses what `numawise measure` kept of this machine, or priors.

A bar covers when the measured ratio lies in it. That ratio has an error of its own (`+-`), so coverage is given for
bars alone and for bars with that error added.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys

import msgspec
from precedence import precedence

from numawise.experiment.metric import Metric
from numawise.experiment.predict import expectations
from numawise.experiment.predict.profile import known_machine, profile
from numawise.experiment.space import Space, enumerate_candidates
from numawise.experiment.trial import Conditions, run_trial
from numawise.machine import read

FORMS = {
    "einsum": (),
    "einsum, 1 token": ("--tokens", "1", "--scale", "0.6"),
    "optimized, non-contiguous": ("--method", "optimized", "--layout", "non-contiguous"),
    "chosen experts": ("--method", "chosen"),
}
"""Of the built-in workload. One token is bound by memory, the others by computing; only BLAS uses threads."""


class Bar(msgspec.Struct, frozen=True):
    """One candidate: what was expected of it, and what was measured."""

    form: str
    candidate: str
    expected: float
    low: float
    high: float
    sigma: float
    measured: float
    """Best over best: what other programs do here only ever delays."""
    error: float
    """Of its log: how far the second best of each is from the best."""

    @property
    def covers(self) -> bool:
        """The measured ratio lies in the bar."""
        return self.low <= self.measured <= self.high

    @property
    def covers_with_error(self) -> bool:
        """It lies in the bar widened by its own error."""
        return abs(math.log(self.measured / self.expected)) <= 1.96 * math.hypot(self.sigma, self.error)


def bars(form: str, options: tuple[str, ...], rounds: int) -> list[Bar]:
    """Expected and measured ratios of all candidates of one form."""
    command = (
        *(sys.executable, "-m", "numawise.workloads.moe_einsum", "--no-limit", *options),
        *("--threads", "{threads}", "--workers", "{workers}"),
    )
    topology = read("/")
    conditions = Conditions(command, Metric("json:seconds"), topology)
    candidates = enumerate_candidates(topology, command, Space())
    machine = known_machine(topology)
    default, *others = candidates
    work = profile(default, conditions, machine)
    found = expectations(work, machine, default.plan, [candidate.plan for candidate in others])
    logs: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    rng = random.Random(1)
    for _ in range(rounds + 1):  # the first warms up
        for candidate in rng.sample(candidates, len(candidates)):
            trial = run_trial(0, candidate, "race", conditions)
            logs[candidate.name].append(math.log(trial.value) if trial.value else math.inf)
    result = []
    for candidate, predicted in zip(others, found, strict=True):
        own, base = sorted(logs[candidate.name][1:]), sorted(logs[default.name][1:])
        result.append(
            Bar(
                form=form,
                candidate=candidate.name,
                expected=predicted.ratio,
                low=predicted.low,
                high=predicted.high,
                sigma=predicted.sigma,
                measured=math.exp(own[0] - base[0]),
                error=math.hypot(own[1] - own[0], base[1] - base[0]),
            )
        )
    return result


def main() -> None:
    """Print each bar, their coverage and their width."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="trials of each candidate, 2 or more")
    parser.add_argument("--forms", nargs="*", choices=FORMS, default=list(FORMS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    how = precedence()
    found: list[Bar] = []
    for form in options.forms:
        fresh = bars(form, FORMS[form], options.rounds)
        found += fresh
        for bar in () if options.json else fresh:
            print(
                f"{bar.form:26} {bar.candidate:16} {bar.expected:5.2f} [{bar.low:4.2f}-{bar.high:4.2f}]  "
                f"measured {bar.measured:5.2f} +- {bar.error:.0%} {'' if bar.covers else 'MISSED'}",
                flush=True,
            )
    alone = sum(bar.covers for bar in found) / len(found)
    with_error = sum(bar.covers_with_error for bar in found) / len(found)
    width = statistics.median(math.sqrt(bar.high / bar.low) for bar in found)
    if options.json:
        summary = {"coverage": alone, "coverage_with_error": with_error, "median_factor": width}
        print(json.dumps({"bars": [msgspec.structs.asdict(bar) for bar in found], **summary}, indent=1))
        return
    print(how)
    print(
        f"95 % bars cover {alone:.0%} of {len(found)}, with the error of measuring {with_error:.0%}; "
        f"half of them lie within a factor of {width:.2f} either way"
    )


if __name__ == "__main__":
    main()
