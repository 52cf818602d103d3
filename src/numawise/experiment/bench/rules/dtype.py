"""What weights of half the size are worth."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for each method whose types were compared and decided."""
    for arm in facts.on("dtype"):
        verdict = arm.verdict
        if verdict is None or verdict.kind not in ("better", "worse", "equivalent"):
            continue
        method = arm.name.partition(", ")[0]
        how = (
            "no faster and no slower than float32"
            if verdict.kind == "equivalent"
            else facts.amount(verdict, "float32")
        )
        yield Advice(
            rule="dtype",
            sentence=f"{method}: bfloat16 weights, half the bytes, are {how}.",
            evidence={"arm": arm.name, "ratio": verdict.ratio, "low": verdict.low, "high": verdict.high},
        )
