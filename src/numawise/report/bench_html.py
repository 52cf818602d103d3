"""The page of a bench: what follows, the comparison with bars and intervals, the operations, and where it all ran."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

import msgspec
from markupsafe import Markup

from numawise.experiment.bench.results import Arm
from numawise.experiment.records import Outcome, Study, Trial
from numawise.report import charts, machine_svg, words
from numawise.report.bench_words import Group, Operations, Report, Row, cpus_seen, level_text, report
from numawise.report.energy import caption
from numawise.report.estimates import Effect
from numawise.report.page import render_page, svg

_OPERATION_COLOURS = 6
_LEAST_APART = 38.0
"""Percent of the chart's width between two labels."""


class Line(msgspec.Struct, frozen=True):
    """One arm as the page shows it: its row of words, its mark on the scale and its bar."""

    row: Row
    role: str
    chart: Markup
    bar: Markup
    placement: str
    shares: Markup
    cpus: str
    notes: tuple[str, ...]


class Section(msgspec.Struct, frozen=True):
    """The arms of one axis."""

    title: str
    axis: Markup
    lines: tuple[Line, ...]
    judged: bool
    """Do its arms have verdicts? The default has none."""


class Pass(msgspec.Struct, frozen=True):
    """One method's operations, and its pass drawn as a bar of them."""

    table: Operations
    bar: Markup


def render(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> str:
    """The page; `outcome` is None while the run is not finished."""
    found = report(study, trials, outcome)
    last = max((trial.started + trial.seconds for trial in trials), default=study.created)
    first = min((trial.started for trial in trials), default=study.created)
    return render_page(
        "bench.html.j2",
        styles=("page.css", "bench.css"),
        kind=study.kind,
        version=study.numawise_version,
        study=study,
        outcome=outcome,
        found=found,
        command=words.command_text(study),
        date=time.strftime("%Y-%m-%d %H:%M", time.localtime(study.created)),
        tiles=[
            (str(len(study.candidates)), "arms"),
            (str(len(trials)), "trials"),
            (words.duration_text(last - first), "of measuring"),
        ],
        sections=[_section(group, study, trials, outcome) for group in found.groups],
        passes=_passes(found),
        machine=svg(machine_svg.draw(study.topology)),
        figures=any(row.gflops for group in found.groups for row in group.rows),
        level=level_text(study, outcome),
        energy=caption(study) if trials and not found.energy_why else "",
        metric=words.metric_text(study),
        failures=_failures(found, trials),
        keys={role: svg(charts.legend_mark(role)) for role in ("default", "best", "other")},
        suite=study.bench.suite if study.bench else "",
    )


def _section(group: Group, study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> Section:
    effects = {row.arm.name: _effect(row.arm, study) for row in group.rows}
    scale = charts.ratio_scale(effects.values(), study.delta)
    most = max((row.arm.value for row in group.rows if row.arm.value), default=1.0)
    by_name = {candidate.name: candidate for candidate in study.candidates}
    lines = []
    for row in group.rows:
        name = row.arm.name
        role = "default" if name == study.default else "other"
        if row.arm.verdict is not None and row.arm.verdict.kind == "better":
            role = "best"
        own = [trial for trial in trials if trial.candidate == name]
        lines.append(
            Line(
                row=row,
                role=role,
                chart=svg(charts.whisker(effects[name], scale, study.delta, role))
                if row.arm.verdict
                else Markup(),
                bar=_bar(row.arm, row.median, most, role),
                placement=words.placement_text(by_name[name]),
                shares=svg(charts.shares(row.arm.residency)),
                cpus=str(cpus_seen(trials, name)) or "not looked at",
                notes=tuple(sorted({note for trial in own for note in trial.notes})),
            )
        )
    judged = any(row.arm.verdict is not None for row in group.rows)
    return Section(group.title, _axis(scale) if judged else Markup(), tuple(lines), judged)


def _axis(scale: charts.Scale) -> Markup:
    """Labels for a narrow chart: no change, and one to either side of it that leaves it room."""
    zero = scale.at(1.0)
    labels = [(zero, "same")]
    for side in (-1, 1):
        apart = [(side * (scale.at(tick) - zero), tick) for tick in scale.ratio_ticks()]
        room = [each for each in apart if each[0] > _LEAST_APART]
        if room:
            tick = min(room)[1]
            labels.append((scale.at(tick), words.relative(tick).replace(".0%", "%").replace("-", "&#8722;")))
    texts = []
    for at, text in labels:
        anchor = "start" if at < 10 else "end" if at > 90 else "middle"
        texts.append(f'<text x="{at}%" y="14" text-anchor="{anchor}" class="tick">{text}</text>')
    return svg(f'<svg class="axis" height="20" aria-hidden="true">{"".join(texts)}</svg>')


def _effect(arm: Arm, study: Study) -> Effect:
    """The verdict as the charts take it; what is to be maximized is shown as it was measured."""
    verdict = arm.verdict
    if verdict is None:
        return Effect(arm.name, arm.runs, arm.failures, arm.value)
    ratio, low, high = verdict.ratio, verdict.low, verdict.high
    if study.maximize:
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    bounded = low > 1e-6 and high < 1e6
    return Effect(
        arm.name,
        arm.runs,
        arm.failures,
        arm.value,
        ratio,
        low if bounded else None,
        high if bounded else None,
    )


def _bar(arm: Arm, text: str, most: float, role: str) -> Markup:
    """A bar from 0: how long it took, beside the others of its group."""
    if not arm.value:
        return Markup()
    width = 100 * arm.value / most
    said = escape(f"{arm.name}: {text}")
    return svg(
        f'<svg class="bar" role="img" aria-label="{said}"><title>{said}</title>'
        f'<rect class="fill {role}" width="{width:.2f}%" height="100%" rx="3"/></svg>'
    )


def _passes(found: Report) -> list[Pass]:
    """Each method's pass as one bar, all on the scale of the longest."""
    longest = max((table.rows[-1][1] for table in found.operations), default=1.0)
    passes = []
    for table in found.operations:
        parts, at = [], 0.0
        for i, (name, ms, *_) in enumerate(table.rows[:-1]):
            width = 100 * ms / longest
            said = escape(f"{name}: {ms:.3g} ms")
            parts.append(
                f'<rect class="share s{i % _OPERATION_COLOURS}" x="{at:.3f}%" width="{width:.3f}%" height="100%">'
                f"<title>{said}</title></rect>"
            )
            at += width
        label = escape(", ".join(f"{name} {ms:.3g} ms" for name, ms, *_ in table.rows[:-1]))
        passes.append(
            Pass(table, svg(f'<svg class="pass" role="img" aria-label="{label}">{"".join(parts)}</svg>'))
        )
    return passes


def _failures(found: Report, trials: Sequence[Trial]) -> list[tuple[str, str, str]]:
    last = {trial.candidate: trial.tail.strip() for trial in trials if trial.status != "ok"}
    return [(name, why.strip().split("\n")[0], last.get(name, "")) for name, why in found.failed]
