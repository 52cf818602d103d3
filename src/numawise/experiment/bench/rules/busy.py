"""Other programs on the same CPUs are noise, and take bandwidth that the figures then miss."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts


def advise(facts: Facts) -> Iterator[Advice]:
    """Says so where the load average of the minute before the first trial was high."""
    cpus = len(facts.study.topology.allowed.cpus)
    load = facts.busy
    if load is not None:
        yield Advice(
            rule="busy",
            sentence=(
                f"Other programs were running when this began (load average {load:g} on {cpus} CPUs): times, GB/s and "
                "shares are lower than this machine can do. The verdicts are between runs side by side, and noisier."
            ),
            evidence={"load": load, "cpus": cpus},
            tone="doubt",
        )
