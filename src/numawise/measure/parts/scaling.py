"""GB/s of 1, 2, ... cores of one node from its own memory: where does it saturate?"""

from __future__ import annotations

from numawise.machine.topology import Topology
from numawise.measure.places import LLC_FACTOR, cores_of, cpu_nodes, last_level_kib, nearest_memory
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted


@part("scaling", group="bandwidth", order=40, how="stream")
def plan(topology: Topology) -> Plan:
    """The first node with CPUs and memory; cores are added over its L3 domains in turn."""
    node = next((n for n in cpu_nodes(topology) if nearest_memory(topology, n) == n), None)
    if node is None:
        return Plan((), gaps=("no node with both CPUs and memory is allowed to this process",))
    cores = cores_of(topology, node)
    readings = [
        Wanted(
            "read",
            cores[:count],
            node,
            (node,),
            buffer_kib=LLC_FACTOR * last_level_kib(topology, cores[:count]),
        )
        for count in counts(len(cores))
    ]
    others = [n for n in cpu_nodes(topology) if n != node]
    return Plan(tuple(readings), notes=(f"node {node} stands for all nodes with CPUs",) if others else ())


def counts(cores: int) -> tuple[int, ...]:
    """Numbers of cores to try: powers of two and the halves between them, and all.

    >>> counts(20)
    (1, 2, 3, 4, 6, 8, 12, 16, 20)
    """
    powers = [1 << i for i in range(cores.bit_length())]
    between = [power + power // 2 for power in powers if power > 1]
    return tuple(sorted({n for n in (*powers, *between) if n < cores} | {cores}))
