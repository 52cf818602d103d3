"""The last words of tune and compare in a terminal; the same words without colour when piped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from numawise.experiment.records import Outcome, Study, Trial
from numawise.report import bench_terminal, energy, words
from numawise.report.estimates import effects, effects_as_measured, residency

_SHOWN = 6
_TAIL_LINES = 8
_STYLES = {
    "good": "bold green",
    "same": "bold blue",
    "bad": "bold red",
    "open": "bold yellow",
    "soft": "dim",
    "head": "bold",
}

Line = tuple[str, str]
"""A style's name, or an empty one, and the text."""


def show(
    study: Study,
    trials: Sequence[Trial],
    outcome: Outcome | None,
    *,
    report: Path | None = None,
    file: TextIO | None = None,
) -> None:
    """Print the summary.

    Args:
        study: what was run.
        trials: all of it.
        outcome: how it ended; None when it has not.
        report: the HTML page to point to.
        file: standard output unless given; colours only when it is a terminal.
    """
    print_lines(summary(study, trials, outcome, report=report), file or sys.stdout)


def print_lines(lines: Iterable[Line], out: TextIO) -> None:
    """Print lines in their styles: `good`, `same`, `bad`, `open`, `soft`, `head`; plain when `out` is no terminal."""
    if not out.isatty():
        for _, text in lines:
            print(text, file=out)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False)
    for style, text in lines:
        # soft_wrap: a command that is copied from here must not hold line breaks of ours.
        console.print(Text(text, style=_STYLES.get(style, "")), soft_wrap=True)


def summary(
    study: Study, trials: Sequence[Trial], outcome: Outcome | None, *, report: Path | None = None
) -> Iterator[Line]:
    """The lines of the summary, each with the name of its style."""
    if study.kind == "bench":
        yield from bench_terminal.summary(study, trials, outcome, page=report)
        return
    say = words.verdict_words(study, outcome, trials=len(trials))
    yield say.tone, say.headline
    if say.figure:
        yield say.tone, say.figure
    yield "", say.detail
    yield from _table(study, trials, outcome)
    yield from _energy(study, trials, outcome)
    if left_out := words.not_tried_text(outcome):
        yield "soft", left_out
    yield from _failures(study, trials, outcome)
    for note in sorted({note for trial in trials for note in trial.notes}):
        yield "soft", f"step down: {words.clean(note)}"
    if outcome is not None and (command := words.run_command(study, outcome)):
        kept = "Keep running it as before:" if outcome.best == study.default else "From now on:"
        yield "", ""
        yield "", "The better one:" if study.kind == "compare" else kept
        yield say.tone, f"  {words.clean(command)}"
    if report is not None:
        yield "soft", f"report: {report}"


def _table(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> Iterator[Line]:
    found = effects_as_measured(effects(study, trials), study)
    # The default and the winner belong in sight, however they did in the race.
    kept = {study.default} | ({outcome.best, outcome.winner} if outcome else set())
    shown = [effect for i, effect in enumerate(found) if i < _SHOWN or effect.name in kept]
    if not shown:
        return
    rows = []
    for effect in shown:
        change = "failed" if effect.ratio is None else words.relative(effect.ratio)
        if effect.low is not None and effect.high is not None:
            change += f" ({words.relative(effect.low)} to {words.relative(effect.high)})"
        value = "" if effect.median is None else words.value_text(effect.median, study)
        seen = residency(t for t in trials if t.candidate == effect.name)
        pages = ", ".join(f"node {node} {share:.0%}" for node, share in seen.items())
        rows.append((words.clean(effect.name), value, change, str(effect.runs), pages))
    header = ("candidate" if study.kind == "tune" else "arm", "median", "change", "runs", "pages on")
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    yield "", ""
    for row in (header, *rows):
        cells = [
            row[0].ljust(widths[0]),
            row[1].rjust(widths[1]),
            row[2].ljust(widths[2]),
            row[3].rjust(widths[3]),
        ]
        yield "soft" if row is header else "", "  ".join([*cells, row[4]]).rstrip()
    if len(found) > len(shown):
        yield "soft", f"and {len(found) - len(shown)} more; intervals here explore, the verdict is above"


def _energy(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> Iterator[Line]:
    if why := energy.why_unavailable(study, trials):
        yield "soft", f"energy: unavailable: {words.clean(why)}"
        return
    found = energy.arm_energies(study, trials)
    kept = {study.default} | ({outcome.best, outcome.winner} if outcome else set())
    shown = [arm for i, arm in enumerate(found) if i < _SHOWN or arm.name in kept]
    if not shown:
        return
    rows = [("", *energy.header(study, shown))]
    rows += [(words.clean(arm.name), *energy.cells(arm, shown)) for arm in shown]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    yield "", ""
    yield "soft", words.clean(energy.caption(study))
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "soft" if row is rows[0] else "", "  ".join(cells).rstrip()


def _failures(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> Iterator[Line]:
    last = {trial.candidate: trial for trial in trials if trial.status != "ok"}
    reasons = dict(outcome.failed) if outcome else {}
    for candidate in study.candidates:
        if candidate.name not in last and candidate.name not in reasons:
            continue
        trial = last.get(candidate.name)
        reason = reasons.get(candidate.name) or (words.failure_text(trial) if trial else "")
        yield "", ""
        yield "bad", f"{words.clean(candidate.name)} failed: {words.clean(reason)}"
        for line in (
            words.clean(trial.tail).strip().split("\n")[-_TAIL_LINES:] if trial and trial.tail else ()
        ):
            yield "soft", f"  | {line}"
