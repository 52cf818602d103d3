"""What memory on another node costs: the same CPUs, once with their own memory and once with the other node's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """One sentence for each pair of nodes that was decided."""
    for arm in facts.on("placement"):
        apart = re.fullmatch(r"cpu:(\d+) mem:(\d+)", facts.candidate(arm).policy)
        verdict = arm.verdict
        if apart is None or verdict is None or not arm.against.endswith(f"bind:{apart[1]}"):
            continue
        where = f"memory of node {apart[2]} under CPUs of node {apart[1]}"
        program = arm.name.rpartition(", ")[0]
        evidence: dict[str, float | int | str | None] = {
            "arm": arm.name, "ratio": verdict.ratio, "low": verdict.low, "high": verdict.high, "pairs": verdict.pairs,
            "distance": (facts.study.topology.distances or {}).get(int(apart[1]), {}).get(int(apart[2])),
        }  # fmt: skip
        of = f"{program}: " if program else ""
        if verdict.kind == "worse":
            sentence = f"{of}{where} made it {facts.amount(verdict, 'with their own')}."
            yield Advice("remote-memory", sentence, evidence)
        elif verdict.kind == "equivalent":
            sentence = f"{of}{where} cost nothing that matters: {facts.amount(verdict)} against its own."
            yield Advice("remote-memory", sentence, evidence)
        elif verdict.kind == "better":
            sentence = f"{of}{where} was {facts.amount(verdict, 'their own')}: near is not fast here."
            yield Advice("remote-memory", sentence, evidence)
