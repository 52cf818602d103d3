"""What the figures of a bench say, sentence by sentence, each with the rule that said it and the figures it rests on.

A rule is one file in `rules/`, found by its name; it holds `advise(facts)`, which yields advice or nothing. Where rules
call one thing faster than another they look at verdicts, never at medians.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from numawise.experiment.bench import rules
from numawise.experiment.bench.results import Arm, arms
from numawise.experiment.records import Candidate, Outcome, Study, Trial, Verdict

Tone = Literal["do", "same", "know", "doubt"]
"""Something to do; nothing to change; good to know; a reason not to rely on it."""
_IDLE = 0.5
"""Runnable threads per allowed CPU, beyond which the machine was not idle."""
_ORDER = ("do", "same", "doubt", "know")


class Advice(msgspec.Struct, frozen=True):
    """One sentence, and what it rests on."""

    rule: str
    """Which rule said it: the name of its file, with dashes."""
    sentence: str
    evidence: dict[str, float | int | str | None]
    tone: Tone = "know"


class Facts(msgspec.Struct, frozen=True):
    """What the rules look at."""

    study: Study
    trials: Sequence[Trial]
    outcome: Outcome | None
    arms: tuple[Arm, ...]

    def arm(self, name: str) -> Arm | None:
        """The arm of this name, or None."""
        return next((arm for arm in self.arms if arm.name == name), None)

    def candidate(self, arm: Arm) -> Candidate:
        """What the arm asked for."""
        return next(candidate for candidate in self.study.candidates if candidate.name == arm.name)

    def on(self, *axes: str) -> tuple[Arm, ...]:
        """The arms with a verdict on these axes."""
        return tuple(arm for arm in self.arms if arm.axis in axes and arm.verdict is not None)

    @property
    def built_in(self) -> bool:
        """Is it the built-in suite?"""
        return self.study.bench is not None and self.study.bench.built_in

    @property
    def busy(self) -> float | None:
        """The load average at the start where it shows that the machine was not idle; else None."""
        try:
            load = float(self.study.settings.get("load average", "").split()[0])
        except (IndexError, ValueError):  # not readable here
            return None
        return load if load > _IDLE * len(self.study.topology.allowed.cpus) else None

    def amount(self, verdict: Verdict, other: str = "") -> str:
        """How much, with the interval, and than (or as) what."""
        return amount(verdict, other, timed=not self.study.metric or self.built_in)


def amount(verdict: Verdict, other: str = "", *, timed: bool) -> str:
    """How much better or worse than its reference (called `other`), in words; `timed`: the values are times.

    >>> amount(Verdict("worse", 1.31, 1.24, 1.39, 8), "default", timed=True)
    '31% slower (24% to 39%) than default'
    >>> amount(Verdict("better", 0.25, 0.2, 0.4, 8), "default", timed=True)
    '4 times as fast (2.5 to 5) as default'
    """
    ends = (verdict.low, verdict.ratio, verdict.high)
    if verdict.kind not in ("better", "worse") or not all(1e-6 < end < 1e6 for end in ends):
        if all(1e-6 < end < 1e6 for end in ends):
            return f"between {verdict.low - 1:+.1%} and {verdict.high - 1:+.1%}"
        return "not bounded yet"
    # Faster is in runs per time, slower in time per run: each is the one above the other.
    over = [1 / end for end in reversed(ends)] if verdict.kind == "better" else list(ends)
    better = verdict.kind == "better"
    if over[1] >= 3:
        words = ("as fast" if better else "as long") if timed else ("as good" if better else "as bad")
        return (
            f"{over[1]:.2g} times {words} ({over[0]:.2g} to {over[2]:.2g}){f' as {other}' if other else ''}"
        )
    words = ("faster" if better else "slower") if timed else verdict.kind
    low, middle, high = (_percent(each - 1) for each in over)
    return f"{middle} {words} ({low} to {high}){f' than {other}' if other else ''}"


def advice(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> tuple[Advice, ...]:
    """All that the rules have to say, what to do first."""
    facts = Facts(study, trials, outcome, arms(study, trials, outcome))
    found = [each for rule in _rules() for each in rule(facts)]
    return tuple(sorted(found, key=lambda each: _ORDER.index(each.tone)))


def rule_names() -> tuple[str, ...]:
    """The rules there are, by their files.

    >>> "remote-memory" in rule_names()
    True
    """
    return tuple(sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(rules.__path__)))


def _rules() -> Iterator[Callable[[Facts], Iterator[Advice]]]:
    for name in rule_names():
        module = importlib.import_module(f"{rules.__name__}.{name.replace('-', '_')}")
        rule: Callable[[Facts], Iterator[Advice]] = module.advise
        yield rule


def _percent(share: float) -> str:
    percent = abs(share) * 100
    return (
        f"{percent:.0f}%"
        if percent >= 9.95 or math.isclose(percent, round(percent), abs_tol=5e-3)
        else f"{percent:.1f}%"
    )
