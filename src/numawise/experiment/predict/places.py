"""A plan as the model sees it: for each process, where its threads are and where its pages come to lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from numawise.experiment.predict.machine import Machine
from numawise.experiment.predict.work import FirstTouch, Work
from numawise.machine.topology import Topology
from numawise.placement.units import cores_of
from numawise.placement.values import MemoryPolicy, Placement, Plan

Shares = dict[int, float]


class Place(msgspec.Struct, frozen=True):
    """One process."""

    cpus: int
    cores: int
    threads: int
    """Of all its workers together."""
    workers: int
    on: Shares
    """Share of its threads on each node."""
    pages: dict[int, Shares]
    """Share of the pages used from each node's threads, by the node they lie on."""
    huge: bool


def places(plan: Plan, machine: Machine, work: Work, touch: FirstTouch, stray: float) -> tuple[Place, ...]:
    """The processes of a plan, the pages lying as the policy (or whoever touches first) puts them."""
    return tuple(_place(placement, machine, work, touch, stray) for placement in plan.placements)


def _place(placement: Placement, machine: Machine, work: Work, touch: FirstTouch, stray: float) -> Place:
    topology = machine.topology
    cpus, cores = placement.cpus, cores_of(topology, placement.cpus)
    # Of a launch of several processes `workers` is their number; of one process, what it starts itself.
    told = placement.workers or 1
    workers = told if placement.ranks == 1 else 1
    each = placement.threads or work.threads or max(1, len(cpus) // workers)
    counts = {
        node.id: len(cores_of(topology, node.cpus & cpus)) for node in topology.nodes if node.cpus & cpus
    }
    total = sum(counts.values()) or 1
    on = {node: count / total for node, count in counts.items()}
    alone = len(cpus) == len(topology.allowed.cpus)  # nobody bound it: its threads wander
    return Place(
        cpus=len(cpus),
        cores=len(cores),
        threads=each * workers,
        workers=workers,
        on=on,
        pages={
            node: _room(
                _pages(placement.memory, node, on, machine, touch, 0.0 if len(on) == 1 and alone else stray),
                placement.memory,
                work,
                machine,
            )
            for node in on
        },
        huge=_huge(placement, topology),
    )


def _pages(
    policy: MemoryPolicy, node: int, on: Shares, machine: Machine, touch: FirstTouch, stray: float
) -> Shares:
    nodes = [n for n in policy.nodes if n in machine.memory_nodes]
    if policy.mode in ("interleave", "weighted-interleave") and nodes:
        weights = dict.fromkeys(nodes, 1.0)
        if policy.mode == "weighted-interleave":
            weights = {n: max(row.get(n, 0.0) for row in machine.gb_per_s.values()) for n in nodes}
        return _normal(weights)
    if policy.mode in ("bind", "preferred", "preferred-many") and nodes:
        toucher = min(on) if touch == "one" else node
        return {_nearest(toucher, nodes, machine): 1.0}
    everywhere = machine.memory_nodes
    beside = {n: share for n, share in on.items() if n in everywhere}
    if touch == "one":
        return {_nearest(min(on), everywhere, machine): 1.0}
    if touch == "spread" and len(beside) > 1:
        return _normal(beside)
    if touch == "near":
        stray = 0.0
    own = _nearest(node, everywhere, machine)
    others = [n for n in everywhere if machine.topology.node(n).cpus and n != own]
    if not others:
        return {own: 1.0}
    return {own: 1.0 - stray, **{n: stray / len(others) for n in others}}


def _room(shares: Shares, policy: MemoryPolicy, work: Work, machine: Machine) -> Shares:
    """What does not fit on a node goes to the others, except under a policy that forbids it."""
    if not work.footprint_kib or policy.mode == "bind":
        return shares
    over: Shares = {}
    for node, share in shares.items():
        there = machine.topology.node(node).available_kib / work.footprint_kib
        over[node] = max(0.0, share - there)
    spilled = sum(over.values())
    others = [n for n in machine.memory_nodes if not over.get(n)]
    if not spilled or not others:
        return shares
    kept = {node: share - over[node] for node, share in shares.items()}
    for node in others:
        kept[node] = kept.get(node, 0.0) + spilled / len(others)
    return {node: share for node, share in kept.items() if share > 0}


def _nearest(node: int, among: Sequence[int], machine: Machine) -> int:
    row = machine.latency_ns.get(node, {})
    return min(among, key=lambda n: (n != node, row.get(n, 1e9), n))


def _normal(weights: Mapping[int, float]) -> Shares:
    total = sum(weights.values())
    return {node: weight / total for node, weight in weights.items()}


def _huge(placement: Placement, topology: Topology) -> bool:
    """Whether large allocations come in huge pages: where the system gives them, or malloc asks for them."""
    if placement.thp == "never" or topology.transparent_huge_pages in (None, "never"):
        return False
    return topology.transparent_huge_pages == "always" or placement.thp == "madvise"
