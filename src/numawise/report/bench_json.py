"""What `bench --json` prints: the form that scripts may rely on. Fields may be added, never taken away.

{"suite", "best", "verdict": {...}, "arms": [...], "advice": [...], "left_out": {...}, "incomplete", ...}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from numawise.experiment.bench.advice import advice
from numawise.experiment.bench.results import Arm, arms
from numawise.experiment.bench.scenarios import selection
from numawise.experiment.records import Outcome, Study, Trial
from numawise.machine.codec import to_json
from numawise.report.bench_words import incomplete
from numawise.report.energy import energy_json
from numawise.report.verdict_json import verdict_json

_TIMES = ("gflops", "gb_per_s", "read_gb_per_s", "share_of_read", "tokens_per_s")


def bench_json(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> dict[str, Any]:
    """A bench; of one that is not finished `verdict` is null and the arms' verdicts are those so far."""
    design = study.bench
    found = arms(study, trials, outcome)
    return {
        "suite": design.suite if design else None,
        "built_in": design.built_in if design else False,
        "command": list(study.command),
        "best": outcome.best if outcome else None,
        "verdict": verdict_json(outcome.verdict) if outcome else None,
        "arms": [_arm(arm, study) for arm in found],
        "advice": [
            {"rule": a.rule, "tone": a.tone, "sentence": a.sentence, "evidence": a.evidence}
            for a in advice(study, trials, outcome)
        ],
        "left_out": {**(design.left_out if design else {}), **(outcome.left_out if outcome else {})},
        "failed": dict(outcome.failed) if outcome else {},
        "incomplete": incomplete(study, outcome),
        "alpha": study.alpha,
        "alpha_per_arm": outcome.alpha_per_arm if outcome else None,
        "delta": study.delta,
        "metric": study.metric,
        "maximize": study.maximize,
        "settings": dict(study.settings),
        "nodes": [
            {"id": n.id, "cpus": str(n.cpus), "memory_kib": n.memory_kib, "kind": n.kind}
            for n in study.topology.nodes
        ],
        "distances": study.topology.distances
        and {
            str(node): {str(to): far for to, far in row.items()}
            for node, row in study.topology.distances.items()
        },
        "allowed": {"cpus": str(study.topology.allowed.cpus), "nodes": list(study.topology.allowed.nodes)},
        "energy": energy_json(study, trials),
        "trials": len(trials),
        "study": study.id,
        "history": [msgspec.json.decode(to_json(trial)) for trial in trials],
    }


def _arm(arm: Arm, study: Study) -> dict[str, Any]:
    candidate = next(c for c in study.candidates if c.name == arm.name)
    operations = sorted({key.split(".")[1] for key in arm.figures if key.startswith("operations.")})
    return {
        "name": arm.name,
        "axis": arm.axis,
        "against": arm.against,
        **(verdict_json(arm.verdict) if arm.verdict else {"verdict": None, "reason": arm.why}),
        "median": arm.value,
        "runs": arm.runs,
        "failures": arm.failures,
        **{key: arm.figures.get(key) for key in _TIMES},
        "operations": [
            {
                "name": name,
                **{u: arm.figures.get(f"operations.{name}.{u}") for u in ("ms", "gflops", "gb_per_s")},
            }
            for name in operations
        ],
        "figures": {key: value for key, value in arm.figures.items() if not key.startswith("operations.")},
        "energy_j": arm.energy_j,
        "residency": {str(node): round(share, 4) for node, share in arm.residency.items()},
        "on_target": arm.on_target,
        "selection": selection(candidate),
        "arguments": list(candidate.arguments),
        "placements": [msgspec.json.decode(to_json(placement)) for placement in candidate.plan.placements],
    }
