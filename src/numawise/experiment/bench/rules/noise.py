"""Where the noise was too large for the number of runs: nothing is claimed."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for all arms that were compared and not decided."""
    undecided = [arm for arm in facts.arms if arm.verdict is not None and arm.verdict.kind == "inconclusive"]
    if not undecided or facts.outcome is None:
        return
    names = ", ".join(arm.name if "," not in arm.name else f"'{arm.name}'" for arm in undecided[:4])
    more = f" and {len(undecided) - 4} more" if len(undecided) > 4 else ""
    widest = max((arm.verdict.high / arm.verdict.low for arm in undecided if arm.verdict), default=1.0)
    yield Advice(
        rule="noise",
        sentence=(
            f"Too noisy to say after these runs: {names}{more}. More time (--budget) or a quieter machine may decide; "
            "until then nothing is claimed of them."
        ),
        evidence={"undecided": len(undecided), "widest": widest if widest < 1e6 else None},
        tone="doubt",
    )
