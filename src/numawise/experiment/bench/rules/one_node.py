"""With one node of memory there is nowhere else to put anything."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts
from numawise.experiment.bench.scenarios import memories


def advise(facts: Facts) -> Iterator[Advice]:
    """Says whether the machine or only what is allowed here has one node."""
    topology = facts.study.topology
    usable = memories(topology)
    there = [node for node in topology.nodes if node.memory_kib and node.kind != "gpu"]
    if len(usable) >= 2 or not usable:
        return
    evidence: dict[str, float | int | str | None] = {"nodes with memory": len(there), "allowed": len(usable)}
    if len(there) == 1:
        yield Advice(
            rule="one-node",
            sentence=(
                "This machine has one node of memory: binding memory can gain nothing here. "
                "What can be changed is the method, the layout of the weights and the number of threads."
            ),
            evidence=evidence,
            tone="same",
        )
    else:
        yield Advice(
            rule="one-node",
            sentence=(
                f"The machine has {len(there)} nodes of memory, but only node {usable[0].id} is allowed here (cpuset): "
                "placements were not compared. Run it where the others are allowed to see what they are worth."
            ),
            evidence=evidence,
            tone="doubt",
        )
