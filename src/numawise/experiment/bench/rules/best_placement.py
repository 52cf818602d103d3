"""A placement was shown better than the default: use it."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts
from numawise.experiment.bench.run import SAME_WORK
from numawise.experiment.bench.scenarios import selection


def advise(facts: Facts) -> Iterator[Advice]:
    """For each default that placements were judged against, the one shown furthest ahead."""
    for reference in dict.fromkeys(arm.against for arm in facts.on(*SAME_WORK)):
        ahead = [
            (arm, arm.verdict)
            for arm in facts.on(*SAME_WORK)
            if arm.against == reference and arm.verdict is not None and arm.verdict.kind == "better"
        ]
        own = facts.arm(reference)
        if not ahead or own is None or facts.candidate(own).policy != "default":
            continue
        arm, verdict = min(ahead, key=lambda each: each[1].ratio)
        options = selection(facts.candidate(arm))
        yield Advice(
            rule="best-placement",
            sentence=(
                f"Run it as `numawise run {options} -- ...`: {arm.name} is {facts.amount(verdict, reference)}. "
                "Of several that are ahead this one looked best; `numawise tune` searches further."
            ),
            evidence={
                "arm": arm.name,
                "ratio": verdict.ratio,
                "low": verdict.low,
                "high": verdict.high,
                "pairs": verdict.pairs,
            },
            tone="do",
        )
