"""The race: who stays after each block, and when the race has said enough. Pure functions of measured blocks.

A block holds the log time of every candidate still in the race, run once each in random order. Subtracting
the block's median takes out what all of its runs shared (drift between blocks). The constants of `Policy`
were chosen by simulation; docs/statistics.md says which and what they give.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from numawise.experiment.sequential import first_look, interval_factor

Block = Mapping[int, float]
"""Log time of each candidate (by index) in one randomised complete block."""


class Policy(msgspec.Struct, frozen=True):
    """How a budget is divided between the race and the final comparison."""

    runs_per_survivor: float = 9
    """After the first block one challenger stays for this many runs left in the budget."""
    keep: float = 0.7
    """Share of challengers that stays at each further halving ..."""
    blocks_per_halving: int = 1
    """... which happens after this many blocks."""
    behind_sigmas: float = 2.0
    """Challengers this many standard errors (of a difference) behind the leader leave at once."""
    blocks_to_be_alone: int = 5
    """Before this many blocks nobody stays as the only challenger."""
    agreeing_sigmas: float = 4.5
    """Values farther than this from their lower median do not enter a score."""
    least_final_pairs: int = 12
    """Pairs kept back for the final comparison of a single winner, at least ..."""
    most_final_share: float = 0.25
    """... and at most this share of the budget's runs, counted in pairs."""
    finalists: int = 4
    """So many challengers may meet the default together, where the default is far enough behind for that."""
    least_shared_pairs: int = 8
    """Pairs each of them is given, at least."""
    final_behind_sigmas: float = 2.5
    """Finalists this many standard errors behind the leader leave."""
    spike_factor: float = 1.3
    """How much wider than the noise of two runs the spread of a pair is taken to be: spikes reach it too."""
    sure_sigmas: float = 1.5
    """Standard errors added when reckoning how many pairs the final comparison needs."""
    guessed_noise: float = 0.03
    """Noise of one run before any is seen ..."""
    guess_weight: float = 16
    """... and how many observed differences this guess is worth."""
    luck_sigmas: float = 0.5
    """Standard errors by which the leader is believed to have been lucky."""
    most_final_share_expected: float = 0.34
    """`most_final_share` where a prediction that proved right has shortened the race."""
    runs_per_expected_survivor: float = 4
    """There one challenger goes on for this many runs that the final can spare."""


DEFAULT_POLICY = Policy()


def centred(blocks: Sequence[Block], alive: Sequence[int]) -> list[dict[int, float]]:
    """The blocks restricted to `alive`, each less its median. All of `alive` must be in every block.

    >>> centred([{0: 1.0, 1: 2.0, 2: 9.0}], [0, 1, 2])
    [{0: -1.0, 1: 0.0, 2: 7.0}]
    """
    result = []
    for block in blocks:
        middle = statistics.median(block[index] for index in alive)
        result.append({index: block[index] - middle for index in alive})
    return result


def noise(blocks: Sequence[Block], policy: Policy = DEFAULT_POLICY) -> float:
    """Standard deviation of one run's log time, from how the same candidates differ from block to block.

    Median absolute deviation of the differences, scaled to sigma of a normal distribution: spikes hardly move
    it. The first few differences say little, so `guessed_noise` joins in, with the weight of `guess_weight`
    differences (the mean of logarithms).
    """
    deviations: list[float] = []
    for earlier, later in pairwise(blocks):
        differences = [later[index] - value for index, value in earlier.items() if index in later]
        if len(differences) > 1:
            middle = statistics.median(differences)
            shrunk = len(differences) / (len(differences) - 1)
            deviations.extend(abs(difference - middle) * shrunk for difference in differences)
    weight, guess = policy.guess_weight, math.log(policy.guessed_noise)
    if not deviations:
        return policy.guessed_noise
    seen = math.log(max(1.4826 / math.sqrt(2) * statistics.median(deviations), 1e-6))
    return math.exp((seen * len(deviations) + guess * weight) / (len(deviations) + weight))


def scores(
    blocks: Sequence[Block], alive: Sequence[int], sigma: float, policy: Policy = DEFAULT_POLICY
) -> dict[int, float]:
    """Each candidate's block-centred log time, lower is better: its median, refined.

    Delays are one-sided, so of an even number of values the lower median is taken, and then the mean of the
    values that agree with it (within `agreeing_sigmas`): as steady as the median, and less noisy where there
    is no spike.
    """
    values = centred(blocks, alive)
    result: dict[int, float] = {}
    for index in alive:
        own = [block[index] for block in values]
        middle = statistics.median_low(own)
        reach = policy.agreeing_sigmas * sigma
        result[index] = statistics.fmean(value for value in own if abs(value - middle) <= reach)
    return result


def survivors(
    order: Sequence[int],
    score: Mapping[int, float],
    blocks: int,
    sigma: float,
    first_keep: int,
    policy: Policy = DEFAULT_POLICY,
    *,
    fixed: bool = False,
) -> list[int]:
    """The challengers (best first in `order`) that stay after `blocks` blocks.

    At most `first_keep` after the first block, then `keep` of that at every halving (not when it is `fixed`, that
    is reckoned anew for each block), and never those clearly behind.
    """
    halvings = 0 if fixed else (blocks - 1) // policy.blocks_per_halving
    limit = max(2, first_keep)
    for _ in range(halvings):
        limit = max(2, min(limit - 1, math.ceil(limit * policy.keep)))
    reach = score[order[0]] + policy.behind_sigmas * sigma * math.sqrt(2 / blocks)
    near = sum(score[index] <= reach for index in order)
    limit = min(limit, max(near, 1 if blocks >= policy.blocks_to_be_alone else 2))
    return list(order[:limit])


def pairs_needed(gap: float, pair_sigma: float, alpha: float, sure: float, *, most: int) -> int:
    """Pairs from which a comparison sees a log ratio of `gap`; `most` if they would be more.

    The mean of n pairs, less `sure` of its standard errors, must reach the half-width of the interval.

    >>> pairs_needed(0.5, 0.05, 0.05, 0.5, most=100), pairs_needed(0.03, 0.05, 0.05, 0.5, most=100)
    (6, 41)
    """
    for count in range(first_look(alpha), most):
        if gap - sure * pair_sigma / math.sqrt(count) >= interval_factor(count, alpha) * pair_sigma:
            return count
    return most


def resolved(blocks: int, sigma: float, delta: float) -> bool:
    """Whether the race already tells candidates apart to half of the difference that matters."""
    return sigma * math.sqrt(2 / blocks) < delta / 2
