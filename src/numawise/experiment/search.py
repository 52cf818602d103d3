"""The search behind `tune`: a race in blocks, then its winner against the default on new runs."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence

import msgspec

from numawise.errors import NumawiseError
from numawise.experiment.compare import Ask, compare_steps
from numawise.experiment.halving import (
    Block,
    Policy,
    noise,
    pairs_needed,
    resolved,
    scores,
    survivors,
)
from numawise.experiment.records import Verdict
from numawise.experiment.sequential import estimate, first_look, verdict_of


class TrialFailed(NumawiseError):  # noqa: N818  # says what happened to a trial; an event as much as an error
    """Raised by `run` to say that this candidate does not work; it leaves the race."""


class Finish(msgspec.Struct, frozen=True):
    """What a search found, by index."""

    best: int
    winner: int
    verdict: Verdict
    trials: int
    failed: dict[int, str]


class Task(msgspec.Struct, frozen=True):
    """What is searched, and within which limits."""

    count: int
    default: int
    budget: int
    alpha: float
    delta: float
    policy: Policy


Steps = Generator[Ask, "float | TrialFailed", Finish]


class Search:
    """One search: who is still in it, what was measured, what is left of the budget."""

    def __init__(self, task: Task, rng: random.Random) -> None:
        self._task, self._rng = task, rng
        self._challengers = [index for index in range(task.count) if index != task.default]
        self._ranking = list(self._challengers)  # best first; those dropped early come last
        self._blocks: list[Block] = []
        self._trials = 0
        self._failed: dict[int, str] = {}

    def steps(self) -> Steps:
        """Yield what to run, be sent its value (or how it failed), and return what came out."""
        warm_up = len(self._challengers) < 2  # a race has warmed the machine already
        if not warm_up:
            yield from self._race()
        while standing := [index for index in self._ranking if index not in self._failed]:
            max_pairs = self._left // 2 - warm_up
            if max_pairs < first_look(self._task.alpha):
                unknown = estimate([], self._task.alpha)
                reason = "the budget was used up before the final comparison could say anything"
                return self._finish(standing[0], verdict_of(unknown, "inconclusive", reason))
            verdict = yield from self._final(standing[0], max_pairs, warm_up)
            if verdict is not None:
                return self._finish(standing[0], verdict)
        reason = "every other candidate failed" if self._failed else "the default is the only candidate"
        nothing = Verdict(kind="equivalent", ratio=1.0, low=1.0, high=1.0, pairs=0, reason=reason)
        return self._finish(self._task.default, nothing)

    def _finish(self, winner: int, verdict: Verdict) -> Finish:
        return Finish(
            best=winner if verdict.kind == "better" else self._task.default,
            winner=winner,
            verdict=verdict,
            trials=self._trials,
            failed=dict(self._failed),
        )

    @property
    def _left(self) -> int:
        return self._task.budget - self._trials

    def _race(self) -> Generator[Ask, float | TrialFailed, None]:
        """Run blocks until one challenger stands out, or what is left is needed for the final comparison."""
        policy = self._task.policy
        first_keep = 0
        while True:
            yield from self._block()
            if not self._challengers:
                return
            sigma = noise(self._blocks, policy)
            score = scores(self._blocks, [*self._challengers, self._task.default], sigma, policy)
            order = sorted(self._challengers, key=score.__getitem__)
            self._ranking = order + [index for index in self._ranking if index not in score]
            first_keep = first_keep or min(len(order), round(self._left / policy.runs_per_survivor))
            self._challengers = survivors(order, score, len(self._blocks), sigma, first_keep, policy)
            if len(self._challengers) < 2 or resolved(len(self._blocks), sigma, self._task.delta):
                return
            if self._left - len(self._challengers) - 1 < 2 * self._final_pairs(order, score, sigma):
                return

    def _final_pairs(self, order: Sequence[int], score: dict[int, float], sigma: float) -> int:
        """Pairs to keep back for the final comparison, from how far the default is behind the leaders."""
        task, policy = self._task, self._task.policy
        leaders = order[:3]
        gap = score[task.default] - sum(score[index] for index in leaders) / len(leaders)
        gap -= policy.luck_sigmas * sigma / math.sqrt(len(self._blocks))
        pair_sigma = policy.spike_factor * math.sqrt(2) * sigma
        least = max(policy.least_final_pairs, first_look(task.alpha))
        most = int(policy.most_final_share * task.budget)
        return max(least, pairs_needed(gap, pair_sigma, task.alpha, policy.sure_sigmas, most=most))

    def _block(self) -> Generator[Ask, float | TrialFailed, None]:
        """Every candidate still in the race once, in random order."""
        order = [*self._challengers, self._task.default]
        self._rng.shuffle(order)
        block = {}
        for place, index in enumerate(order):
            value = yield Ask(
                number=self._trials,
                index=index,
                phase="race",
                step=len(self._blocks) + 1,
                at_least=len(order) - place + 2 * first_look(self._task.alpha),
                at_most=self._left,
            )
            self._trials += 1
            if isinstance(value, TrialFailed):
                self._drop(index, value)
            else:
                block[index] = math.log(value)
        self._blocks.append(block)

    def _final(
        self, winner: int, max_pairs: int, warm_up: bool
    ) -> Generator[Ask, float | TrialFailed, Verdict | None]:
        """The winner against the default, on fresh runs only; None when the winner failed in it."""
        task, start = self._task, self._trials
        pairs = compare_steps(
            self._rng, alpha=task.alpha, delta=task.delta, max_pairs=max_pairs, warm_up=warm_up
        )
        try:
            ask = next(pairs)
            while True:
                index = winner if ask.index == 1 else task.default
                number = start + ask.number
                value = yield msgspec.structs.replace(ask, number=number, index=index, phase="final")
                self._trials += 1
                if isinstance(value, TrialFailed):
                    self._drop(index, value)
                    return None
                ask = pairs.send(value)
        except StopIteration as done:
            verdict: Verdict = done.value
            return verdict

    def _drop(self, index: int, failure: TrialFailed) -> None:
        if index == self._task.default:
            raise NumawiseError(
                f"the default failed, so there is nothing to judge others against: {failure}"
            ) from failure
        self._failed[index] = str(failure)
        self._challengers = [other for other in self._challengers if other != index]
