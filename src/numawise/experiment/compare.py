"""`compare`: is b better than a? Pairs in balanced random order, looked at after each one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator
from typing import Literal

import msgspec

from numawise.errors import UsageError
from numawise.experiment.records import Verdict
from numawise.experiment.sequential import (
    checked_levels,
    checked_value,
    estimate,
    first_look,
    kind_of,
    verdict_of,
)


class Ask(msgspec.Struct, frozen=True):
    """What is to be run next, and how much may follow: what a progress bar and a store need to know."""

    number: int
    """Calls made before this one."""
    index: int
    """compare: 0 for a, 1 for b. tune: position of the candidate in the sequence given."""
    phase: Literal["pair", "race", "final"]
    step: int
    """Block of the race or pair of the comparison, from 1; 0 is the warm-up pair, which does not count."""
    at_least: int
    """Calls still to come if everything is clear at the first look, this one included."""
    at_most: int
    """Calls still to come at most, this one included."""


class Pair(msgspec.Struct, frozen=True):
    """One finished pair."""

    step: int
    """From 1; 0 is the warm-up pair."""
    time_a: float
    time_b: float
    b_first: bool
    verdict: Verdict | None
    """What all pairs so far say; None for the warm-up pair."""


def compare(
    run_a: Callable[[], float],
    run_b: Callable[[], float],
    *,
    alpha: float = 0.05,
    delta: float = 0.02,
    max_pairs: int = 30,
    seed: int = 0,
    before: Callable[[Ask], None] | None = None,
    on_pair: Callable[[Pair], None] | None = None,
) -> Verdict:
    """Compare b against a by running them in pairs until the answer is clear; nothing else is called.

    A warm-up pair that does not count comes first. Then each pair gives x = log(time_a / time_b); from 6
    pairs on the anytime-valid interval of the mean (`numawise.experiment.sequential`) is looked at after
    every pair, which keeps the chance of a false "better" or "worse" at alpha however long one goes on. Pairs
    come as ABBA or BAAB, by coin, so that slow drift cancels.

    Args:
        run_a: gives one measured value of a, lower is better: positive, finite, any unit.
        run_b: the same for b.
        alpha: chance of calling two equal things different, over all looks together.
        delta: relative difference that does not matter (0.02: 2%).
        max_pairs: the most pairs that count; at most 2 * (max_pairs + 1) calls.
        seed: decides the order. The same seed and the same values give the same calls and the same verdict,
            so a stopped comparison is resumed by answering with the recorded values first.
        before: called before each run, in the same order.
        on_pair: called after each pair.

    Returns:
        A `Verdict` whose ratio is b over a with its interval. `better`: the interval lies below 1; `worse`:
        above 1. This comes first, so a sure effect smaller than delta is still better or worse, and the ratio
        says how small. `equivalent`: within a factor of 1 + delta either way. `inconclusive`: neither, after
        max_pairs.

    Raises:
        UsageError: an argument that cannot be meant, or a value that is not a positive finite number.
        Whatever run_a, run_b or a callback raises.

    >>> import itertools
    >>> a, b = itertools.cycle([1.00, 1.01, 0.99]), itertools.cycle([0.90, 0.92, 0.91])
    >>> verdict = compare(lambda: next(a), lambda: next(b))
    >>> verdict.kind, round(verdict.ratio, 2), verdict.pairs
    ('better', 0.91, 6)
    """
    steps = compare_steps(random.Random(seed), alpha=alpha, delta=delta, max_pairs=max_pairs, on_pair=on_pair)
    runs = (run_a, run_b)
    value: float | None = None
    while True:
        try:  # around the steps only: a StopIteration of the caller's own is not ours to take
            ask = next(steps) if value is None else steps.send(value)
        except StopIteration as done:
            verdict: Verdict = done.value
            return verdict
        if before is not None:
            before(ask)
        value = checked_value(runs[ask.index](), ("run_a", "run_b")[ask.index])


def compare_steps(
    rng: random.Random,
    *,
    alpha: float,
    delta: float,
    max_pairs: int,
    warm_up: bool = True,
    on_pair: Callable[[Pair], None] | None = None,
) -> Generator[Ask, float, Verdict]:
    """The same comparison turned inside out: yields what to run, is sent its value, returns the verdict.

    Values sent must have passed `checked_value`. Raises UsageError for arguments that cannot be meant.
    """
    checked_levels(alpha, delta)
    look_from = first_look(alpha)
    if max_pairs < look_from:
        raise UsageError(
            f"max_pairs is {max_pairs}: with alpha {alpha:g} a comparison says nothing before {look_from} pairs, "
            f"so give it at least {look_from}"
        )
    total = max_pairs + warm_up
    log_ratios: list[float] = []
    verdict = None
    b_first = False
    for position in range(total):
        step = position + 1 - warm_up
        # Two pairs make an ABBA or a BAAB: the coin is thrown for the first, the second mirrors it.
        b_first = rng.random() < 0.5 if step % 2 == 1 or step == 0 else not b_first
        times = {}
        for place, index in enumerate((1, 0) if b_first else (0, 1)):
            number = 2 * position + place
            times[index] = yield Ask(
                number=number,
                index=index,
                phase="pair",
                step=step,
                at_least=2 * (max(look_from, step) + warm_up) - number,
                at_most=2 * total - number,
            )
        if step > 0:
            log_ratios.append(math.log(times[0]) - math.log(times[1]))
            verdict = look(log_ratios, alpha, delta, decide=step >= look_from, last=step == max_pairs)
        if on_pair is not None:
            on_pair(Pair(step=step, time_a=times[0], time_b=times[1], b_first=b_first, verdict=verdict))
        if verdict is not None and verdict.kind != "inconclusive":
            break
    assert verdict is not None  # max_pairs is at least look_from
    return verdict


def look(log_ratios: list[float], alpha: float, delta: float, *, decide: bool, last: bool) -> Verdict:
    """What the pairs so far say: x = log(time_a / time_b) of each. "inconclusive" unless `decide`."""
    seen = estimate(log_ratios, alpha)
    kind = kind_of(seen, delta) if decide else "inconclusive"
    reasons = {
        "better": "the interval of the ratio lies below 1",
        "worse": "the interval of the ratio lies above 1",
        "equivalent": f"the interval lies within {delta:.3g} of 1 either way",
        "inconclusive": f"{seen.count} pairs were not enough" if last else "not decided yet",
    }
    return verdict_of(seen, kind, reasons[kind])
