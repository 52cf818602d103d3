"""The placements that matter on a machine, as wishes: bound to a node, CPUs here and memory there, interleaved.

A node without CPUs is never where a scenario computes, only where one keeps its memory; a GPU's memory is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from numawise.experiment.records import Candidate
from numawise.linux.cpuset import format_list
from numawise.machine.topology import Node, Topology
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy

DEFAULT = "default"
_MOST_NODES = 4
"""Nodes that each get scenarios of their own; the others are most often like them, and are told to be left out."""
_MOST_PAIRS = 6


class Scenario(msgspec.Struct, frozen=True):
    """One placement, and the scenario it is judged against."""

    name: str
    request: Request
    against: str = DEFAULT


def homes(topology: Topology) -> tuple[Node, ...]:
    """The nodes on which a program can compute with its memory beside it."""
    return tuple(node for node in memories(topology) if node.cpus & topology.allowed.cpus)


def memories(topology: Topology) -> tuple[Node, ...]:
    """The nodes whose memory a program may use."""
    return tuple(
        n for n in topology.nodes if n.memory_kib and n.kind != "gpu" and n.id in topology.allowed.nodes
    )


def scenarios(topology: Topology, *, full: bool, everything: bool = False) -> tuple[Scenario, ...]:
    """The scenarios beside the default, the most telling first; none where there is one node of memory.

    `full` adds all pairs of CPUs on one node and memory on another, `local` and `preferred`. `everything` sets no limit
    to the number of nodes. A pair is judged against being bound to the node of its CPUs: that is what distance costs.
    """
    if len(memories(topology)) < 2:
        return ()
    near = homes(topology) if everything else homes(topology)[:_MOST_NODES]
    pairs = list(_pairs(topology, near, everything=everything))
    found = [Scenario(f"bind:{n.id}", Request(nodes=(n.id,))) for n in near]
    found += [_apart(cpus, memory) for cpus, memory in (pairs if full else pairs[:1])]
    spread = tuple(n.id for n in homes(topology)) or tuple(n.id for n in memories(topology))
    if len(spread) > 1:
        found.append(Scenario("interleave", Request(memory=MemoryPolicy("interleave", spread))))
    if full:
        found.append(Scenario("local", Request(memory=MemoryPolicy("local"))))
        found += [
            Scenario(
                f"preferred:{n.id}", Request(cpu_nodes=(n.id,), memory=MemoryPolicy("preferred", (n.id,)))
            )
            for n in near
        ]
    return tuple(found)


def left_out(topology: Topology, *, everything: bool = False) -> dict[str, str]:
    """The scenarios that one may miss here, and why they are not there."""
    reasons: dict[str, str] = {}
    for node in topology.nodes:
        if node.kind == "gpu":
            continue
        if not node.memory_kib:
            reasons[f"bind:{node.id}"] = f"node {node.id} has no memory"
        elif node.id not in topology.allowed.nodes:
            name = f"bind:{node.id}" if node.cpus else f"memory of node {node.id}"
            reasons[name] = f"node {node.id} is not allowed here (cpuset): its memory may not be used"
        elif node.cpus and not node.cpus & topology.allowed.cpus:
            reasons[f"bind:{node.id}"] = f"no CPU of node {node.id} is allowed here (cpuset or affinity)"
    if len(memories(topology)) < 2:
        reasons["placements"] = "there is one node of memory to use here, and so nowhere else to put anything"
    elif len(homes(topology)) > _MOST_NODES and not everything:
        rest = format_list(n.id for n in homes(topology)[_MOST_NODES:])
        reasons[f"nodes {rest}"] = f"{_MOST_NODES} nodes are taken for all; --only 'bind:*' takes every node"
    return reasons


def selection(candidate: Candidate) -> str:
    """The options of `numawise run` that say the same as this arm; empty when it is the default.

    >>> from numawise.placement.values import Plan
    >>> selection(Candidate("einsum, cpu:0 mem:1, 4 threads", Plan(()), policy="cpu:0 mem:1", threads=4))
    '--cpunodebind 0 --mem bind:1 --threads 4'
    """
    if apart := re.fullmatch(r"cpu:(\d+) mem:(\d+)", candidate.policy):
        options = f"--cpunodebind {apart[1]} --mem bind:{apart[2]}"
    else:
        policy, _, node = candidate.policy.partition(":")
        options = {
            "default": "",
            "bind": f"--node {node}",
            "preferred": f"--cpunodebind {node} --mem preferred:{node}",
            "local": "--mem local",
            "interleave": f"--mem interleave:{_nodes(candidate)}",
        }[policy]
    return " ".join(filter(None, (options, f"--threads {candidate.threads}" if candidate.threads else "")))


def _nodes(candidate: Candidate) -> str:
    return format_list(candidate.plan.placements[0].memory.nodes) if candidate.plan.placements else "all"


def _apart(cpus: Node, memory: Node) -> Scenario:
    request = Request(cpu_nodes=(cpus.id,), memory=MemoryPolicy("bind", (memory.id,)))
    return Scenario(f"cpu:{cpus.id} mem:{memory.id}", request, against=f"bind:{cpus.id}")


def _pairs(topology: Topology, near: tuple[Node, ...], *, everything: bool) -> Iterator[tuple[Node, Node]]:
    """CPUs here, memory there: the first node's farthest neighbour first, then the rest as far as there is room."""
    every = [(cpus, memory) for cpus in near for memory in memories(topology) if cpus.id != memory.id]
    at_home = {node.id for node in homes(topology)}

    def order(pair: tuple[Node, Node]) -> tuple[bool, int, int, int]:
        cpus, memory = pair
        far = (topology.distances or {}).get(cpus.id, {}).get(memory.id, 0)
        return memory.id not in at_home, -far, cpus.id, memory.id

    ordered = sorted(every, key=order)
    if everything or len(ordered) <= _MOST_PAIRS:
        yield from ordered
        return
    # Each memory once from somewhere, the far ones of other nodes first, and the CPUs taken in turn.
    seen: set[int] = set()
    for cpus, memory in ordered:
        if memory.id not in seen and len(seen) < _MOST_PAIRS:
            seen.add(memory.id)
            yield cpus, memory
