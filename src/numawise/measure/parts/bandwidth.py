"""GB/s that all cores of a node draw together, from every node with memory, kernel by kernel."""

from __future__ import annotations

from numawise.machine.topology import Topology
from numawise.measure.parts.latency import not_allowed
from numawise.measure.places import (
    LLC_FACTOR,
    around_caches,
    cores_of,
    cpu_nodes,
    last_level_kib,
    refused,
    silent_nodes,
)
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted


@part("bandwidth", group="bandwidth", order=20, how="stream")
def plan(topology: Topology) -> Plan:
    """A reading for each pair and kernel, by memory node, the node's own CPUs first.

    Reading alone, writing alone, both; the last two around the caches where the machine can, so that no line is read
    that is only written.
    """
    kernels = ("read", around_caches(topology, "write"), around_caches(topology, "copy"))
    readings = []
    own_first = sorted(topology.nodes, key=lambda node: (not node.cpus, node.id))
    for node in own_first:
        if node.memory_kib <= 0:
            continue
        why = refused(topology, node)
        for cpu_node in sorted(cpu_nodes(topology), key=lambda other: (other != node.id, other)):
            cores = cores_of(topology, cpu_node)
            kib = LLC_FACTOR * last_level_kib(topology, cores)
            readings += [
                Wanted(kernel, cores, cpu_node, (node.id,), buffer_kib=kib, why=why) for kernel in kernels
            ]
        readings += [
            Wanted(kernel, (), silent.id, (node.id,), why=not_allowed(silent.id))
            for silent in silent_nodes(topology)
            for kernel in kernels
        ]
    one = "one node: the matrix is 1x1" if len(topology.nodes) == 1 else ""
    return Plan(tuple(readings), notes=(one,) if one else ())
