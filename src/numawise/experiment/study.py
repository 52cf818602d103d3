"""A study from beginning to end: trials run or replayed, kept the moment they end, and judged.

`tune` and `compare` are deterministic given a seed and the values they were answered. So a study that was killed goes
on by replaying the trials that were kept: the algorithm asks for the same candidates in the same order, gets the same
answers, and the first question without a kept answer is where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

from numawise.errors import NumawiseError
from numawise.experiment import leftovers
from numawise.experiment.bench import run as bench
from numawise.experiment.compare import Ask, compare
from numawise.experiment.delivered import judged
from numawise.experiment.metric import Metric, as_cost
from numawise.experiment.predict.profile import single_node
from numawise.experiment.records import Candidate, Outcome, Study, Trial
from numawise.experiment.store import Store
from numawise.experiment.trial import Conditions, run_trial
from numawise.experiment.tune import TrialFailed, tune


class Progress(msgspec.Struct, frozen=True):
    """Where a study stands, for a progress bar: told before each trial (with `trial` None) and after it."""

    done: int
    at_least: int
    """Trials still to come if the comparison is clear at its first look."""
    at_most: int
    """Trials still to come at most."""
    candidate: str
    phase: Literal["race", "final", "pair"]
    pace_s: float | None
    """Seconds a trial took lately, on average; None before the first."""
    trial: Trial | None = None


Watch = Callable[[Progress], None]


def run_study(study: Study, store: Store, watch: Watch = lambda _: None) -> Outcome:
    """Run (or go on with) a study that `store` holds; how it ended, for the caller to keep (`Store.finish`).

    A study whose trials are all there is judged again, without running anything.

    Raises NumawiseError when the default (or an arm of a comparison) fails, KeyboardInterrupt when interrupted; what
    was measured until then stays kept.
    """
    leftovers.end(study.id)
    recorder = _Recorder(study, store, watch)
    if study.kind == "bench":
        return bench.carry_out(study, recorder)
    return _tune(study, recorder) if study.kind == "tune" else _compare(study, recorder)


class _Recorder:
    """Answers an algorithm's questions: from what was kept as long as there is any, then by running trials."""

    def __init__(self, study: Study, store: Store, watch: Watch) -> None:
        self._study, self._store, self._watch = study, store, watch
        self.trials = list(store.trials(study.id))
        self._ask = Ask(number=0, index=0, phase="race", step=0, at_least=0, at_most=0)
        self._conditions = Conditions(
            command=study.command,
            metric=Metric(study.metric, study.maximize),
            topology=study.topology,
            timeout_s=study.timeout_s,
            cold_files=study.cold_files,
            env={leftovers.MARK: study.id},
            figures=study.kind == "bench",
        )

    def before(self, ask: Ask) -> None:
        """Hear what the algorithm is about to ask."""
        self._ask = ask

    def cost(self, candidate: Candidate) -> float:
        """The value of one more trial of `candidate`, lower is better. Raises TrialFailed."""
        number = self._ask.number
        if number < len(self.trials):
            trial = self.trials[number]
            if (trial.number, trial.candidate) != (number, candidate.name):
                raise NumawiseError(
                    f"run {self._study.id} cannot go on: its trial {trial.number} was of {trial.candidate}, and this "
                    f"version of numawise asks for {candidate.name} there; start a new run"
                )
        else:
            trial = self._run(number, candidate)
        if trial.status != "ok" or trial.value is None:
            raise TrialFailed(trial.tail or trial.status)
        return as_cost(self._conditions.metric, trial.value)

    def keep_refusal(self, candidate: Candidate, why: str) -> None:
        """Keep a trial that the system did not let begin, so that the ones after it have their numbers."""
        self._keep(
            Trial(
                number=self._ask.number,
                candidate=candidate.name,
                phase=self._ask.phase,
                status="failed",
                value=None,
                seconds=0.0,
                started=time.time(),
                tail=why,
            )
        )

    def _run(self, number: int, candidate: Candidate) -> Trial:
        self._tell(candidate, None)
        trial = run_trial(number, candidate, self._ask.phase, self._conditions)
        return self._keep(trial)

    def _keep(self, trial: Trial) -> Trial:
        self._store.add_trial(self._study.id, trial)
        self.trials.append(trial)
        self._tell(next(c for c in self._study.candidates if c.name == trial.candidate), trial)
        return trial

    def _tell(self, candidate: Candidate, trial: Trial | None) -> None:
        recent = [t.seconds for t in self.trials[-20:]]
        ended = trial is not None
        self._watch(
            Progress(
                done=len(self.trials),
                at_least=self._ask.at_least - ended,
                at_most=self._ask.at_most - ended,
                candidate=candidate.name,
                phase=self._ask.phase,
                pace_s=sum(recent) / len(recent) if recent else None,
                trial=trial,
            )
        )


def _compare(study: Study, recorder: _Recorder) -> Outcome:
    first, second = study.candidates
    try:
        verdict = compare(
            lambda: recorder.cost(first),
            lambda: recorder.cost(second),
            alpha=study.alpha,
            delta=study.delta,
            max_pairs=study.budget // 2 - 1,
            seed=study.seed,
            before=recorder.before,
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


def _tune(study: Study, recorder: _Recorder) -> Outcome:
    default = next(c for c in study.candidates if c.name == study.default)
    result = tune(
        study.candidates,
        recorder.cost,
        default=default,
        budget=study.budget,
        alpha=study.alpha,
        delta=study.delta,
        seed=study.seed,
        before=recorder.before,
        expected=[candidate.expected for candidate in study.candidates],
        keep=single_node(study.candidates),
    )
    winner = study.candidates[result.winner_index]
    verdict = judged(result.verdict, (default, winner), recorder.trials)
    best = winner if verdict.kind == "better" else default
    return Outcome(
        best=best.name,
        verdict=verdict,
        winner=winner.name,
        trials=len(recorder.trials),
        failed={study.candidates[i].name: why for i, why in result.failed.items()},
        not_tried={
            candidate.name: candidate.expected.ratio
            for candidate in (study.candidates[i] for i in result.not_tried)
            if candidate.expected is not None
        },
    )
