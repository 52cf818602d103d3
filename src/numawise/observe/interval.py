"""How far a sampled share can be from the true one."""

from __future__ import annotations

import math

from numawise.errors import UsageError
from numawise.observe.values import NodeShare

_Z_95 = 1.959963984540054


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share seen `successes` times in `n` looks (E. B. Wilson, 1927).

    Covers the true share with about the stated confidence even near 0 and 1, where the textbook interval
    fails. `n` may be fractional (an effective sample size); nothing seen (n = 0) gives (0, 1).

    Raises UsageError unless 0 <= successes <= n and 0 < confidence < 1.

    >>> low, high = wilson(1000, 1000)
    >>> round(low, 4), high
    (0.9962, 1.0)
    """
    if not (0 <= successes <= n and 0 < confidence < 1):
        raise UsageError(f"no interval for {successes} of {n} at confidence {confidence}")
    if n == 0:
        return 0.0, 1.0
    z = _Z_95 if confidence == 0.95 else _two_sided_z(confidence)
    p, slack = successes / n, z * z / n
    center = (p + slack / 2) / (1 + slack)
    half = math.sqrt(slack * p * (1 - p) + slack * slack / 4) / (1 + slack)
    # At the ends the formula gives exactly 0 and 1, but for rounding.
    return (
        0.0 if successes == 0 else max(0.0, center - half),
        1.0 if successes == n else min(1.0, center + half),
    )


def effective_size(n: int, population: float) -> float | None:
    """How many independent looks `n` different ones out of `population` are worth; None: all were looked at.

    Sampling without replacement shrinks the variance by (N - n) / (N - 1) (Cochran, Sampling Techniques,
    2.6).

    >>> effective_size(500, 999), effective_size(3, 3)
    (1000.0, None)
    """
    if n == 0:
        return 0.0
    return None if population <= n else n * (population - 1) / (population - n)


def share_of(share: float, size: float | None) -> NodeShare:
    """A share with its interval, from an effective sample size (None: exact)."""
    if size is None:
        return NodeShare(share, share, share)
    return NodeShare(share, *wilson(min(share, 1.0) * size, size))


def _two_sided_z(confidence: float) -> float:
    # Newton's method on erf(z / sqrt 2) = confidence: concave for z > 0, so it converges from the left.
    z = 0.0
    for _ in range(200):
        step = (confidence - math.erf(z / math.sqrt(2))) / (math.sqrt(2 / math.pi) * math.exp(-z * z / 2))
        z += step
        if abs(step) < 1e-13:
            break
    return z
