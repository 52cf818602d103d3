"""What compare and tune share: the options of a study, running it with a progress line, showing how it ended."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click
import msgspec

from numawise.cli.shared.options import json_option
from numawise.errors import NumawiseError, UsageError
from numawise.experiment.metric import PACKAGE_ENERGY, Metric, check_metric
from numawise.experiment.records import Candidate, Outcome, Study
from numawise.experiment.store import Store
from numawise.experiment.study import Progress, Watch, run_study
from numawise.machine.codec import to_json
from numawise.machine.topology import Topology
from numawise.report.words import duration_text

F = TypeVar("F", bound=Callable[..., Any])


class InterruptedStudy(NumawiseError):  # noqa: N818  (not an error of ours: somebody stopped it)
    """Somebody stopped a study. Exit code 130, as a shell gives for Ctrl-C."""

    exit_code = 130


class StudyOptions(msgspec.Struct, frozen=True):
    """The shared options, as given."""

    metric: str
    maximize: bool
    alpha: float
    delta: float
    seed: int
    timeout: float | None
    cold: tuple[str, ...]
    resume: bool
    html: Path | None
    csv: Path | None
    quiet: bool
    as_json: bool


def study_options(function: F) -> F:
    """Decorate a command with the shared options; `take_study_options` gathers them."""
    file = click.Path(path_type=Path, dir_okay=False)
    for option in (
        json_option,
        click.option("--quiet", "-q", is_flag=True, help="No progress line."),
        click.option("--csv", type=file, metavar="FILE", help="Write every trial to FILE."),
        click.option(
            "--html",
            type=file,
            metavar="FILE",
            help="Write the report to FILE (default: kept beside the run).",
        ),
        click.option(
            "--resume", is_flag=True, help="Go on with the newest run of this command that was cut short."
        ),
        click.option(
            "--cold", multiple=True, metavar="FILE", help="Drop FILE's page cache before each trial."
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0.01),
            metavar="S",
            help="Stop a trial after S seconds: it failed.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Decides the random order.",
        ),
        click.option(
            "--delta",
            type=click.FloatRange(0, 1, min_open=True),
            default=0.02,
            show_default=True,
            help="Differences up to this share do not matter.",
        ),
        click.option(
            "--alpha",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            default=0.05,
            show_default=True,
            help="Chance of a false alarm.",
        ),
        click.option("--maximize", is_flag=True, help="The metric is better when it is higher."),
        click.option(
            "--metric",
            default="",
            metavar="REGEX|json:KEY|energy:package",
            help="A number in the output (first group, last match), or joules, instead of wall time.",
        ),
    ):
        function = option(function)
    return function


def take_study_options(given: dict[str, Any]) -> StudyOptions:
    """Remove the shared options from a command's keyword arguments. Raises UsageError for a metric that cannot be.

    NotPermittedError for the energy where its counters are not to be read.
    """
    options = StudyOptions(**{name: given.pop(name) for name in StudyOptions.__struct_fields__})
    if options.timeout is not None and math.isnan(options.timeout):
        raise UsageError("--timeout takes seconds from 0.01 on, not nan")
    check_metric(Metric(options.metric, options.maximize))
    _check_energy(options.metric)
    return options


def begin_or_resume(
    store: Store,
    kind: str,
    command: Sequence[str],
    options: StudyOptions,
    make: Callable[[], tuple[tuple[Candidate, ...], Topology, int]],
    complete: Callable[[Study], Study] = lambda study: study,
) -> Study:
    """The study to run: with --resume the newest of this command, else a new one that `make` lays out.

    One that was cut short goes before one that was not: what ended is judged and shown again, for it may have been
    killed between its last trial and its report. `make` gives the candidates (the default first), the machine and the
    budget; `complete` adds what only this kind of study has. Raises UsageError when there is nothing to resume.
    """
    _check_text(command)
    if options.resume:
        return _same(_newest(store, kind, tuple(command)), options)
    import time

    from numawise.experiment.store import new_id
    from numawise.linux.settings import read_settings
    from numawise.observe import energy
    from numawise.version import installed_version

    candidates, topology, budget = make()
    created = time.time()
    study = Study(
        id=new_id(created),
        kind=cast('Literal["tune", "compare", "bench"]', kind),
        command=tuple(command),
        candidates=candidates,
        default=candidates[0].name,
        topology=topology,
        seed=options.seed,
        budget=budget,
        metric=options.metric,
        maximize=options.maximize,
        alpha=options.alpha,
        delta=options.delta,
        created=created,
        numawise_version=installed_version(),
        timeout_s=options.timeout,
        cold_files=tuple(str(Path(path).absolute()) for path in options.cold),
        settings={**read_settings(), "energy": energy.note()},
    )
    study = complete(study)
    store.create(study)
    return study


def _check_energy(metric: str) -> None:
    """Raise unless what `metric` asks for can be counted here: now, and not after an hour of trials."""
    if metric == PACKAGE_ENERGY:
        from numawise.observe import energy

        energy.require()


def _newest(store: Store, kind: str, command: tuple[str, ...]) -> Study:
    if unfinished := store.unfinished(kind=kind, command=command):
        _check_energy(unfinished[0].metric)
        return unfinished[0]
    for run in store.list():
        if (run.kind, run.command) == (kind, command):
            return store.study(run.id)
    raise UsageError(f"no {kind} of this command was begun; start one without --resume")


def _same(study: Study, options: StudyOptions) -> Study:
    """`study`, when it measures what is asked for: trials of another metric say nothing about this one."""
    if options.metric and (options.metric, options.maximize) != (study.metric, study.maximize):
        began, asked = (Metric(one.metric, one.maximize).words for one in (study, options))
        raise UsageError(
            f"run {study.id} measures {began}, not {asked}; go on with the options it was begun with, "
            "or start without --resume"
        )
    return study


def _check_text(command: Sequence[str]) -> None:
    for word in command:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"the command cannot be kept: {word[:80]!r} is not UTF-8; put the command into a script "
                "(and if LANG=C is why, set LANG=C.UTF-8)"
            ) from None


def carry_out(store: Store, study: Study, options: StudyOptions, watch: Watch = lambda _: None) -> Outcome:
    """Run the study with a progress line on a terminal; on an interruption, say how to go on.

    `watch` is told of every trial as well.
    """
    line = _Line(quiet=options.quiet or not sys.stderr.isatty())

    def both(progress: Progress) -> None:
        line(progress)
        watch(progress)

    with store.claim(study.id):
        try:
            return run_study(study, store, both)
        except KeyboardInterrupt:
            line.end()
            kept = len(store.trials(study.id))
            raise InterruptedStudy(
                f"interrupted; {kept} trials are kept, go on with the same command and --resume"
            ) from None
        finally:
            line.end()


def finish(store: Store, study: Study, outcome: Outcome, options: StudyOptions) -> None:
    """Keep the outcome, write the report and the table, print JSON or the summary."""
    from numawise.linux.home import ensure_folder
    from numawise.report import csv, html, json_forms, terminal

    store.finish(study.id, outcome)
    trials = store.trials(study.id)
    page = options.html or ensure_folder(store.path.parent / "reports") / f"{study.id}.html"
    html.write(page, study, trials, outcome)
    if options.csv is not None:
        csv.write(options.csv, study, trials)
    if options.as_json:
        click.echo(to_json(json_forms.study_json(study, trials, outcome), indent=2))
    else:
        terminal.show(study, trials, outcome, report=page)


class _Line:
    """One line that is written over and over: which trial, how many may follow, and how long that takes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, progress: Progress) -> None:
        if self._quiet:
            return
        stage = {"race": "finding the best", "final": "best against default", "pair": "comparing"}[
            progress.phase
        ]
        filled = 24 * progress.done // max(1, progress.done + progress.at_most)
        bar = "━" * filled + "─" * (24 - filled)
        number = progress.done + (progress.trial is None)
        line = f"{bar} trial {number}, {stage}: {progress.candidate}{self._left(progress)}"
        sys.stderr.write(f"\r\x1b[K{line[: _columns() - 1]}")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the terminal as it was."""
        if not self._quiet:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    @staticmethod
    def _left(progress: Progress) -> str:
        if progress.pace_s is None:
            return ""
        least, most = (duration_text(progress.pace_s * n) for n in (progress.at_least, progress.at_most))
        return f", {most} left" if least == most else f", {least} to {most} left"


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
