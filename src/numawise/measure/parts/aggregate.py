"""GB/s of all cores of the machine at once: each from its own node's memory, and from interleaved memory."""

from __future__ import annotations

from numawise.machine.topology import Topology
from numawise.measure.places import (
    LLC_FACTOR,
    around_caches,
    cores_of,
    cpu_nodes,
    last_level_kib,
    nearest_memory,
)
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted


@part("aggregate", group="bandwidth", order=30, how="stream")
def plan(topology: Topology) -> Plan:
    """All cores of the allowed nodes; interleaved over the nodes that these cores have as their own.

    `triad` as a plain compiler builds STREAM (every stored line is read first), `triad_nt` as a tuned one does.
    """
    tuned = around_caches(topology, "triad")
    near = {node: nearest_memory(topology, node) for node in cpu_nodes(topology)}
    pairs = [
        (cpu, home) for node, home in near.items() if home is not None for cpu in cores_of(topology, node)
    ]
    if not pairs:
        return Plan((), gaps=("no node with memory is allowed to this process",))
    cpus, homes = tuple(cpu for cpu, _ in pairs), tuple(home for _, home in pairs)
    memory = tuple(sorted(set(homes)))
    cpu_node = next(iter(near)) if len(near) == 1 else None
    kib = LLC_FACTOR * last_level_kib(topology, cpus)
    readings = [
        Wanted(kernel, cpus, cpu_node, memory, "own", homes, buffer_kib=kib, weight=1.5)
        for kernel in dict.fromkeys(("read", "triad", tuned))
    ]
    if len(memory) == 1:
        return Plan(tuple(readings), notes=("one node of memory: nothing to interleave over",))
    readings += [
        Wanted(kernel, cpus, cpu_node, memory, "interleaved", buffer_kib=kib, weight=1.5)
        for kernel in ("read", tuned)
    ]
    return Plan(tuple(readings))
