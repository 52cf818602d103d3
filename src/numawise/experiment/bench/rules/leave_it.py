"""Every placement was shown equal to the default, or worse: leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """For each default whose placements are all decided, none of them for the better."""
    placements = [arm for arm in facts.on("placement") if arm.verdict is not None]
    for reference in dict.fromkeys(arm.against for arm in placements):
        own = facts.arm(reference)
        if own is None or facts.candidate(own).policy != "default":
            continue
        kinds = {arm.name: arm.verdict.kind for arm in placements if arm.against == reference and arm.verdict}
        if set(kinds.values()) <= {"equivalent", "worse"}:
            equal = sum(kind == "equivalent" for kind in kinds.values())
            worse, within = len(kinds) - equal, f"{100 * facts.study.delta:g}%"
            parts = [f"{equal} other placement(s) made no difference of more than {within}"] if equal else []
            parts += [f"{worse} other placement(s) were worse"] if worse else []
            yield Advice(
                rule="leave-it",
                sentence=f"Leave {reference} as it is: {' and '.join(parts)}.",
                evidence={"equivalent": equal, "worse": worse, "delta": facts.study.delta},
                tone="same",
            )
