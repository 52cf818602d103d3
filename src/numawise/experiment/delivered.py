"""Did the arms of a comparison get what they asked for? Figures of a placement that was not there mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from numawise.experiment.records import Candidate, Trial, Verdict
from numawise.linux.cpuset import CPUSet

LEAST_ON_TARGET = 0.9
"""Below this share of pages where they should be, an arm counts as not delivered: part of what was asked is missing,
and the comparison would speak of another placement."""


def shortfall(candidate: Candidate, trials: Sequence[Trial]) -> str:
    """What `candidate` asked for and did not get in these trials, in words; empty when it got it (or asked nothing)."""
    mine = [trial for trial in trials if trial.candidate == candidate.name and trial.status == "ok"]
    seen = [trial.on_target for trial in mine if trial.on_target is not None]
    if seen and sum(seen) / len(seen) < LEAST_ON_TARGET:
        return (
            f"{candidate.name}: only {sum(seen) / len(seen):.0%} of its pages were where it should have them"
        )
    placed = CPUSet(cpu for placement in candidate.plan.placements for cpu in placement.cpus)
    used = CPUSet(cpu for trial in mine for cpu in trial.cpus_used)
    if used - placed:
        return f"{candidate.name}: threads ran on CPUs {CPUSet(used - placed)}, outside {placed}"
    refused = [note for trial in mine for note in trial.notes if "NOT placed" in note or "not bound" in note]
    if refused:
        return f"{candidate.name}: {refused[0]}"
    return ""


def unseen(candidate: Candidate, trials: Sequence[Trial]) -> bool:
    """Does the placement ask for memory somewhere, and could none of its trials be looked at?"""
    asks = any(p.memory.mode not in ("default", "local") for p in candidate.plan.placements)
    mine = [trial for trial in trials if trial.candidate == candidate.name and trial.status == "ok"]
    return asks and bool(mine) and all(trial.on_target is None for trial in mine)


def judged(verdict: Verdict, arms: Sequence[Candidate], trials: Sequence[Trial]) -> Verdict:
    """`verdict`, or "not delivered" with the reason when an arm did not get what it asked for."""
    reasons = [reason for arm in arms if (reason := shortfall(arm, trials))]
    if reasons:
        return msgspec.structs.replace(verdict, kind="not-delivered", reason="; ".join(reasons))
    blind = [arm.name for arm in arms if unseen(arm, trials)]
    if blind:
        doubt = f"not verified: {', '.join(blind)} ended before its pages could be looked at"
        return msgspec.structs.replace(verdict, reason="; ".join(filter(None, (verdict.reason, doubt))))
    return verdict
