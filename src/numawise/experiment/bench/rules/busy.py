"""Other programs on the same CPUs are noise, and take bandwidth that the figures then miss."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts

_IDLE = 0.5
"""Runnable threads per allowed CPU, beyond which the machine was not idle."""


def advise(facts: Facts) -> Iterator[Advice]:
    """Says so where the load average of the minute before the first trial was high."""
    cpus = len(facts.study.topology.allowed.cpus)
    try:
        load = float(facts.study.settings.get("load average", "").split()[0])
    except (IndexError, ValueError):  # not readable here: nothing to say
        return
    if load > _IDLE * cpus:
        yield Advice(
            rule="busy",
            sentence=(
                f"Other programs were running when this began (load average {load:g} on {cpus} CPUs): times, GB/s and "
                "shares are lower than this machine can do. The verdicts are between runs side by side, and noisier."
            ),
            evidence={"load": load, "cpus": cpus},
            tone="doubt",
        )
