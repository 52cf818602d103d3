"""How good is what `tune` finds? Simulated searches, beside trying all equally often and Optuna's TPE.

    python benchmarks/tune_surfaces.py [--surfaces 400] [--default any|slow|near] [--json]

Each surface has 48 candidates: one best, 15 up to 6 % slower, 32 from 6 to 80 % slower; noise 3 %, drift (a
different kind in turn), 5 % spikes. Regret is how much slower the candidate answered is than the best. All other
methods get as many runs as tune may take; they just name a candidate, tune must also have shown it better than
the default, and names the default otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
from collections.abc import Callable

from surfaces import SimulatedMachine, choose_default, surface

import numawise as nw

DRIFT_KINDS = ("none", "linear", "walk", "wave")
BUDGETS = (110, 180)

Method = Callable[[list[float], int, SimulatedMachine, int, int], int]
"""(true times, default, machine, budget, seed) -> the candidate it would use."""


def numawise(times: list[float], default: int, machine: SimulatedMachine, budget: int, seed: int) -> int:
    """`nw.tune` as it comes, the final comparison included."""
    candidates = list(range(len(times)))
    result = nw.tune(candidates, lambda i: machine.time(times[i]), default=default, budget=budget, seed=seed)
    return result.best_index


def equally_often(middle: Callable[[list[float]], float]) -> Method:
    """Every candidate in turn until the budget is used up; the best mean or median wins."""

    def method(times: list[float], default: int, machine: SimulatedMachine, budget: int, seed: int) -> int:
        del default, seed
        seen: list[list[float]] = [[] for _ in times]
        for index in itertools.islice(itertools.cycle(range(len(times))), budget):
            seen[index].append(machine.time(times[index]))
        return min(range(len(times)), key=lambda index: middle(seen[index]))

    return method


def tpe(times: list[float], default: int, machine: SimulatedMachine, budget: int, seed: int) -> int:
    """Optuna's TPE sampler over one categorical parameter; its best trial wins."""
    import optuna

    del default
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    names = list(range(len(times)))
    study.optimize(
        lambda trial: machine.time(times[trial.suggest_categorical("candidate", names)]), n_trials=budget
    )
    return int(study.best_params["candidate"])


def regrets(method: Method, surfaces: int, which: str, budget: int) -> tuple[list[float], float]:
    """Regret on each surface, and the mean number of runs."""
    found, runs = [], 0
    for seed in range(surfaces):
        rng = random.Random(seed)
        times = surface(rng)
        default = choose_default(times, which, rng)
        machine = SimulatedMachine(seed, noise=0.03, drift=DRIFT_KINDS[seed % len(DRIFT_KINDS)])
        found.append(times[method(times, default, machine, budget, seed)] - 1)
        runs += machine.runs
        assert machine.runs <= budget
    return found, runs / surfaces


def methods() -> dict[str, Method]:
    """Those that can run here."""
    found: dict[str, Method] = {
        "numawise tune": numawise,
        "all equally often, mean": equally_often(statistics.fmean),
        "all equally often, median": equally_often(statistics.median),
    }
    try:
        import optuna  # noqa: F401
    except ImportError:
        return found
    return {**found, "Optuna TPE": tpe}


def main() -> None:
    """Print (or give as JSON) one row for each method, default and budget."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--surfaces", type=int, default=400)
    parser.add_argument("--default", choices=("any", "slow", "near"), help="only this kind of default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    here = methods()
    rows = []
    for name, method in here.items():
        kinds = ("any", "slow", "near") if method is numawise else ("any",)
        for which, budget in itertools.product((options.default,) if options.default else kinds, BUDGETS):
            found, runs = regrets(method, options.surfaces, which, budget)
            good = sum(regret <= 0.02 for regret in found) / len(found)
            rows.append((name, which, budget, good, statistics.fmean(found), runs))
            if not options.json:
                about = f"default {which:5}" if method is numawise else "            -"
                print(
                    f"{name:26} {about} budget {budget} runs {runs:5.1f}  "
                    f"P(regret <= 2 %) {good:.3f}  mean regret {statistics.fmean(found):.2%}",
                    flush=True,
                )
    if options.json:
        keys = ("method", "default", "budget", "good", "mean_regret", "runs")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
    elif "Optuna TPE" not in here:
        print("optuna not installed: pip install numawise[benchmarks]")


if __name__ == "__main__":
    main()
