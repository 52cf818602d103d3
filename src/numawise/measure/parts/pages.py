"""ns of a dependent load in ordinary and in huge pages: what a miss of the TLB costs."""

from __future__ import annotations

from numawise.machine.topology import Topology
from numawise.measure.places import (
    LLC_FACTOR,
    cores_of,
    cpu_nodes,
    idle_watchers,
    last_level_kib,
    nearest_memory,
)
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted


@part("pages", group="latency", order=50, how="chase")
def plan(topology: Topology) -> Plan:
    """One CPU of the first node with CPUs, in that node's memory, both ways over as many bytes."""
    for node in cpu_nodes(topology):
        if nearest_memory(topology, node) == node:
            cpu = cores_of(topology, node)[0]
            kib = LLC_FACTOR * last_level_kib(topology, [cpu])
            busy = idle_watchers(topology, [cpu])
            ways = [
                Wanted("chase", (cpu,), node, (node,), buffer_kib=kib, huge=huge, busy=busy, weight=2)
                for huge in (False, True)
            ]
            return Plan(tuple(ways))
    return Plan((), gaps=("no node with both CPUs and memory is allowed to this process",))
