"""What `tune --json` and `compare --json` print: the forms that scripts may rely on.

    compare: {"verdict", "ratio", "low", "high", "pairs", "arms": [{"name", "median", "residency", "energy_j"}, ...],
              "energy": {"source", "unavailable", "arms"}}
    tune:    {"best": {placement}, "verdict": {as compare}, "trials", "candidates", "profile", "energy": {as compare}}

Fields may be added, never taken away. A number that is not known or not bounded is null.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec

from numawise.experiment.records import Outcome, Study, Trial, Verdict
from numawise.machine.codec import to_json
from numawise.report.bench_json import bench_json
from numawise.report.energy import energy_json
from numawise.report.estimates import measured, residency
from numawise.report.verdict_json import verdict_json


def tune_json(study: Study, trials: Sequence[Trial], outcome: Outcome) -> dict[str, Any]:
    """A finished tune. `best` is its first process's placement, all of them in `placements`."""
    best = next(candidate for candidate in study.candidates if candidate.name == outcome.best)
    placements = [_plain(placement) for placement in best.plan.placements]
    arms = dict.fromkeys((study.default, outcome.winner))
    return {
        "best": {**(placements[0] if placements else {}), "name": best.name, "placements": placements},
        "verdict": _verdict(outcome.verdict, list(arms), [t for t in trials if t.phase == "final"], study),
        "trials": outcome.trials,
        "candidates": len(study.candidates),
        "profile": outcome.profile,
        "winner": outcome.winner,
        "failed": dict(outcome.failed),
        "not_tried": dict(outcome.not_tried),
        "energy": energy_json(study, trials),
        "study": study.id,
        "history": [_plain(trial) for trial in trials],
    }


def compare_json(study: Study, trials: Sequence[Trial], outcome: Outcome) -> dict[str, Any]:
    """A finished compare: the second arm against the first."""
    names = [candidate.name for candidate in study.candidates]
    return {
        **_verdict(outcome.verdict, names, trials, study),
        "failed": dict(outcome.failed),
        "energy": energy_json(study, trials),
        "study": study.id,
        "history": [_plain(trial) for trial in trials],
    }


def study_json(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> dict[str, Any]:
    """Any stored run; `verdict` is null while it is not finished."""
    if study.kind == "bench":
        return bench_json(study, trials, outcome)
    if outcome is None:
        unfinished: dict[str, Any] = {
            "verdict": None,
            "trials": len(trials),
            "candidates": len(study.candidates),
        }
        return {**unfinished, "study": study.id, "history": [_plain(trial) for trial in trials]}
    return (compare_json if study.kind == "compare" else tune_json)(study, trials, outcome)


def _verdict(verdict: Verdict, arms: Sequence[str], trials: Sequence[Trial], study: Study) -> dict[str, Any]:
    return {
        **verdict_json(verdict),
        "arms": [_arm(name, [t for t in trials if t.candidate == name]) for name in arms],
        "metric": study.metric,
        "maximize": study.maximize,
    }


def _arm(name: str, trials: Sequence[Trial]) -> dict[str, Any]:
    values = [trial.value for trial in measured(trials) if trial.value is not None]
    energy_j = [trial.energy_j for trial in measured(trials) if trial.energy_j is not None]
    return {
        "name": name,
        "median": statistics.median(values) if values else None,
        "energy_j": statistics.median(energy_j) if energy_j else None,
        "residency": {str(node): round(share, 4) for node, share in residency(trials).items()},
    }


def _plain(value: object) -> Any:
    return msgspec.json.decode(to_json(value))
