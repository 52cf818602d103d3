"""What it costs to keep the weights in another order than they are read."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for each method whose layouts were compared and decided."""
    for arm in facts.on("layout"):
        verdict = arm.verdict
        if verdict is None or verdict.kind not in ("better", "worse", "equivalent"):
            continue
        method = arm.name.partition(", ")[0]
        how = {
            "worse": f"cost: {facts.amount(verdict, 'contiguous ones')}. Store them in the order they are read",
            "better": f"gain: {facts.amount(verdict, 'contiguous ones')}. Keep them as PyTorch's Linear does",
            "equivalent": f"make no difference: {facts.amount(verdict)}",
        }[verdict.kind]
        yield Advice(
            rule="layout",
            sentence=f"{method}: non-contiguous weights {how}.",
            evidence={"arm": arm.name, "ratio": verdict.ratio, "low": verdict.low, "high": verdict.high},
            tone="know" if verdict.kind == "equivalent" else "do",
        )
