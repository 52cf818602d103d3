"""How good is what `tune` finds? Simulated searches, beside trying all equally often and Optuna's TPE.

    python benchmarks/tune_surfaces.py [--surfaces 400] [--default any|slow|near] [--json]
    python benchmarks/tune_surfaces.py --predictions [--surfaces 1000] [--json]

Each surface has 48 candidates: one best, 15 up to 6 % slower, 32 from 6 to 80 % slower; noise 3 %, drift (a
different kind in turn), 5 % spikes. Regret is how much slower the candidate answered is than the best. All other
methods get as many runs as tune may take; they just name a candidate, tune must also have shown it better than
the default, and names the default otherwise.

With --predictions only tune runs: without a prediction, with one whose errors have a standard deviation of 10 %, also
at 30 % fewer runs, and with several that are wrong; and, as the most that any prediction could save by dropping
candidates, without the slow ones.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
from collections.abc import Callable

from surfaces import SimulatedMachine, choose_default, surface

import numawise as nw
from numawise.experiment.records import Expectation
from numawise.experiment.tune import tune

DRIFT_KINDS = ("none", "linear", "walk", "wave")
BUDGETS = (110, 180)

ORACLE = "none, but the 32 slow ones are not there"

Method = Callable[[list[float], int, SimulatedMachine, int, int], int]
"""(true times, default, machine, budget, seed) -> the candidate it would use."""


def numawise(times: list[float], default: int, machine: SimulatedMachine, budget: int, seed: int) -> int:
    """`nw.tune` as it comes, the final comparison included."""
    candidates = list(range(len(times)))
    result = nw.tune(candidates, lambda i: machine.time(times[i]), default=default, budget=budget, seed=seed)
    return result.best_index


def predict(kind: str, times: list[float], default: int, seed: int) -> list[Expectation] | None:
    """What is expected of each candidate: the truth off by so much, or something wrong, claiming to be off by 10 %."""
    rng = random.Random(seed + 7_777_777)
    logs = [math.log(time / times[default]) for time in times]
    best = sorted(logs)[:10]
    if kind == "none":
        return None
    made: dict[str, tuple[Callable[[float], float], float]] = {
        "off by 5 %": (lambda log: log + rng.gauss(0, 0.05), 0.05),
        "off by 10 %": (lambda log: log + rng.gauss(0, 0.10), 0.10),
        "off by 30 %, claims 1 %": (lambda log: log + rng.gauss(0, 0.30), 0.01),
        "random permutation": (lambda _: rng.choice(logs), 0.10),
        "permutation, claims 1 %": (lambda _: rng.choice(logs), 0.01),
        "inverted": (lambda log: -log, 0.10),
        "constant": (lambda _: 0.0, 0.10),
        "right, but the ten best called slow": (lambda log: 0.6 if log in best else log, 0.10),
    }
    if "permutation" in kind:
        rng.shuffle(logs)
        return [Expectation(math.exp(log), made[kind][1]) for log in logs]
    guess, sigma = made[kind]
    return [Expectation(math.exp(guess(log)), sigma) for log in logs]


PREDICTED = (
    ("none", (77, 110, 126, 180)),
    ("off by 10 %", (77, 110, 126, 140, 180)),
    ("off by 5 %", (77, 126)),
    ("random permutation", BUDGETS),
    ("permutation, claims 1 %", BUDGETS),
    ("inverted", BUDGETS),
    ("constant", BUDGETS),
    ("off by 30 %, claims 1 %", BUDGETS),
    ("right, but the ten best called slow", BUDGETS),
)


def without_the_slow(
    times: list[float], default: int, machine: SimulatedMachine, budget: int, seed: int
) -> int:
    """`nw.tune` over those that really are within 6 % of the best: the most that dropping candidates can save."""
    near = [index for index, time in enumerate(times) if time <= 1.06 or index == default]
    result = nw.tune(near, lambda i: machine.time(times[i]), default=default, budget=budget, seed=seed)
    assert isinstance(result.best, int)
    return result.best


def with_prediction(kind: str) -> Method:
    """`nw.tune` that is told what to expect."""

    def method(times: list[float], default: int, machine: SimulatedMachine, budget: int, seed: int) -> int:
        candidates = list(range(len(times)))
        return tune(
            candidates,
            lambda i: machine.time(times[i]),
            default=default,
            budget=budget,
            seed=seed,
            expected=predict(kind, times, default, seed),
        ).best_index

    return method


def predictions(surfaces: int, *, as_json: bool) -> None:
    """Print one row for each kind of prediction and budget."""
    rows = []
    for kind, budgets in (*PREDICTED, (ORACLE, (77, 84, 126, 155))):
        for budget in budgets:
            method = without_the_slow if kind == ORACLE else with_prediction(kind)
            found, runs = regrets(method, surfaces, "any", budget)
            good = sum(regret <= 0.02 for regret in found) / len(found)
            rows.append(
                {
                    "prediction": kind,
                    "budget": budget,
                    "good": good,
                    "mean_regret": statistics.fmean(found),
                    "runs": runs,
                }
            )
            if not as_json:
                print(
                    f"{kind:36} budget {budget:3} runs {runs:5.1f}  P(regret <= 2 %) {good:.3f}  "
                    f"mean regret {statistics.fmean(found):.2%}",
                    flush=True,
                )
    if as_json:
        print(json.dumps(rows, indent=1))


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
    parser.add_argument("--surfaces", type=int, help="400, or 1000 with --predictions")
    parser.add_argument("--predictions", action="store_true", help="tune with predictions, right and wrong")
    parser.add_argument("--default", choices=("any", "slow", "near"), help="only this kind of default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.predictions:
        predictions(options.surfaces or 1000, as_json=options.json)
        return
    here = methods()
    rows = []
    for name, method in here.items():
        kinds = ("any", "slow", "near") if method is numawise else ("any",)
        for which, budget in itertools.product((options.default,) if options.default else kinds, BUDGETS):
            found, runs = regrets(method, options.surfaces or 400, which, budget)
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
