"""A bench study from its first trial to its outcome: the blocks' questions answered by a recorder, run or replayed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

from numawise.errors import NotPermittedError, UsageError
from numawise.experiment.bench.blocks import Finish, Task, bench_steps
from numawise.experiment.compare import Ask
from numawise.experiment.delivered import judged
from numawise.experiment.records import BenchDesign, Candidate, Outcome, Study, Trial, Verdict
from numawise.experiment.search import TrialFailed
from numawise.experiment.sequential import checked_value

SAME_WORK = ("placement", "threads", "placement x threads")
"""Axes on which the same program does the same work: what is faster there is a placement to use."""

_GAP = 2.0
"""Seconds between two trials that count at most: what is longer was a pause between a kill and a resume."""


class Recorder(Protocol):
    """What runs trials, or gives the kept ones again."""

    trials: list[Trial]

    def before(self, ask: Ask) -> None:
        """Hear what is asked next."""

    def cost(self, candidate: Candidate) -> float:
        """The value of one more trial, lower is better. Raises TrialFailed."""

    def keep_refusal(self, candidate: Candidate, why: str) -> None:
        """Keep that the trial asked for could not begin."""


def carry_out(study: Study, recorder: Recorder) -> Outcome:
    """Run (or replay) a bench study and judge it.

    Raises NumawiseError when the default fails; what else ends a run, such as KeyboardInterrupt, passes through.
    """
    design = study.bench or BenchDesign(suite="quick", built_in=False)
    task = Task(
        against=references(study),
        alpha=study.alpha,
        delta=study.delta,
        budget=study.budget,
        seconds=design.seconds,
        most_blocks=design.most_blocks,
    )
    steps = bench_steps(task, random.Random(study.seed), lambda number: spent(recorder.trials[:number]))
    answer: float | TrialFailed | None = None
    while True:
        try:
            ask = next(steps) if answer is None else steps.send(answer)
        except StopIteration as done:
            return _outcome(study, recorder.trials, done.value)
        recorder.before(ask)
        answer = _answer(study.candidates[ask.index], recorder, ask.number)


def references(study: Study) -> tuple[int, ...]:
    """For each candidate the position of the one it is judged against; its own where it is only a reference."""
    places = {candidate.name: i for i, candidate in enumerate(study.candidates)}
    return tuple(places.get(candidate.against, i) for i, candidate in enumerate(study.candidates))


def spent(trials: Sequence[Trial]) -> float:
    """Seconds these trials took, with what went by between them; a pause of the whole study is not counted."""
    between = (
        min(max(later.started - earlier.started - earlier.seconds, 0.0), _GAP)
        for earlier, later in pairwise(trials)
    )
    return sum(trial.seconds for trial in trials) + sum(between)


def _answer(candidate: Candidate, recorder: Recorder, number: int) -> float | TrialFailed:
    try:
        value = checked_value(recorder.cost(candidate), candidate.name)
    except TrialFailed as failure:
        return failure
    except (NotPermittedError, UsageError) as error:
        if number == 0 or len(recorder.trials) != number:
            raise
        recorder.keep_refusal(candidate, str(error))  # the default could begin, so it is this placement
        return TrialFailed(str(error))
    refused = [note for note in recorder.trials[number].notes if "NOT placed" in note or "not bound" in note]
    return TrialFailed(f"not permitted: {refused[0]}") if refused else value


def _outcome(study: Study, trials: Sequence[Trial], finish: Finish) -> Outcome:
    arms = study.candidates
    against = references(study)
    verdicts = {
        arms[i].name: judged(verdict, (arms[against[i]], arms[i]), trials)
        for i, verdict in finish.verdicts.items()
    }
    winner = _winner(study, verdicts)
    verdict = verdicts.get(winner) or Verdict(
        kind="equivalent", ratio=1.0, low=1.0, high=1.0, pairs=0, reason="no other placement was compared"
    )
    return Outcome(
        best=winner if verdict.kind == "better" else study.default,
        verdict=verdict,
        winner=winner,
        trials=finish.trials,
        failed={arms[i].name: why for i, why in finish.failed.items()},
        verdicts=verdicts,
        left_out={arms[i].name: why for i, why in finish.left_out.items()},
        alpha_per_arm=finish.alpha_per_arm,
    )


def _winner(study: Study, verdicts: dict[str, Verdict]) -> str:
    """The placement shown furthest ahead of the default; where none is, the one nearest to that."""
    met = [c.name for c in study.candidates if c.against == study.default and c.axis in SAME_WORK]
    known = [name for name in met if name in verdicts and verdicts[name].kind != "not-delivered"]
    ahead = [name for name in known if verdicts[name].kind == "better"]
    key: Callable[[str], float] = lambda name: verdicts[name].ratio  # noqa: E731
    return min(ahead or known, key=key, default=study.default)
