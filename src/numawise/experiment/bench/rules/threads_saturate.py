"""From how many threads on more of them gain nothing."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """The fewest threads that were shown to be as good as all CPUs, or better."""
    for reference in dict.fromkeys(arm.against for arm in facts.on("threads")):
        found = []
        for arm in facts.on("threads"):
            count, verdict = facts.candidate(arm).threads, arm.verdict
            if arm.against == reference and count is not None and verdict is not None:
                found.append((count, arm, verdict))
        enough = [
            each for each in sorted(found, key=lambda e: e[0]) if each[2].kind in ("equivalent", "better")
        ]
        most = len(facts.study.topology.allowed.cpus)
        if not enough or enough[0][0] >= most:
            continue
        count, arm, verdict = enough[0]
        every = f"all {most} CPUs"
        how = f"as good as {every}" if verdict.kind == "equivalent" else facts.amount(verdict, every)
        yield Advice(
            rule="threads-saturate",
            sentence=f"{count} thread{'s' if count > 1 else ''} {'are' if count > 1 else 'is'} {how} "
            f"({reference}): the others may do something else.",
            evidence={
                "threads": count,
                "arm": arm.name,
                "ratio": verdict.ratio,
                "low": verdict.low,
                "high": verdict.high,
            },
            tone="do" if verdict.kind == "better" else "know",
        )
