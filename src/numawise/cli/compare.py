"""`numawise compare --arm SEL --arm SEL -- CMD ...`: is one placement really better?"""

from __future__ import annotations

import shlex
from typing import Any

import click

from numawise.cli.shared.options import command_argument
from numawise.cli.shared.resolve import resolve
from numawise.cli.shared.selection import parse_words
from numawise.cli.shared.studies import begin_or_resume, carry_out, finish, study_options, take_study_options
from numawise.errors import UsageError
from numawise.experiment.records import Candidate, Study
from numawise.machine.topology import Topology


@click.command("compare", context_settings={"allow_interspersed_args": False})
@click.option(
    "--arm", "arms", multiple=True, metavar="SEL",
    help="An arm: `default`, or selection options in quotes such as \"--node 0\". One arm meets the default.",
)  # fmt: skip
@click.option(
    "--max-pairs",
    type=click.IntRange(min=6, max=10_000),
    default=30,
    show_default=True,
    help="Pairs at most, after one warm-up.",
)
@study_options
@command_argument
def command(arms: tuple[str, ...], max_pairs: int, command_line: tuple[str, ...], **given: Any) -> int:
    """Run CMD under two placements in turn until one is shown better, both are shown equal, or the pairs run out.

    Exit code 0: better, equivalent or inconclusive; 1: the second arm is worse, or was not delivered.
    """
    from numawise.experiment.store import Store

    options = take_study_options(given)
    if not command_line:
        raise UsageError("no command to compare with; write it after --")
    if not 1 <= len(arms) <= 2:
        raise UsageError(f"compare takes one or two --arm (one meets the default), not {len(arms)}")

    def make() -> tuple[tuple[Candidate, ...], Topology, int]:
        from numawise.machine import read

        topology = read("/")
        named = [candidate(words, topology) for words in (arms if len(arms) == 2 else ("default", *arms))]
        if named[0].name == named[1].name or named[0].plan.placements == named[1].plan.placements:
            raise UsageError(f"both arms are the same placement: {named[0].name} and {named[1].name}")
        return tuple(named), topology, 2 * (max_pairs + 1)

    with Store.open() as store:
        study = begin_or_resume(store, "compare", command_line, options, make)
        if options.resume:
            _check_arms(study, arms)
        outcome = carry_out(store, study, options)
        finish(store, study, outcome, options)
    return 1 if outcome.verdict.kind in ("worse", "not-delivered") else 0


def _check_arms(study: Study, arms: tuple[str, ...]) -> None:
    asked = [
        shlex.join(_split(words)) or "default" for words in (arms if len(arms) == 2 else ("default", *arms))
    ]
    began = [one.name for one in study.candidates]
    if asked != began:
        raise UsageError(
            f"run {study.id} compares {' with '.join(began)}, not {' with '.join(asked)}; "
            "go on with the arms it was begun with, or start without --resume"
        )


def _split(words: str) -> list[str]:
    try:
        split = shlex.split(words)
    except ValueError as error:
        raise UsageError(f"--arm {words!r}: {error}") from None
    return [] if split == ["default"] else split


def candidate(words: str, topology: Topology) -> Candidate:
    """The arm that `words` describe. Raises UsageError for words that are no selection."""
    split = _split(words)
    values, rest = parse_words(split)
    if rest:
        raise UsageError(f"--arm {words!r}: {rest[0]!r} is no selection option; see numawise run --help")
    placed = resolve(values, topology)
    first = placed.placements[0]
    return Candidate(
        name=shlex.join(split) or "default",
        plan=placed,
        policy=first.memory.mode,
        workers=first.workers,
        threads=first.threads,
        smt="no-smt" not in values,
        thp=first.thp,
    )
