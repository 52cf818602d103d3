"""An arm that did not get its placement says nothing about it."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for each arm that was looked at and found elsewhere."""
    for arm in facts.arms:
        if arm.verdict is not None and arm.verdict.kind == "not-delivered":
            yield Advice(
                rule="not-delivered",
                sentence=f"Nothing is claimed of {arm.name}: {arm.verdict.reason}.",
                evidence={"arm": arm.name, "on_target": arm.on_target},
                tone="doubt",
            )
