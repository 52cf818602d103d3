"""`tune`: the best of many candidates, and whether it is really better than the default."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import msgspec

from numawise.errors import NumawiseError, UsageError
from numawise.experiment.compare import Ask, compare_steps
from numawise.experiment.halving import (
    DEFAULT_POLICY,
    Block,
    Policy,
    noise,
    pairs_needed,
    resolved,
    scores,
    survivors,
)
from numawise.experiment.records import Verdict
from numawise.experiment.sequential import checked_levels, checked_value, estimate, first_look, verdict_of

T = TypeVar("T")


class TrialFailed(NumawiseError):  # noqa: N818  # says what happened to the trial; it is an event as much as an error
    """Raised by `run` to say that this candidate does not work; it leaves the race."""


class TuneResult(msgspec.Struct, frozen=True):
    """What came out of `tune`."""

    best: object
    """The candidate to use: the default unless another was shown better."""
    best_index: int
    winner: object
    """The candidate that met the default in the final comparison (the default itself if nobody was left to)."""
    winner_index: int
    verdict: Verdict
    """Winner against default."""
    trials: int
    """Calls of `run`, failed ones included."""
    failed: dict[int, str] = {}
    """Candidates that left the race, by index, and why."""


class Finish(msgspec.Struct, frozen=True):
    """The same by index, as `tune_steps` returns it."""

    best: int
    winner: int
    verdict: Verdict
    trials: int
    failed: dict[int, str]


Steps = Generator[Ask, "float | TrialFailed", Finish]


def tune(
    candidates: Sequence[T],
    run: Callable[[T], float],
    *,
    default: T,
    budget: int,
    alpha: float = 0.05,
    delta: float = 0.02,
    seed: int = 0,
    before: Callable[[Ask], None] | None = None,
) -> TuneResult:
    """Find the best of `candidates` and compare it with `default`; nothing but `run` is called.

    A race first: every candidate once in random order (a block), the slow ones dropped, the rest again, and so on;
    the default is in every block. Then the winner meets the default in a comparison as in `compare`, on new runs only,
    so that being lucky in the race proves nothing. How many runs the race may take is decided on the way: far from
    the default a few pairs will do, close to it the comparison needs most of what is left.

    Args:
        candidates: what may be chosen, any objects; told apart by position.
        run: gives one measured value of a candidate, lower is better: positive, finite, any unit. It may raise
            `TrialFailed` to say that the candidate does not work.
        default: one of the candidates, by identity or equality: what is used today.
        budget: the most calls of `run` in all, the final comparison and failed calls included.
        alpha: chance of calling the winner better (or worse) than a default it only equals.
        delta: relative difference that does not matter.
        seed: decides the order. The same seed and the same values give the same calls and the same result, so a
            stopped search is resumed by answering with the recorded values (or failures) first.
        before: called before each run with what it is and how much may follow.

    Returns:
        A `TuneResult`; `best` is the default unless the verdict is `better`.

    Raises:
        UsageError: an argument that cannot be meant (the message names the smallest budget), or a value that is not
            a positive finite number.
        NumawiseError: the default itself failed, so there is nothing to judge against.
        Whatever else run or before raises.

    >>> speeds = {"default": 1.0, "bind": 0.8, "interleave": 1.3}
    >>> result = tune(list(speeds), speeds.__getitem__, default="default", budget=40)
    >>> result.best, result.verdict.kind, round(result.verdict.ratio, 2)
    ('bind', 'better', 0.8)
    """
    steps = tune_steps(
        len(candidates), _position(candidates, default), budget=budget, alpha=alpha, delta=delta, seed=seed
    )
    answer: float | TrialFailed | None = None
    while True:
        try:
            ask = next(steps) if answer is None else steps.send(answer)
        except StopIteration as done:
            finish: Finish = done.value
            break
        if before is not None:
            before(ask)
        try:
            answer = checked_value(run(candidates[ask.index]), f"candidate {ask.index}")
        except TrialFailed as failure:
            answer = failure
    return TuneResult(
        best=candidates[finish.best],
        best_index=finish.best,
        winner=candidates[finish.winner],
        winner_index=finish.winner,
        verdict=finish.verdict,
        trials=finish.trials,
        failed=finish.failed,
    )


def least_budget(candidates: int, alpha: float = 0.05) -> int:
    """The smallest budget for so many candidates: one block of all and a comparison up to its first look.

    Two candidates need no race, but a warm-up pair. One needs no run.

    >>> least_budget(48), least_budget(2), least_budget(1)
    (60, 14, 0)
    """
    if candidates <= 1:
        return 0
    return (2 if candidates == 2 else candidates) + 2 * first_look(alpha)


def tune_steps(
    count: int,
    default: int,
    *,
    budget: int,
    alpha: float = 0.05,
    delta: float = 0.02,
    seed: int = 0,
    policy: Policy = DEFAULT_POLICY,
) -> Steps:
    """The search turned inside out: yields which candidate to run, is sent its value, returns a `Finish`.

    Values sent are positive finite floats (`checked_value`), or the `TrialFailed` a candidate ended with. Raises
    UsageError for arguments that cannot be meant (when first advanced), NumawiseError when the default fails.
    """
    checked_levels(alpha, delta)
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < least_budget(count, alpha):
        raise UsageError(
            f"a budget of {budget!r} runs is too small for {count} candidates: give at least "
            f"{least_budget(count, alpha)} (each once, and {first_look(alpha)} pairs against the default), "
            f"or fewer candidates"
        )
    search = _Search(count, default, budget, alpha, delta, random.Random(seed), policy)
    return (yield from search.steps())


class _Search:
    """State of one search: who is still in it, what was measured, what is left of the budget."""

    def __init__(
        self,
        count: int,
        default: int,
        budget: int,
        alpha: float,
        delta: float,
        rng: random.Random,
        policy: Policy,
    ) -> None:
        self._default, self._budget, self._alpha, self._delta = default, budget, alpha, delta
        self._rng, self._policy = rng, policy
        self._challengers = [index for index in range(count) if index != default]
        self._ranking: list[int] = list(self._challengers)  # best first; those dropped earliest come last
        self._blocks: list[Block] = []
        self._trials = 0
        self._failed: dict[int, str] = {}
        self._final_least = 2 * first_look(alpha)

    def steps(self) -> Steps:
        warm_up = len(self._challengers) < 2  # a race has warmed the machine already
        if not warm_up:
            yield from self._race()
        while standing := [index for index in self._ranking if index not in self._failed]:
            max_pairs = (self._budget - self._trials) // 2 - warm_up
            if 2 * max_pairs < self._final_least:
                why = "the budget was used up before the final comparison could say anything"
                return self._finish(standing[0], verdict_of(estimate([], self._alpha), "inconclusive", why))
            verdict = yield from self._final(standing[0], max_pairs, warm_up)
            if verdict is not None:
                return self._finish(standing[0], verdict)
        why = "every other candidate failed" if self._failed else "the default is the only candidate"
        nothing = Verdict(kind="equivalent", ratio=1.0, low=1.0, high=1.0, pairs=0, reason=why)
        return self._finish(self._default, nothing)

    def _finish(self, winner: int, verdict: Verdict) -> Finish:
        best = winner if verdict.kind == "better" else self._default
        return Finish(
            best=best, winner=winner, verdict=verdict, trials=self._trials, failed=dict(self._failed)
        )

    def _race(self) -> Generator[Ask, float | TrialFailed, None]:
        """Run blocks until one challenger stands out, or what is left is needed for the final comparison."""
        first_keep = 0
        while True:
            yield from self._block()
            if not self._challengers:
                return
            alive = [*self._challengers, self._default]
            sigma = noise(self._blocks, self._policy)
            score = scores(self._blocks, alive, sigma, self._policy)
            order = sorted(self._challengers, key=score.__getitem__)
            self._ranking = order + [index for index in self._ranking if index not in score]
            left = self._budget - self._trials
            first_keep = first_keep or min(len(order), round(left / self._policy.runs_per_survivor))
            done = len(self._blocks)
            self._challengers = survivors(order, score, done, sigma, first_keep, self._policy)
            if len(self._challengers) < 2 or resolved(done, sigma, self._delta):
                return
            if left - len(self._challengers) - 1 < 2 * self._final_pairs(order, score, sigma):
                return

    def _final_pairs(self, order: Sequence[int], score: dict[int, float], sigma: float) -> int:
        """Pairs to keep back for the final comparison, judging by how far the default is behind the leaders."""
        policy = self._policy
        leaders = order[:3]
        gap = score[self._default] - sum(score[index] for index in leaders) / len(leaders)
        gap -= policy.luck_sigmas * sigma / math.sqrt(len(self._blocks))
        least = max(policy.least_final_pairs, self._final_least // 2)
        most = max(least, int(policy.most_final_share * self._budget))
        pair_sigma = policy.spike_factor * math.sqrt(2) * sigma
        return pairs_needed(gap, pair_sigma, self._alpha, least, most, policy.sure_sigmas)

    def _block(self) -> Generator[Ask, float | TrialFailed, None]:
        order = [*self._challengers, self._default]
        self._rng.shuffle(order)
        block = {}
        for place, index in enumerate(order):
            value = yield Ask(
                number=self._trials,
                index=index,
                phase="race",
                step=len(self._blocks) + 1,
                at_least=len(order) - place + self._final_least,
                at_most=self._budget - self._trials,
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
        """The winner against the default on fresh runs; None when the winner failed in it."""
        start = self._trials
        pairs = compare_steps(
            self._rng, alpha=self._alpha, delta=self._delta, max_pairs=max_pairs, warm_up=warm_up
        )
        try:
            ask = next(pairs)
            while True:
                index = winner if ask.index == 1 else self._default
                value = yield msgspec.structs.replace(
                    ask, number=start + ask.number, index=index, phase="final"
                )
                self._trials += 1
                if isinstance(value, TrialFailed):
                    self._drop(index, value)
                    return None
                ask = pairs.send(value)
        except StopIteration as done:
            verdict: Verdict = done.value
            return verdict

    def _drop(self, index: int, failure: TrialFailed) -> None:
        if index == self._default:
            raise NumawiseError(
                f"the default failed, so there is nothing to judge others against: {failure}"
            ) from failure
        self._failed[index] = str(failure)
        self._challengers = [other for other in self._challengers if other != index]


def _position(candidates: Sequence[T], default: T) -> int:
    for index, candidate in enumerate(candidates):
        if candidate is default:
            return index
    for index, candidate in enumerate(candidates):
        try:
            if bool(candidate == default):
                return index
        except (TypeError, ValueError):  # arrays and the like have no single answer: not equal
            continue
    raise UsageError(f"the default {default!r:.80} is not among the {len(candidates)} candidates")
