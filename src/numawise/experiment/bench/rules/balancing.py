"""Automatic NUMA balancing moves pages while they are measured, unless they are bound."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts
from numawise.experiment.bench.scenarios import memories


def advise(facts: Facts) -> Iterator[Advice]:
    """Says so where it is switched on and there is somewhere to move to."""
    state = facts.study.settings.get("NUMA balancing", "0")
    if state in ("", "0") or len(memories(facts.study.topology)) < 2:
        return
    yield Advice(
        rule="balancing",
        sentence=(
            f"Automatic NUMA balancing is on (kernel.numa_balancing = {state}): pages that are not bound may have "
            "moved during the runs, and the scanning costs time of its own. Compare with 0 where you may set it."
        ),
        evidence={"numa_balancing": state},
    )
