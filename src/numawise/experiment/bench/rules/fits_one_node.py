"""Does the program's memory fit into one node? Then binding it there is possible at all."""

from __future__ import annotations

from collections.abc import Iterator

from numawise.experiment.bench.advice import Advice, Facts
from numawise.experiment.bench.scenarios import homes, memories

_AMPLE = 0.8
"""Share of a node's memory up to which a program can be bound to it: the rest is for the page cache and others."""


def advise(facts: Facts) -> Iterator[Advice]:
    """Compares the most memory that the default was seen to hold with the smallest node."""
    near = homes(facts.study.topology)
    held = max(
        (t.figures.get("held_mib", 0.0) for t in facts.trials if t.candidate == facts.study.default),
        default=0.0,
    )
    if len(memories(facts.study.topology)) < 2 or not near or not held:
        return
    smallest = min(near, key=lambda node: node.memory_kib)
    room = smallest.memory_kib / 1024
    evidence: dict[str, float | int | str | None] = {"held_mib": held, "node": smallest.id, "node_mib": room}
    if held <= _AMPLE * room:
        sentence = f"It fits into one node: {_size(held)} held, {_size(room)} on the smallest node with CPUs."
        yield Advice("fits-one-node", sentence, evidence)
    else:
        sentence = (
            f"It does not fit into one node: {_size(held)} held, {_size(room)} on node {smallest.id}. Binding it there "
            "would end in the kernel killing it; interleave, or split the weights over the nodes."
        )
        yield Advice("fits-one-node", sentence, evidence, "doubt")


def _size(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
