"""GB/s of a node's cores with one thread each, and with all SMT siblings."""

from __future__ import annotations

from numawise.machine.topology import Topology
from numawise.measure.places import (
    LLC_FACTOR,
    around_caches,
    cores_of,
    cpu_nodes,
    last_level_kib,
    nearest_memory,
    siblings_of,
)
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted


@part("smt", group="bandwidth", order=60, how="stream")
def plan(topology: Topology) -> Plan:
    """The first node that has siblings and memory; nothing, with a note, where no core has two allowed CPUs."""
    for node in cpu_nodes(topology):
        cores, every = cores_of(topology, node), siblings_of(topology, node)
        if len(every) > len(cores) and nearest_memory(topology, node) == node:
            kib = LLC_FACTOR * last_level_kib(topology, every)
            # Turn by turn, so that a drift of the machine meets both alike.
            return Plan(
                tuple(
                    Wanted(kernel, cpus, node, (node,), buffer_kib=kib)
                    for kernel in ("read", around_caches(topology, "copy"))
                    for cpus in (cores, every)
                )
            )
    return Plan((), notes=("no core has two CPUs that this process may use: SMT is off, absent or excluded",))
