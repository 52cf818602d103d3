"""A study from beginning to end: trials run or replayed, kept the moment they end, and judged.

`tune` and `compare` are deterministic given a seed and the values they were answered. So a study that was killed goes on
by replaying the trials that were kept: the algorithm asks for the same candidates in the same order, gets the same
answers, and the first question without a kept answer is where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

from numawise.errors import NumawiseError
from numawise.experiment import leftovers
from numawise.experiment.compare import compare
from numawise.experiment.delivered import judged
from numawise.experiment.metric import Metric, as_cost
from numawise.experiment.records import Candidate, Outcome, Study, Trial
from numawise.experiment.store import Store
from numawise.experiment.trial import Conditions, run_trial
from numawise.experiment.tune import TrialFailed, tune

Phase = Literal["race", "final", "pair"]


class Progress(msgspec.Struct, frozen=True):
    """Where a study stands, for a progress bar: told before each trial (with `trial` None) and after it."""

    done: int
    at_most: int
    """Trials there can be in all; a comparison that is clear early ends before."""
    candidate: str
    phase: Phase
    seconds_left: float | None
    """At most, at the pace of the trials so far; None before the first."""
    trial: Trial | None = None


Watch = Callable[[Progress], None]


def run_study(study: Study, store: Store, watch: Watch = lambda _: None) -> Outcome:
    """Run (or go on with) a study that `store` holds, and keep its outcome.

    Raises NumawiseError when the default (or an arm of a comparison) fails, KeyboardInterrupt when interrupted; what was
    measured until then stays kept.
    """
    leftovers.end(store, study.id)
    recorder = _Recorder(study, store, watch)
    outcome = _tune(study, recorder) if study.kind == "tune" else _compare(study, recorder)
    store.finish(study.id, outcome)
    return outcome


class _Recorder:
    """Answers an algorithm's questions: from what was kept as long as there is any, then by running trials."""

    def __init__(self, study: Study, store: Store, watch: Watch) -> None:
        self._study, self._store, self._watch = study, store, watch
        self.trials = list(store.trials(study.id))
        self._answered = 0
        self._conditions = Conditions(
            command=study.command,
            metric=Metric(study.metric, study.maximize),
            topology=study.topology,
            timeout_s=study.timeout_s,
            cold_files=study.cold_files,
        )

    def cost(self, candidate: Candidate, phase: Phase) -> float:
        """The value of one more trial of `candidate`, lower is better. Raises TrialFailed."""
        number = self._answered
        if number < len(self.trials):
            trial = self.trials[number]
            if (trial.number, trial.candidate) != (number, candidate.name):
                raise NumawiseError(
                    f"run {self._study.id} cannot go on: its trial {trial.number} was of {trial.candidate}, this version of "
                    f"numawise asks for {candidate.name} there; start a new run"
                )
        else:
            trial = self._run(number, candidate, phase)
        self._answered += 1
        if trial.status != "ok" or trial.value is None:
            raise TrialFailed(trial.tail or trial.status)
        return as_cost(self._conditions.metric, trial.value)

    def _run(self, number: int, candidate: Candidate, phase: Phase) -> Trial:
        self._tell(candidate, phase, None)
        trial = run_trial(
            number,
            candidate,
            phase,
            self._conditions,
            started=lambda process: leftovers.mark(self._store, self._study.id, number, candidate.name, process),
        )
        self._store.add_trial(self._study.id, trial)
        self.trials.append(trial)
        self._tell(candidate, phase, trial)
        return trial

    def _tell(self, candidate: Candidate, phase: Phase, trial: Trial | None) -> None:
        recent = [t.seconds for t in self.trials[-20:]]
        left = self._study.budget - len(self.trials)
        pace = sum(recent) / len(recent) if recent else None
        self._watch(
            Progress(
                done=len(self.trials),
                at_most=self._study.budget,
                candidate=candidate.name,
                phase=phase,
                seconds_left=None if pace is None else pace * left,
                trial=trial,
            )
        )


def _compare(study: Study, recorder: _Recorder) -> Outcome:
    first, second = study.candidates
    try:
        verdict = compare(
            lambda: recorder.cost(first, "pair"),
            lambda: recorder.cost(second, "pair"),
            alpha=study.alpha,
            delta=study.delta,
            max_pairs=study.budget // 2 - 1,
            seed=study.seed,
        )
    except TrialFailed as error:
        failed = recorder.trials[-1].candidate
        raise NumawiseError(f"arm {failed} failed, so there is nothing to compare: {error}") from None
    verdict = judged(verdict, study.candidates, recorder.trials)
    return Outcome(
        best=second.name if verdict.kind == "better" else first.name,
        verdict=verdict,
        winner=second.name,
        trials=len(recorder.trials),
    )
