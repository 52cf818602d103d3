"""The search behind `tune`: a race in blocks, then the last ones standing against the default on new runs."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Generator, Sequence
from typing import Literal

import msgspec

from numawise.errors import NumawiseError
from numawise.experiment.compare import Ask, look
from numawise.experiment.halving import (
    Block,
    Policy,
    noise,
    pairs_needed,
    resolved,
    scores,
    survivors,
)
from numawise.experiment.prior import Calibrated, Prior, calibrate, first_tried, shrunk, within_reach
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
    not_tried: tuple[int, ...] = ()
    """Those that the prediction, having proved right for others, left without hope."""


class Task(msgspec.Struct, frozen=True):
    """What is searched, and within which limits."""

    count: int
    default: int
    budget: int
    alpha: float
    delta: float
    policy: Policy
    prior: Prior = {}
    """What is expected of candidates; of the default nothing, it is what others are measured by."""
    keep: Collection[int] = ()
    """Candidates that are tried whatever is expected of them."""


Phase = Literal["race", "final"]
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
        self._calibrated: Calibrated | None = None
        self._not_tried: tuple[int, ...] = ()

    def steps(self) -> Steps:
        """Yield what to run, be sent its value (or how it failed), and return what came out."""
        finalists = self._challengers
        warm_up = len(finalists) < 2  # a race has warmed the machine already
        if not warm_up:
            finalists = yield from self._race()
        while finalists:
            finish = yield from self._final(finalists, warm_up)
            if finish is not None:
                return finish
            finalists = [index for index in self._ranking if index not in self._failed][:1]
        why = "every other candidate failed" if self._failed else "the default is the only candidate"
        nothing = Verdict(kind="equivalent", ratio=1.0, low=1.0, high=1.0, pairs=0, reason=why)
        return self._finish(self._task.default, nothing)

    def _finish(self, winner: int, verdict: Verdict) -> Finish:
        return Finish(
            best=winner if verdict.kind == "better" else self._task.default,
            winner=winner,
            verdict=verdict,
            trials=self._trials,
            failed=dict(self._failed),
            not_tried=self._not_tried,
        )

    @property
    def _left(self) -> int:
        return self._task.budget - self._trials

    def _race(self) -> Generator[Ask, float | TrialFailed, list[int]]:
        """Run blocks until those left may meet the default; return them, best first."""
        policy = self._task.policy
        least_final = 2 * first_look(self._task.alpha)
        first_keep = 0
        while True:
            if self._blocks:
                block = yield from self._block("race", len(self._blocks) + 1, self._shuffled(), least_final)
            else:
                block = yield from self._first_block(least_final)
            self._blocks.append(block)
            if not self._challengers:
                return []
            score, sigma = self._scores()
            order = sorted(self._challengers, key=score.__getitem__)
            self._ranking = order + [index for index in self._ranking if index not in score]
            first_keep = first_keep or min(len(order), round(self._left / policy.runs_per_survivor))
            most = first_keep if self._calibrated is None else self._affordable(order, score, sigma)
            stay = survivors(
                order, score, len(self._blocks), sigma, most, policy, fixed=self._calibrated is not None
            )
            self._challengers = stay
            if len(stay) <= policy.finalists and self._together(order, score, sigma):
                return stay
            if len(stay) < 2 or resolved(len(self._blocks), sigma, self._task.delta):
                return stay[:1]
            if self._left - len(stay) - 1 < max(self._final_runs(order, score, sigma), least_final):
                return stay[:1]

    def _first_block(self, least_after: int) -> Generator[Ask, float | TrialFailed, dict[int, float]]:
        """Everybody once, less those that a prediction leaves without hope after it proved right for the others."""
        prior = self._task.prior
        everybody = self._challengers
        self._challengers = first_tried(prior, everybody, self._task.keep)
        block: dict[int, float] = {}
        waiting = [index for index in everybody if index not in self._challengers]
        order = self._shuffled()
        while order:
            block |= yield from self._block("race", 1, order, least_after)
            self._calibrated = calibrate(prior, block)
            if self._calibrated is None:
                order = list(waiting)
            else:
                order = within_reach(self._calibrated, prior, waiting, block)
            self._rng.shuffle(order)
            self._challengers = self._challengers + order
            waiting = [index for index in waiting if index not in order]
        self._not_tried = tuple(waiting)
        self._ranking = [index for index in self._ranking if index not in waiting]
        return block

    def _final_runs(self, order: Sequence[int], score: dict[int, float], sigma: float) -> int:
        """Runs to keep back for one challenger and the default."""
        policy = self._task.policy
        share = policy.most_final_share if self._calibrated is None else policy.most_final_share_expected
        needed = min(self._pairs(order, score, sigma, 1), int(share * self._task.budget))
        return 2 * max(needed, policy.least_final_pairs)

    def _affordable(self, order: Sequence[int], score: dict[int, float], sigma: float) -> int:
        """Challengers that may go on after a shortened first block: so many that enough is left for the final."""
        spare = self._left - self._final_runs(order, score, sigma)
        return max(2, round(spare / self._task.policy.runs_per_expected_survivor))

    def _together(self, order: Sequence[int], score: dict[int, float], sigma: float) -> bool:
        """Whether what is left lets all challengers meet the default at once, sharing the default's runs."""
        together = len(self._challengers)
        pairs = max(self._pairs(order, score, sigma, together), self._task.policy.least_shared_pairs)
        seen = len(self._blocks) > 1  # after one block the noise is only guessed
        return seen and together > 1 and (together + 1) * pairs <= self._left

    def _pairs(self, order: Sequence[int], score: dict[int, float], sigma: float, together: int) -> int:
        """Pairs it takes to see how far the default is behind the leaders, if so many share alpha."""
        task, policy = self._task, self._task.policy
        leaders = order[:3]
        gap = score[task.default] - sum(score[index] for index in leaders) / len(leaders)
        gap -= policy.luck_sigmas * sigma / math.sqrt(len(self._blocks))
        pair_sigma = policy.spike_factor * math.sqrt(2) * sigma
        most = min(task.budget, 500)  # beyond that it is too many anyway
        return pairs_needed(gap, pair_sigma, task.alpha / together, policy.sure_sigmas, most=most)

    def _scores(self) -> tuple[dict[int, float], float]:
        sigma = noise(self._blocks, self._task.policy)
        alive = [*self._challengers, self._task.default]
        seen = scores(self._blocks, alive, sigma, self._task.policy)
        if self._calibrated is not None:
            error = sigma / math.sqrt(len(self._blocks))
            seen = shrunk(self._calibrated, self._task.prior, seen, sigma=error)
        return seen, sigma

    def _shuffled(self) -> list[int]:
        order = [*self._challengers, self._task.default]
        self._rng.shuffle(order)
        return order

    def _block(
        self, phase: Phase, step: int, order: Sequence[int], least_after: int
    ) -> Generator[Ask, float | TrialFailed, dict[int, float]]:
        """Run each of `order` once; the log times of those that did not fail."""
        block = {}
        for place, index in enumerate(order):
            value = yield Ask(
                number=self._trials,
                index=index,
                phase=phase,
                step=step,
                at_least=len(order) - place + least_after,
                at_most=self._left,
            )
            self._trials += 1
            if not isinstance(value, TrialFailed):
                block[index] = math.log(value)
            elif index == self._task.default:
                raise NumawiseError(
                    f"the default failed, so there is nothing to judge others against: {value}"
                ) from value
            else:
                self._failed[index] = str(value)
                self._challengers = [other for other in self._challengers if other != index]
        return block

    def _final(
        self, finalists: list[int], warm_up: bool
    ) -> Generator[Ask, float | TrialFailed, Finish | None]:
        """Fresh runs of the finalists and the default, in blocks; None when all finalists failed.

        Each finalist's pairs with the default are judged as in `compare`, alpha being shared out equally, and its
        verdict stands once it is clear. Blocks go on while there is something to learn: who is better than the
        default, or which of those that are is best. Every second block is the one before it backwards (ABBA).
        """
        task = self._task
        alpha = task.alpha / len(finalists)
        look_from = first_look(alpha)
        self._challengers = list(finalists)
        ratios: dict[int, list[float]] = {index: [] for index in finalists}
        verdicts = {
            index: verdict_of(estimate([], alpha), "inconclusive", "the budget left no comparison")
            for index in finalists
        }
        step = 1 - warm_up
        order: list[int] = []
        while self._challengers and self._left > len(self._challengers):
            fresh = step % 2 == 1 or step == 0
            standing = {*self._challengers, task.default}
            order = self._shuffled() if fresh else [index for index in reversed(order) if index in standing]
            rest = max(look_from - step, 0) * len(order)
            block = yield from self._block("final", step, order, rest)
            step += 1
            if step == 1:
                continue
            self._blocks.append(block)
            for index in self._challengers:
                ratios[index].append(block[task.default] - block[index])
                if verdicts[index].kind == "inconclusive":
                    verdicts[index] = look(
                        ratios[index], alpha, task.delta, decide=step > look_from, last=True
                    )
            if self._challengers and self._settled(verdicts):
                break
        standing_verdicts = {i: v for i, v in verdicts.items() if i not in self._failed}
        if not standing_verdicts:
            return None
        winner = self._winner(standing_verdicts)
        return self._finish(winner, verdicts[winner])

    def _settled(self, verdicts: dict[int, Verdict]) -> bool:
        """Drop finalists that cannot be the best any more; whether there is nothing left to learn."""
        score, sigma = self._scores()
        lead = min(score[index] for index in self._challengers)
        blocks = len(self._blocks)
        reach = lead + self._task.policy.final_behind_sigmas * sigma * math.sqrt(2 / blocks)
        self._challengers = [
            index
            for index in self._challengers
            if score[index] <= reach and verdicts[index].kind not in ("worse", "equivalent")
        ] or [min(self._challengers, key=score.__getitem__)]
        decided = all(verdicts[index].kind != "inconclusive" for index in self._challengers)
        return decided and (len(self._challengers) == 1 or resolved(blocks, sigma, self._task.delta))

    def _winner(self, verdicts: dict[int, Verdict]) -> int:
        """The best of those shown better than the default, or of all finalists when none was."""
        better = {index: verdict for index, verdict in verdicts.items() if verdict.kind == "better"}
        score, _ = self._scores()  # of those still in it, who are in every block
        if open_to_choice := [index for index in self._challengers if index in (better or verdicts)]:
            return min(open_to_choice, key=score.__getitem__)
        return min(better or verdicts, key=lambda index: verdicts[index].ratio)
