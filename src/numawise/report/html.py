"""One page about one study (`page` says what every page is)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup

from numawise.experiment.records import Candidate, Outcome, Study, Trial
from numawise.linux.cpuset import CPUSet
from numawise.linux.files import write_file
from numawise.report import bench_html, charts, energy, machine_svg, words
from numawise.report.estimates import (
    Effect,
    arms,
    effects,
    effects_as_measured,
    pairs,
    pairs_as_measured,
    residency,
)
from numawise.report.page import render_page, svg

_SHOWN = 16
"""Rows of a table before the rest is folded away."""


class Row(msgspec.Struct, frozen=True):
    """One candidate as the tables show it."""

    name: str
    role: str
    badges: tuple[str, ...]
    chart: Markup
    change: str
    interval: str
    median: str
    runs: int
    failures: int
    placement: str
    shares: Markup
    shares_text: str
    on_target: str
    cpus_seen: str
    notes: tuple[str, ...]


class Failure(msgspec.Struct, frozen=True):
    """A candidate that left the race, with the last lines of its last failing run."""

    name: str
    reason: str
    tail: str


def write(path: Path, study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> Path:
    """Render and write the page, whole or not at all. Raises NumawiseError when it cannot be written."""
    write_file(path, render(study, trials, outcome).encode("utf-8", "replace"))
    return path


def render(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> str:
    """The page of a study; `outcome` is None while it is not finished."""
    if study.kind == "bench":
        return bench_html.render(study, trials, outcome)
    return render_page("report.html.j2", **_content(study, trials, outcome))


def _content(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> dict[str, Any]:
    by_name = {candidate.name: candidate for candidate in study.candidates}
    best = by_name.get(outcome.best) if outcome else None
    met = arms(study, trials, outcome)
    found_pairs = pairs_as_measured(pairs(study, trials, outcome), study)
    found = effects_as_measured(effects(study, trials), study)
    rows = _rows(found, study, trials, outcome)
    chosen = best is not None and (best.name != study.default or study.kind == "compare")
    chosen = chosen and outcome is not None and words.decided(outcome)
    return {
        "kind": study.kind,
        "version": study.numawise_version,
        "study": study,
        "outcome": outcome,
        "trials": trials,
        "say": words.verdict_words(study, outcome, trials=len(trials)),
        "command": words.command_text(study),
        "run_command": words.run_command(study, outcome) if outcome else "",
        "numactl": words.numactl_command(study, best) if chosen and best else "",
        "numactl_misses": _numactl_misses(best) if best else "",
        "best": best,
        "best_placement": words.placement_text(best) if best else "",
        "tiles": _tiles(study, trials, outcome),
        "machine": svg(machine_svg.draw(study.topology, highlight=_highlight(best if chosen else None))),
        "facts": _facts(study) + _why_no_energy(study, trials),
        "rows": rows[:_SHOWN],
        "more_rows": rows[_SHOWN:],
        "not_run": len(study.candidates) - len(rows),
        "not_tried": words.not_tried_text(outcome),
        "axis": svg(charts.ratio_axis(charts.ratio_scale(found, study.delta))),
        "keys": {role: svg(charts.legend_mark(role)) for role in ("default", "best", "other", "failed")},
        "met": met,
        "pairs": found_pairs,
        "pair_chart": svg(charts.pair_chart(found_pairs, study.delta)) if found_pairs else "",
        "trial_chart": svg(charts.trial_chart(study, trials, outcome)),
        "energy": _energy(study, trials),
        "has_finals": any(trial.phase == "final" for trial in trials),
        "metric": words.metric_text(study),
        "metric_name": words.metric_name(study),
        "ladder": sorted({note for trial in trials for note in trial.notes}),
        "failures": _failures(study, trials, outcome),
        "date": time.strftime("%Y-%m-%d %H:%M", time.localtime(study.created)),
        "reason": outcome.verdict.reason if outcome else "",
    }


def _rows(
    found: Sequence[Effect], study: Study, trials: Sequence[Trial], outcome: Outcome | None
) -> list[Row]:
    scale = charts.ratio_scale(found, study.delta)
    rows = [_row(effect, scale, study, trials, outcome) for effect in found]
    # The default belongs in sight, however it did: it is what all others are measured against.
    place = next((i for i, row in enumerate(rows) if row.name == study.default), None)
    if place is not None and place >= _SHOWN:
        rows.insert(_SHOWN - 1, rows.pop(place))
    return rows


def _row(
    effect: Effect, scale: charts.Scale, study: Study, trials: Sequence[Trial], outcome: Outcome | None
) -> Row:
    candidate = next(c for c in study.candidates if c.name == effect.name)
    own = [trial for trial in trials if trial.candidate == effect.name]
    seen = residency(own)
    badges = []
    if effect.name == study.default != "default" and study.kind == "tune":
        badges.append("default")
    if outcome and effect.name == outcome.best and (study.kind == "tune" or words.decided(outcome)):
        badges.append("use this")
    elif outcome and study.kind == "tune" and effect.name == outcome.winner:
        badges.append("best of the race")
    second = study.kind == "compare" and effect.name != study.default
    role = "default" if effect.name == study.default else "best" if badges or second else "other"
    bounds = (effect.low, effect.high)
    return Row(
        name=effect.name,
        role=role,
        badges=tuple(badges),
        chart=svg(charts.whisker(effect, scale, study.delta, role)),
        change="failed" if effect.ratio is None else _relative(effect.ratio),
        interval="" if None in bounds else f"{_relative(bounds[0] or 1)} to {_relative(bounds[1] or 1)}",
        median="" if effect.median is None else words.value_text(effect.median, study),
        runs=effect.runs,
        failures=effect.failures,
        placement=words.placement_text(candidate),
        shares=svg(charts.shares(seen)),
        shares_text=", ".join(f"node {node} {share:.0%}" for node, share in seen.items()) or "not looked at",
        on_target=_on_target(own),
        cpus_seen=str(CPUSet(cpu for trial in own for cpu in trial.cpus_used)) or "not looked at",
        notes=tuple(sorted({note for trial in own for note in trial.notes})),
    )


def _tiles(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> list[tuple[str, str]]:
    last = max((trial.started + trial.seconds for trial in trials), default=study.created)
    first = min((trial.started for trial in trials), default=study.created)
    tiles = [
        (str(len(study.candidates)), "candidates" if study.kind == "tune" else "arms"),
        (str(len(trials)), "trials"),
        (words.duration_text(last - first), "of measuring"),
    ]
    if outcome:
        tiles.append((str(outcome.verdict.pairs), "fresh pairs" if study.kind == "tune" else "pairs"))
    return tiles


def _energy(study: Study, trials: Sequence[Trial]) -> dict[str, Any]:
    """The table of joules; empty where they are not known, for which the facts give the reason."""
    found = energy.arm_energies(study, trials)
    if not found:
        return {}
    cells = [[cell.replace("-", "\N{MINUS SIGN}") for cell in energy.cells(arm, found)] for arm in found]
    rows = [(arm.name, *own) for arm, own in zip(found, cells, strict=True)]
    return {
        "caption": energy.caption(study),
        "header": energy.header(study, found),
        "rows": rows[:_SHOWN],
        "more_rows": rows[_SHOWN:],
    }


def _why_no_energy(study: Study, trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """Why no trial has its joules, unless that was known, and is among the facts, since the study began."""
    why = energy.why_unavailable(study, trials)
    return (
        [("energy of the trials", f"unavailable: {why}")]
        if why and why not in study.settings.get("energy", "")
        else []
    )


def _facts(study: Study) -> list[tuple[str, str]]:
    topology = study.topology
    memory = sum(node.memory_kib for node in topology.nodes) / 2**20
    facts = [
        ("Processor", topology.model_name or topology.architecture or "unknown"),
        ("CPUs", f"{len(topology.cpus)} on {topology.cores} cores, {len(topology.sockets) or 1} sockets"),
        ("Nodes", f"{len(topology.nodes)} with {memory:.4g} GiB"),
        ("Allowed here", f"CPUs {topology.allowed.cpus}; nodes {','.join(map(str, topology.allowed.nodes))}"),
        ("Transparent huge pages", topology.transparent_huge_pages or "none in this kernel"),
        *study.settings.items(),
    ]
    return facts + [("Note", note) for note in topology.notes]


def _failures(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> list[Failure]:
    reasons = dict(outcome.failed) if outcome else {}
    last = {trial.candidate: trial for trial in trials if trial.status != "ok"}
    names = [c.name for c in study.candidates if c.name in last or c.name in reasons]
    return [
        Failure(
            name=name,
            reason=reasons.get(name) or words.failure_text(last[name]),
            tail=last[name].tail.strip() if name in last else "",
        )
        for name in names
    ]


def _numactl_misses(candidate: Candidate) -> str:
    modes = {placement.thp for placement in candidate.plan.placements} - {"default"}
    return "numactl cannot set transparent huge pages; numawise run does." if modes else ""


def _highlight(candidate: Candidate | None) -> CPUSet:
    return (
        CPUSet(cpu for placement in candidate.plan.placements for cpu in placement.cpus)
        if candidate
        else CPUSet()
    )


def _on_target(trials: Sequence[Trial]) -> str:
    known = [trial.on_target for trial in trials if trial.on_target is not None]
    return f"{min(known):.0%} or more where asked" if known else ""


def _relative(ratio: float) -> str:
    return words.relative(ratio).replace("-", "\N{MINUS SIGN}")
