"""`local` is what the kernel does by itself: if it came out different from the default, so could anything have."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts

INHERITED = "memory policy inherited"


def advise(facts: Facts) -> Iterator[Advice]:
    """Doubts the whole run where two equal things were told apart."""
    if facts.study.settings.get(INHERITED, "default") != "default":
        return
    for arm in facts.on("placement"):
        verdict = arm.verdict
        if (
            facts.candidate(arm).policy == "local"
            and verdict is not None
            and verdict.kind in ("better", "worse")
        ):
            yield Advice(
                rule="control",
                sentence=(
                    f"{arm.name} is the same to the kernel as {arm.against}, and yet came out {facts.amount(verdict)}: "
                    "something else differed between runs, so doubt the other verdicts of this run as well."
                ),
                evidence={"arm": arm.name, "ratio": verdict.ratio, "low": verdict.low, "high": verdict.high},
                tone="doubt",
            )
