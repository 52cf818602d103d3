"""Is memory the limit? What the layer moves against what the same threads read doing nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts

_BOUND = 0.7
_FREE = 0.3
_CACHED = 1.05
"""Above this share of the read bandwidth it is no longer memory that is read: `caches` speaks of it."""


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for each method under the default placement; none where others took part of either figure."""
    if facts.busy is not None:
        return
    for arm in facts.arms:
        share, rate, limit = (arm.figures.get(k) for k in ("share_of_read", "gb_per_s", "read_gb_per_s"))
        first = arm.name == facts.study.default or arm.axis == "method"
        if not first or share is None or rate is None or limit is None or share > _CACHED:
            continue
        evidence: dict[str, float | int | str | None] = {
            "arm": arm.name, "share_of_read": share, "gb_per_s": rate, "read_gb_per_s": limit,
        }  # fmt: skip
        figures = f"{rate:.1f} of the {limit:.1f} GB/s that the same threads read"
        if share >= _BOUND:
            sentence = (
                f"{arm.name}: memory is the limit ({figures}). Nearer memory helps, more arithmetic does not."
            )
            yield Advice("bandwidth", sentence, evidence)
        elif share <= _FREE:
            sentence = (
                f"{arm.name}: memory is not the limit ({figures}): computing is, or threads that wait for each other. "
                "Where memory lies changes little."
            )
            yield Advice("bandwidth", sentence, evidence)
