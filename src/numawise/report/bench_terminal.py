"""The last words of bench in a terminal: settings in force, operations, the comparison, and what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from numawise.experiment.records import Outcome, Study, Trial
from numawise.report import words
from numawise.report.bench_words import Group, Operations, level_text, report
from numawise.report.energy import caption

Line = tuple[str, str]
"""A style's name (`terminal`), or an empty one, and the text."""

_STYLE = {"better": "good", "worse": "bad", "equivalent": "", "not decided": "open", "NOT DELIVERED": "bad"}
_MARK = {"do": "->", "same": "==", "know": "  ", "doubt": "? "}
_TAIL_LINES = 8


def summary(
    study: Study, trials: Sequence[Trial], outcome: Outcome | None, *, page: Path | None = None
) -> Iterator[Line]:
    """The lines of the summary, each with the name of its style."""
    found = report(study, trials, outcome)
    yield found.say.tone, words.clean(found.say.headline)
    if found.say.figure:
        yield found.say.tone, words.clean(found.say.figure)
    yield "", words.clean(found.say.detail)
    yield from _settings(found.settings)
    yield from _operations(found.operations)
    yield from _table(found.groups)
    if level := level_text(study, outcome):
        yield "soft", level
    if found.energy_why:
        yield "soft", f"energy: unavailable: {words.clean(found.energy_why)}"
    elif trials:
        yield "soft", caption(study)
    if found.advice:
        yield "", ""
        yield "head", "What follows"
        for each in found.advice:
            style = {"do": "good", "same": "same", "doubt": "open"}.get(each.tone, "")
            yield style, f"{_MARK[each.tone]} {words.clean(each.sentence)}  [{each.rule}]"
    yield from _missing(found.left_out, found.failed, trials)
    for note in found.notes:
        yield "soft", f"step down: {words.clean(note)}"
    if page is not None:
        yield "soft", f"report: {page}"


def _settings(rows: Sequence[tuple[str, str]]) -> Iterator[Line]:
    yield "", ""
    yield "head", "NUMA settings in force"
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield "", f"  {words.clean(name).ljust(width)}  {words.clean(value)}"


def _operations(tables: Sequence[Operations]) -> Iterator[Line]:
    for table in tables:
        yield "", ""
        yield "head", f"{table.method}: {table.about}"
        yield "soft", f"  {'operation':<12}{'ms':>10}{'GFLOP/s':>10}{'GB/s':>9}{'of read':>9}"
        for name, ms, gflops, rate, share in table.rows:
            of_read = "" if share is None else f"{share:.0%}"
            yield "", f"  {name:<12}{ms:>10.3f}{gflops:>10.2f}{rate:>9.2f}{of_read:>9}"


def _table(groups: Sequence[Group]) -> Iterator[Line]:
    header = (
        *("arm", "median", "verdict", "against its reference", "blocks"),
        *("GFLOP/s", "GB/s", "of read", "J/run", "work/J", "pages on"),
    )
    lines: list[tuple[str, tuple[str, ...] | str]] = []
    for group in groups:
        lines.append(("head", words.clean(group.title)))
        for row in group.rows:
            pairs = str(row.arm.verdict.pairs) if row.arm.verdict else ""
            cells = (
                *(words.clean(row.arm.label), row.median, row.verdict, row.change, pairs),
                *(row.gflops, row.gb_per_s, row.of_read, row.energy, row.per_joule, row.pages),
            )
            lines.append((_STYLE.get(row.verdict, ""), cells))
    table = [cells for _, cells in lines if not isinstance(cells, str)]
    shown = [i for i in range(len(header)) if i == 0 or any(cells[i] for cells in table)]
    widths = {i: max(len(row[i]) for row in (header, *table)) for i in shown}

    def text(cells: tuple[str, ...]) -> str:
        parts = [
            cells[i].ljust(widths[i]) if i in (0, 2, 3, 10) else cells[i].rjust(widths[i]) for i in shown
        ]
        return "  " + "  ".join(parts).rstrip()

    yield "", ""
    yield "soft", text(header)
    for style, line in lines:
        yield (style, line) if isinstance(line, str) else (style, text(line))


def _missing(
    left_out: Sequence[tuple[str, str]], failed: Sequence[tuple[str, str]], trials: Sequence[Trial]
) -> Iterator[Line]:
    if left_out:
        yield "", ""
        yield "head", "Left out"
        # Many arms go for one reason: one line a reason.
        for why in dict.fromkeys(why for _, why in left_out):
            names = [words.clean(name) for name, reason in left_out if reason == why]
            yield "soft", f"  {'; '.join(names)}: {words.clean(why)}"
    last = {trial.candidate: trial for trial in trials if trial.status != "ok"}
    for name, why in failed:
        yield "", ""
        first, *rest = words.clean(why).strip().split("\n")
        yield "bad", f"{words.clean(name)} failed: {first}"
        tail = words.clean(last[name].tail).strip().split("\n")[1:] if name in last else rest
        for line in tail[-_TAIL_LINES:]:
            yield "soft", f"  | {line}"
