"""`tune`: the best of many candidates, and whether it is really better than the default."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import msgspec

from numawise.errors import UsageError
from numawise.experiment.compare import Ask
from numawise.experiment.halving import DEFAULT_POLICY, Policy
from numawise.experiment.records import Expectation, Verdict
from numawise.experiment.search import Finish, Search, Steps, Task, TrialFailed
from numawise.experiment.sequential import checked_levels, checked_value, first_look

__all__ = ["TrialFailed", "TuneResult", "least_budget", "tune", "tune_steps"]

T = TypeVar("T")


class TuneResult(msgspec.Struct, frozen=True):
    """What came out of `tune`."""

    best: object
    """The candidate to use: the default unless another was shown better."""
    best_index: int
    winner: object
    """Who met the default in the final comparison (the default itself if nobody was left to)."""
    winner_index: int
    verdict: Verdict
    """Winner against default."""
    trials: int
    """Calls of `run`, failed ones included."""
    failed: dict[int, str] = {}
    """Candidates that left the race, by index, and why."""
    not_tried: tuple[int, ...] = ()
    """Candidates that never ran, by index: expected to be slow by a prediction that proved right for others."""


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
    expected: Sequence[Expectation | None] | None = None,
    keep: Sequence[T] = (),
) -> TuneResult:
    """Find the best of `candidates` and compare it with `default`; nothing but `run` is called.

    A race first: every candidate once in random order (a block), the slow ones dropped, the rest again, and
    so on; the default is in every block. Then the winner meets the default in a comparison as in `compare`,
    on new runs only, so that being lucky in the race proves nothing. Close to the default that comparison
    needs most of what is left, so it starts early with one challenger; far from it up to four challengers
    meet the default in the same blocks, sharing alpha equally, which also shows the best of them.

    Args:
        candidates: what may be chosen, any objects; told apart by position.
        run: gives one measured value of a candidate, lower is better: positive, finite, any unit. It may
            raise `TrialFailed` to say that the candidate does not work.
        default: one of the candidates, by identity or equality: what is used today.
        budget: the most calls of `run` in all, the final comparison and failed calls included.
        alpha: chance of calling the winner better (or worse) than a default it only equals.
        delta: relative difference that does not matter.
        seed: decides the order. The same seed and the same values give the same calls and the same result, so
            a stopped search is resumed by answering with the recorded values (or failures) first.
        before: called before each run with what it is and how much may follow.
        expected: for each candidate its expected time over the default's, or None. It is held against the first
            runs; where it proves right, candidates it leaves without hope are not run and the others' values are
            drawn towards it; where it proves wrong, it is forgotten (`numawise.experiment.prior`).
        keep: candidates that are run whatever is expected of them; the default always is.

    Returns:
        A `TuneResult`; `best` is the default unless the verdict is `better`.

    Raises:
        UsageError: an argument that cannot be meant (the message names the smallest budget), or a value
            that is not a positive finite number.
        NumawiseError: the default itself failed, so there is nothing to judge against.
        Whatever else run or before raises.

    >>> speeds = {"default": 1.0, "bind": 0.8, "interleave": 1.3}
    >>> result = tune(list(speeds), speeds.__getitem__, default="default", budget=40)
    >>> result.best, result.verdict.kind, round(result.verdict.ratio, 2)
    ('bind', 'better', 0.8)
    """
    steps = tune_steps(
        len(candidates),
        _position(candidates, default),
        budget=budget,
        alpha=alpha,
        delta=delta,
        seed=seed,
        expected=expected,
        keep=[_position(candidates, each) for each in keep],
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
        not_tried=finish.not_tried,
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
    expected: Sequence[Expectation | None] | None = None,
    keep: Collection[int] = (),
) -> Steps:
    """The search turned inside out: yields which candidate to run, is sent its value, returns a `Finish`.

    Values sent are positive finite floats (`checked_value`), or the `TrialFailed` a candidate ended with.
    Raises UsageError for arguments that cannot be meant (when first advanced), NumawiseError when the default
    fails.
    """
    checked_levels(alpha, delta)
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < least_budget(count, alpha):
        raise UsageError(
            f"a budget of {budget!r} runs is too small for {count} candidates: give at least "
            f"{least_budget(count, alpha)} (each once, and {first_look(alpha)} pairs against the default), "
            f"or fewer candidates"
        )
    task = Task(
        count=count,
        default=default,
        budget=budget,
        alpha=alpha,
        delta=delta,
        policy=policy,
        prior=_prior(expected, count, default),
        keep=frozenset(keep),
    )
    return (yield from Search(task, random.Random(seed)).steps())


def _prior(expected: Sequence[Expectation | None] | None, count: int, default: int) -> dict[int, Expectation]:
    """What is expected, by index, without the default. Raises UsageError for what no prediction can be."""
    if expected is None:
        return {}
    if len(expected) != count:
        raise UsageError(f"{len(expected)} expectations for {count} candidates: give one for each, or None")
    prior = {index: each for index, each in enumerate(expected) if each is not None and index != default}
    for index, each in prior.items():
        if not (0 < each.ratio < math.inf and 0 <= each.sigma < math.inf):
            raise UsageError(
                f"candidate {index} is expected to take {each.ratio:g} of the default's time, give or take "
                f"{each.sigma:g} in its logarithm: both must be finite, the first above 0, the second not below"
            )
    return prior


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
