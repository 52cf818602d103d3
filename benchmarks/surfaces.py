"""Simulated machines and tuning problems: noise, drift and spikes, shared by the benchmarks and the tests.

Nothing here waits or measures: a "run" is a number drawn from a seeded generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence

Drift = Callable[[random.Random], Iterator[float]]
"""Log factor of each run in turn, from a generator of random numbers."""


def no_drift(rng: random.Random) -> Iterator[float]:
    """A machine that does not change."""
    del rng
    while True:
        yield 0.0


def linear(rng: random.Random) -> Iterator[float]:
    """A machine that warms up or cools down by up to 0.2 % a run."""
    slope = rng.uniform(-0.002, 0.002)
    run = 0
    while True:
        yield slope * run
        run += 1


def walk(rng: random.Random) -> Iterator[float]:
    """A random walk of 0.3 % a run."""
    level = 0.0
    while True:
        level += rng.gauss(0, 0.003)
        yield level


def autoregressive(rng: random.Random) -> Iterator[float]:
    """Slow moods of 2.3 % that fade over ten runs: AR(1), coefficient 0.9, innovations of 1 %."""
    level = 0.0
    while True:
        level = 0.9 * level + rng.gauss(0, 0.01)
        yield level


def step(rng: random.Random) -> Iterator[float]:
    """One change of 10 % up or down, some time in the first 100 runs."""
    when, height = rng.randrange(100), rng.choice((-0.1, 0.1))
    run = 0
    while True:
        yield height if run >= when else 0.0
        run += 1


def wave(rng: random.Random) -> Iterator[float]:
    """A swing of 3 % with a period between 3 and 40 runs."""
    period, phase = rng.uniform(3, 40), rng.uniform(0, 2 * math.pi)
    run = 0
    while True:
        yield 0.03 * math.sin(2 * math.pi * run / period + phase)
        run += 1


DRIFTS: dict[str, Drift] = {
    "none": no_drift,
    "linear": linear,
    "walk": walk,
    "ar1": autoregressive,
    "step": step,
    "wave": wave,
}

SPIKES: dict[str, Callable[[random.Random], float]] = {
    "wide": lambda rng: rng.uniform(1.2, 3.0),
    "small": lambda rng: rng.uniform(1.05, 1.2),
    "same": lambda rng: 1.5,
    "tailed": lambda rng: 1 + rng.expovariate(2),
}


class SimulatedMachine:
    """Times programs: true time x noise (log-normal) x drift x, now and then, a spike."""

    def __init__(
        self,
        seed: int,
        *,
        noise: float,
        drift: str = "walk",
        spikes: str = "wide",
        spike_share: float = 0.05,
        resolution: float = 0.0,
    ) -> None:
        self._rng = random.Random(seed)
        self._noise, self._spike, self._share = noise, SPIKES[spikes], spike_share
        self._drift = DRIFTS[drift](random.Random(seed + 1_000_003))
        self._resolution = resolution
        self.runs = 0

    def time(self, true_time: float) -> float:
        """One measured time of a program that truly takes `true_time`, on a clock of that resolution."""
        self.runs += 1
        value = true_time * math.exp(next(self._drift) + self._rng.gauss(0, self._noise))
        if self._rng.random() < self._share:
            value *= self._spike(self._rng)
        if self._resolution:
            value = max(1, round(value / self._resolution)) * self._resolution
        return value


def surface(rng: random.Random, *, near: int = 15, slow: int = 32) -> list[float]:
    """True times in random order: one best (1.0), `near` up to 6 % slower, `slow` from 6 to 80 % slower."""
    times = [1.0]
    times += [1 + rng.uniform(0, 0.06) for _ in range(near)]
    times += [1 + rng.uniform(0.06, 0.8) for _ in range(slow)]
    rng.shuffle(times)
    return times


def choose_default(times: Sequence[float], which: str, rng: random.Random) -> int:
    """Position of the default: `any` of all, one of the `slow`, or one `near` the best (2 to 6 % slower)."""
    inside = {"any": (0.0, 9.0), "slow": (1.06, 9.0), "near": (1.02, 1.06)}[which]
    return rng.choice([i for i, time in enumerate(times) if inside[0] <= time <= inside[1]])
