"""ns for a cache line to go from one core to another: all pairs on small machines, a spread sample on large ones."""

from __future__ import annotations

from itertools import combinations

from numawise.machine.topology import Topology
from numawise.measure.places import cores_of, cpu_nodes
from numawise.measure.registry import part
from numawise.measure.wanted import Plan, Wanted

MOST_CORES = 16
"""As many cores pair with each other: 120 pairs."""


@part("core_to_core", group="latency", order=80, how="core to core")
def plan(topology: Topology) -> Plan:
    """Every pair of cores, or of `MOST_CORES` spread over nodes and L3 domains, several of each where possible."""
    groups = _groups(topology)
    cores = [cpu for group in groups for cpu in group]
    if len(cores) < 2:
        return Plan((), notes=("one core only: no pair to measure",))
    chosen, notes = cores, tuple[str, ...]()
    if len(cores) > MOST_CORES:
        some = _even(groups, MOST_CORES // 2)
        chosen = [cpu for group in some for cpu in _even(group, MOST_CORES // len(some))]
        notes = (
            f"a sample: all pairs of {len(chosen)} cores of {len(cores)}, spread over {len(some)} of "
            f"{len(groups)} L3 domains",
        )
    node_of = {cpu: node for node in cpu_nodes(topology) for cpu in cores_of(topology, node)}
    readings = tuple(
        Wanted(
            "core_to_core",
            (one, other),
            node_of[one] if node_of[one] == node_of[other] else None,
            (),
            weight=0.25,
        )
        for one, other in combinations(sorted(chosen), 2)
    )
    return Plan(readings, notes=notes)


def _groups(topology: Topology) -> list[list[int]]:
    """The cores (one allowed CPU each), by node and L3 domain."""
    groups: dict[tuple[int, int], list[int]] = {}
    for node in cpu_nodes(topology):
        for cpu in sorted(cores_of(topology, node)):
            domain = next((i for i, d in enumerate(topology.l3_domains) if cpu in d.cpus), -1)
            groups.setdefault((node, domain), []).append(cpu)
    return [groups[key] for key in sorted(groups)]


def _even(items: list, count: int) -> list:  # type: ignore[type-arg]
    """At most `count` of `items`, evenly spaced."""
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]
