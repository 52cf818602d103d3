"""ns of a dependent load: one CPU of every node with CPUs, every node with memory, everything else idle."""

from __future__ import annotations

from numawise.machine.topology import Topology
from numawise.measure.places import (
    LLC_FACTOR,
    cores_of,
    cpu_nodes,
    idle_watchers,
    last_level_kib,
    refused,
    silent_nodes,
)
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted


@part("latency", group="latency", order=10, how="chase")
def plan(topology: Topology) -> Plan:
    """A reading for each pair, by memory node, the node's own CPUs first; holes, with the reason, where none can be."""
    chasers = {node: cores_of(topology, node)[0] for node in cpu_nodes(topology)}
    # One size for all pairs: they share the node's buffer, and differ in nothing but where it is.
    kib = LLC_FACTOR * max((last_level_kib(topology, [cpu]) for cpu in chasers.values()), default=0)
    readings = []
    for node in sorted(topology.nodes, key=lambda node: node.id):
        if node.memory_kib <= 0:
            continue
        why = refused(topology, node)
        for cpu_node, cpu in sorted(chasers.items(), key=lambda item: (item[0] != node.id, item[0])):
            busy = idle_watchers(topology, [cpu])
            readings.append(
                Wanted("chase", (cpu,), cpu_node, (node.id,), buffer_kib=kib, busy=busy, weight=2, why=why)
            )
        readings += [
            Wanted("chase", (), silent.id, (node.id,), why=not_allowed(silent.id))
            for silent in silent_nodes(topology)
        ]
    one = f"one node: the matrix is 1x1 (CPUs {topology.cpus})" if len(topology.nodes) == 1 else ""
    return Plan(tuple(readings), notes=(one,) if one else ())


def not_allowed(node: int) -> str:
    """Why there is no reading from the CPUs of a node that the process may not use."""
    return (
        f"node {node}: none of its CPUs is allowed to this process (cpuset or affinity); measure from outside"
    )
