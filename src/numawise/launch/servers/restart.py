"""How long to wait before an instance is started again, and when to give it up."""

from __future__ import annotations

from numawise.launch.servers.values import Restart

_DOUBLINGS = 62  # enough for every delay there is, and no overflow however often a server restarts


class Backoff:
    """Restarts of one instance.

    >>> backoff = Backoff(Restart("always", first_delay_s=1, longest_delay_s=3, most=4, reset_s=60))
    >>> [backoff.next_delay_s(healthy_s=0) for _ in range(5)]
    [1, 2, 3, 3, None]
    >>> backoff.next_delay_s(healthy_s=60)
    1
    """

    def __init__(self, rule: Restart) -> None:
        self._rule = rule
        self.in_a_row = 0
        """Restarts since it was last healthy for long enough."""

    def wants(self, *, failed: bool) -> bool:
        """Is an instance that has ended to be started again at all?"""
        return self._rule.when == "always" or (failed and self._rule.when == "on-failure")

    def next_delay_s(self, healthy_s: float) -> float | None:
        """The wait before the next start, after one that was healthy for so long; None: it is given up."""
        if healthy_s >= self._rule.reset_s:
            self.in_a_row = 0
        if self._rule.most is not None and self.in_a_row >= self._rule.most:
            return None
        doublings = min(self.in_a_row, _DOUBLINGS)
        self.in_a_row += 1
        return min(self._rule.first_delay_s * (1 << doublings), self._rule.longest_delay_s)
