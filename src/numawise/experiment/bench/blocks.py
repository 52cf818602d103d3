"""Many arms, each judged against its own reference, in randomised complete blocks: the comparison of `bench`.

A block runs every arm that is still open once, in an order drawn anew, so drift of the machine is no arm's own. In each
block an arm gives one log ratio to its reference, and these are judged as `compare` judges its pairs, at a level that
is shared out equally over the arms (Bonferroni): the chance that any of them is called different although none is
stays below alpha. An arm that is decided leaves, unless another is judged against it.

Pure: it yields what to run and is sent the value, so it can be tried on simulated timings, and replayed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator, Sequence

import msgspec

from numawise.errors import NumawiseError, UsageError
from numawise.experiment.compare import Ask, look
from numawise.experiment.records import Verdict
from numawise.experiment.search import TrialFailed
from numawise.experiment.sequential import checked_levels, estimate, first_look, verdict_of

Block = dict[int, float]
"""Log time of each arm (by index) that ran in one block."""

_GUESS = 2.0
"""The first run of each arm reads its program from disk: the next are taken to last this many times less, or more."""


_NO_ROOM = "the budget does not hold enough runs of it"


class Task(msgspec.Struct, frozen=True):
    """What is compared with what, and within which limits. Arm 0 is the default."""

    against: tuple[int, ...]
    """For each arm the one it is judged against; an arm that is its own is only a reference. References come first."""
    alpha: float
    delta: float
    budget: int
    """Trials at most."""
    seconds: float | None = None
    most_blocks: int = 30
    """Blocks that count, at most; the first one, a warm-up, does not."""


class Finish(msgspec.Struct, frozen=True):
    """What came out, by index."""

    verdicts: dict[int, Verdict]
    failed: dict[int, str]
    left_out: dict[int, str]
    alpha_per_arm: float
    trials: int


Steps = Generator[Ask, "float | TrialFailed", Finish]


def bench_steps(task: Task, rng: random.Random, spent: Callable[[int], float]) -> Steps:
    """Yield what to run, be sent its value (`checked_value`) or how it failed, and return what came out.

    `spent(n)` is how many seconds the first n trials took; it must be the same whenever it is asked again, or a study
    that was cut short would not go on where it was. Raises UsageError for limits that cannot be meant, NumawiseError
    when the default fails.
    """
    checked_levels(task.alpha, task.delta)
    if any(not 0 <= ref <= arm for arm, ref in enumerate(task.against)) or not task.against:
        raise UsageError("an arm is judged against itself or one that comes before it")
    return (yield from _Comparison(task, rng, spent).steps())


class _Comparison:
    def __init__(self, task: Task, rng: random.Random, spent: Callable[[int], float]) -> None:
        self._task, self._rng, self._spent = task, rng, spent
        self._arms = list(range(len(task.against)))  # that may still run, the most important first
        self._open: list[int] = []  # judged against another, and not decided
        self._trials = 0
        self._failed: dict[int, str] = {}
        self._left_out: dict[int, str] = {}
        self._lasted: dict[int, float] = {}
        self._mirrored = True

    def steps(self) -> Steps:
        task = self._task
        yield from self._block(0, self._arms, at_least=0)
        self._keep_what_fits(least=1.0 / _GUESS)
        alpha = task.alpha / max(1, len(self._judged()))
        look_from = first_look(alpha)
        self._open = self._judged()
        ratios: dict[int, list[float]] = {arm: [] for arm in self._open}
        verdicts = {
            arm: verdict_of(estimate([], alpha), "inconclusive", "the budget left no comparison")
            for arm in self._open
        }
        order: list[int] = []
        for step in range(1, task.most_blocks + 1):
            standing = self._standing()
            if not self._open or not self._holds(standing):
                break
            order = self._order(standing, order)
            block = yield from self._block(step, order, at_least=max(look_from - step, 0) * len(order))
            if step == 1:
                self._keep_what_fits(least=1.0)
            for arm in list(self._open):
                reference = task.against[arm]
                if arm not in block or reference not in block:
                    continue
                ratios[arm].append(block[reference] - block[arm])
                verdicts[arm] = look(ratios[arm], alpha, task.delta, decide=step >= look_from, last=True)
                if verdicts[arm].kind != "inconclusive":
                    self._open.remove(arm)
        gone = {*self._failed, *self._left_out}
        return Finish(
            verdicts={arm: verdict for arm, verdict in verdicts.items() if arm not in gone},
            failed=self._failed,
            left_out=self._left_out,
            alpha_per_arm=alpha,
            trials=self._trials,
        )

    def _judged(self) -> list[int]:
        return [arm for arm in self._arms if self._task.against[arm] != arm]

    def _standing(self) -> list[int]:
        """The open arms and those they are judged against, in order of importance."""
        needed = {*self._open, *(self._task.against[arm] for arm in self._open)}
        return [arm for arm in self._arms if arm in needed]

    def _order(self, arms: Sequence[int], last: Sequence[int]) -> list[int]:
        """A new order; of two arms every second one is the last backwards (ABBA), so that drift cancels at once.

        Of more arms it is not: there a drift is shuffled into noise either way, and a swing as long as a block and its
        mirror image would enter both with one sign, which simulations showed as false alarms.
        """
        if len(arms) == 2 and sorted(arms) == sorted(last) and not self._mirrored:
            self._mirrored = True
            return list(reversed(last))
        self._mirrored = False
        order = list(arms)
        self._rng.shuffle(order)
        return order

    def _block(
        self, step: int, order: Sequence[int], at_least: int
    ) -> Generator[Ask, float | TrialFailed, Block]:
        block: Block = {}
        for place, arm in enumerate(order):
            if arm in self._failed:  # its reference failed earlier in this very block
                continue
            if step == 0 and len(block) >= 2 and not self._worth_beginning():
                self._left_out.update(dict.fromkeys(order[place:], _NO_ROOM))
                break
            value = yield Ask(
                number=self._trials,
                index=arm,
                phase="pair",
                step=step,
                at_least=len(order) - place + at_least,
                at_most=self._at_most(len(order) - place, len(order)),
            )
            self._trials += 1
            if isinstance(value, TrialFailed):
                self._fail(arm, value)
            else:
                block[arm] = math.log(value)
            self._lasted[arm] = self._spent(self._trials) - self._spent(self._trials - 1)
        return block

    def _fail(self, arm: int, why: TrialFailed) -> None:
        if arm == 0:
            raise NumawiseError(
                f"the default failed, so there is nothing to judge others against: {why}"
            ) from why
        self._failed[arm] = str(why)
        for other, reference in enumerate(self._task.against):
            if reference == arm and other != arm and other not in self._failed:
                self._failed[other] = "what it is judged against failed"
        self._arms = [one for one in self._arms if one not in self._failed]
        self._open = [one for one in self._open if one not in self._failed]

    def _keep_what_fits(self, least: float) -> None:
        """Let the least important arms go until the rest can be run up to the first look.

        `least`: the share of its last time that a run is taken to last at least from now on.
        """
        kept: list[int] = []
        for arm in (one for one in self._arms if one not in self._left_out):
            reference = self._task.against[arm]
            if reference != arm and reference in self._left_out:
                self._left_out[arm] = self._left_out[reference]
                continue
            trial = [*kept, arm]
            compared = sum(self._task.against[one] != one for one in trial)
            blocks = first_look(self._task.alpha / max(1, compared))
            runs, seconds = len(trial) * blocks, sum(self._lasted[one] for one in trial) * blocks * least
            # The first comparison is begun whatever it takes: undecided figures are worth more than none.
            if arm != 0 and compared > 1 and not self._room(runs, seconds):
                self._left_out[arm] = _NO_ROOM
            else:
                kept = trial
        self._arms = kept  # those that were left out before stay out
        self._open = [arm for arm in self._open if arm in kept]

    def _worth_beginning(self) -> bool:
        """In the warm-up: if those that ran were all, would the budget carry them to their first look?"""
        blocks = first_look(self._task.alpha / max(1, len(self._lasted) - 1))
        return self._room(len(self._lasted) * blocks, self._spent(self._trials) * blocks / _GUESS)

    def _holds(self, order: Sequence[int]) -> bool:
        """Does the budget hold another block of these?"""
        return self._room(len(order), sum(self._lasted[arm] for arm in order))

    def _room(self, runs: int, seconds: float) -> bool:
        if self._trials + runs > self._task.budget:
            return False
        limit = self._task.seconds
        return limit is None or self._spent(self._trials) + seconds <= limit

    def _at_most(self, here: int, size: int) -> int:
        """Trials that may follow, this one included."""
        most = min(self._task.budget - self._trials, here + size * self._task.most_blocks)
        if self._task.seconds is None or not self._trials:
            return max(here, most)
        pace = self._spent(self._trials) / self._trials
        return max(here, min(most, int((self._task.seconds - self._spent(self._trials)) / max(pace, 1e-9))))
