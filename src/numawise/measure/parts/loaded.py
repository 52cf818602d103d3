"""Latency while others draw bandwidth from the same memory, more and more of it."""

from __future__ import annotations

from numawise.machine.topology import Topology
from numawise.measure.places import (
    LLC_FACTOR,
    cores_of,
    cpu_nodes,
    idle_watchers,
    last_level_kib,
    memory_nodes,
    nearest_memory,
)
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted

PAUSES = (100_000, 20_000, 8_000, 4_000, 2_000, 1_000, 400, 0)
"""Steps of an empty loop after every 4 KiB, from next to no traffic to all there is."""


@part("loaded", group="loaded", order=70, how="loaded")
def plan(topology: Topology) -> Plan:
    """The first node with CPUs and memory: its own memory, and that of another node with CPUs where there is one."""
    near = [n for n in cpu_nodes(topology) if nearest_memory(topology, n) == n]
    if not near:
        return Plan((), gaps=("no node with both CPUs and memory is allowed to this process",))
    node, notes = near[0], []
    chaser, *injectors = cores_of(topology, node)
    if not injectors:
        injectors = [
            cpu for other in cpu_nodes(topology) if other != node for cpu in cores_of(topology, other)
        ]
        notes = [f"node {node} has one core: the traffic comes from the cores of other nodes"]
    if not injectors:
        return Plan((), gaps=("one core only: nobody to draw bandwidth while its latency is measured",))
    targets = [node, *(other for other in near if other != node and other in memory_nodes(topology))][:2]
    kib = LLC_FACTOR * (last_level_kib(topology, [chaser]) + last_level_kib(topology, injectors))
    return Plan(
        tuple(
            Wanted(
                "chase",
                (chaser,),
                node,
                (target,),
                buffer_kib=kib,
                busy=tuple(c for c in idle_watchers(topology, [chaser]) if c not in injectors),
                injectors=tuple(injectors),
                pause=pause,
            )
            for target in targets
            # Half the points for the memory of another node: enough to see the knee.
            for pause in (PAUSES if target == node else PAUSES[1::2])
        ),
        notes=tuple(notes),
    )
