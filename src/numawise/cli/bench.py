"""`numawise bench [--quick|--full] [-- CMD ...]`: the einsum suite, or a command, under placement scenarios."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import click
import msgspec

from numawise.cli.shared.options import command_argument, selection_options, take_values
from numawise.cli.shared.selection import SELECTION, request_from, whole_number
from numawise.cli.shared.studies import (
    begin_or_resume,
    carry_out,
    finish,
    study_options,
    take_study_options,
)
from numawise.errors import UsageError
from numawise.experiment.records import BenchDesign, Candidate, Study
from numawise.experiment.store import Store
from numawise.experiment.study import Progress
from numawise.machine.topology import Topology

_ENV = [option for option in SELECTION if option.name == "env"]
_SECONDS = {"quick": 45.0, "full": 600.0}
"""Of trials of the built-in suite, unless --budget says otherwise: under a minute in all, and ten."""
_PASSES = {"quick": 0.2, "full": 0.4}
"""Seconds of forward passes in one trial."""
_MOST_TRIALS = 100_000

Suite = Literal["quick", "full"]


@click.command("bench", context_settings={"allow_interspersed_args": False})
@click.option(
    "--quick", "quick", is_flag=True, help="The scenarios that matter most, under a minute (default)."
)
@click.option(
    "--full", "full", is_flag=True, help="All scenarios, thread counts, layouts, methods and types."
)
@click.option(
    "--budget",
    metavar="N|60s|10m",
    help="Trials, or time for them, in all (default: 45s, with --full 10m; no limit with CMD).",
)
@click.option(
    "--max-blocks",
    type=click.IntRange(min=6, max=10_000),
    default=30,
    show_default=True,
    help="Rounds through all arms at most, after one warm-up.",
)
@click.option(
    "--only", multiple=True, metavar="ARM", help="Only the arms that fit, such as 'bind:*' or 'cpu:0 mem:1'."
)
@click.option("--threads", metavar="T,T", help="These thread counts (with --full: steps up to all CPUs).")
@click.option(
    "--tokens",
    type=click.IntRange(min=1, max=4096),
    default=1,
    show_default=True,
    help="Tokens in the built-in suite's batch.",
)
@click.option(
    "--scale",
    type=click.FloatRange(0, 4, min_open=True),
    help="Size of the built-in layer, 1 being 1 GiB of weights (default: eight times the caches).",
)
@selection_options(_ENV)
@click.option(
    "--log",
    "log_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a line for each trial as it ends to FILE (default: kept beside the run).",
)
@study_options
@command_argument
def command(
    *,
    quick: bool,
    full: bool,
    budget: str | None,
    max_blocks: int,
    only: tuple[str, ...],
    threads: str | None,
    tokens: int,
    scale: float | None,
    log_path: Path | None,
    command_line: tuple[str, ...],
    **given: Any,
) -> int:
    """Time a mixture-of-experts layer, or CMD, under the placements that matter here, and say what follows from it.

    Without CMD every operation of the built-in layer is timed: NumPy einsum, one matrix product per expert, and
    PyTorch where it is installed. All arms run in turn, never one after the other, until each is decided.
    """
    if quick and full:
        raise UsageError("--quick and --full: give one of them")
    suite: Suite = "full" if full else "quick"
    values = take_values(given, _ENV)
    options = take_study_options(given)
    if scale is not None and math.isnan(scale):
        raise UsageError("--scale takes a number above 0, at most 4, not nan")
    counts = (
        None if threads is None else tuple(whole_number("threads", t.strip()) for t in threads.split(","))
    )
    if not command_line and (options.metric or options.maximize or values):
        raise UsageError("--metric, --maximize and --env are for a command of your own; write it after --")

    from numawise.experiment.bench import suite as arms

    topology = _topology()
    own = bool(command_line)
    size = scale if scale is not None else arms.choose_scale(topology)
    if not own:
        command_line = arms.command_of(size, tokens, _PASSES[suite])
        options = msgspec.structs.replace(options, metric="json:seconds")
    trials, seconds = _budget(budget, None if own else _SECONDS[suite])
    if log_path is not None:
        if log_path.is_dir() or not log_path.resolve().parent.is_dir():
            raise UsageError(f"cannot write {log_path}: name a file in a folder that exists")
        _open(
            log_path, "a"
        ).close()  # what cannot be written is better known before than after the first trial
    left_out: dict[str, str] = {}

    def make() -> tuple[tuple[Candidate, ...], Topology, int]:
        if own:
            env = request_from(values, topology).env
            found = arms.of_command(topology, command_line, full=full, threads=counts, only=only, env=env)
        else:
            torch = _has_torch()
            found = arms.built_in(topology, full=full, scale=size, torch=torch, threads=counts, only=only)
        left_out.update(found.left_out)
        return found.candidates, topology, trials

    def complete(study: Study) -> Study:
        design = BenchDesign(
            suite=suite, built_in=not own, left_out=left_out, seconds=seconds, most_blocks=max_blocks
        )
        return msgspec.structs.replace(study, bench=design, settings={**study.settings, **_inherited()})

    with Store.open() as store:
        study = begin_or_resume(store, "bench", command_line, options, make, complete)
        if options.resume:
            _check_same(study, suite, make()[0] if only or counts else study.candidates)
        with _log(store, study, log_path) as log:
            outcome = carry_out(store, study, options, log)
        finish(store, study, outcome, options)
    return 0


def _check_same(study: Study, suite: Suite, asked: tuple[Candidate, ...]) -> None:
    """Refuse to go on with a run of other arms than are asked for now."""
    began, now = ([arm.name for arm in arms] for arms in (study.candidates, asked))
    was = study.bench.suite if study.bench is not None else suite
    if was == suite and began == now:
        return
    what = (
        f"is --{was}, not --{suite}"
        if was != suite
        else f"has the arms {'; '.join(began)}, not {'; '.join(now)}"
    )
    raise UsageError(
        f"run {study.id} {what}; go on with the options it was begun with, or start without --resume"
    )


def _topology() -> Topology:
    from numawise.machine import read

    return read("/")


def _has_torch() -> bool:
    from importlib.util import find_spec

    return find_spec("torch") is not None


def _inherited() -> dict[str, str]:
    """The memory policy that the default keeps, for the report and the rules."""
    from numawise.experiment.bench.rules.control import INHERITED
    from numawise.linux.own_policy import own_policy

    mode, nodes = own_policy()
    return {INHERITED: f"{mode}:{','.join(map(str, nodes))}" if nodes else mode}


def _budget(text: str | None, seconds: float | None) -> tuple[int, float | None]:
    """Trials there may be, and seconds of them."""
    if text is None:
        return _MOST_TRIALS, seconds
    if text.isascii() and text.isdigit() and 2 <= int(text) <= _MOST_TRIALS:
        return int(text), None
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        given = float(text[:-1]) * factor
    except ValueError:
        given = 0.0
    if not 0 < given < 1e7:
        raise UsageError(
            f"--budget takes a number of trials from 2 to {_MOST_TRIALS}, or a time such as 60s or 5m, not {text!r}"
        )
    return _MOST_TRIALS, given


def _open(path: Path, mode: str) -> TextIO:
    from numawise.linux.home import file_error

    try:
        return cast("TextIO", path.open(mode, encoding="utf-8", errors="replace"))
    except OSError as error:
        raise file_error("write", path, error) from None


class _log:  # noqa: N801  (used like a function)
    """Writes a line for every trial as it ends, those of before a resume first; see `report.bench_log`."""

    def __init__(self, store: Store, study: Study, path: Path | None) -> None:
        from numawise.linux.home import ensure_folder

        self._study = study
        self._before = store.trials(study.id)
        self.path = path or ensure_folder(store.path.parent / "logs") / f"{study.id}.log"
        self._file: TextIO | None = None
        self._line: Callable[..., str] = str

    def __enter__(self) -> _log:
        from numawise.report import bench_log

        self._line = bench_log.line
        self._file = _open(self.path, "w")
        self._write(bench_log.heading(self._study, time.time()))
        for trial in self._before:
            self._write(bench_log.line(trial))
        return self

    def __call__(self, progress: Progress) -> None:
        if progress.trial is not None:
            self._write(self._line(progress.trial))

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, text: str) -> None:
        from numawise.linux.home import file_error

        if self._file is None:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise file_error("write", self.path, error) from None
