"""Does it fit? Refuses, before anything starts, what the machine cannot hold or this process may not use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numawise.errors import NotPermittedError, UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Topology
from numawise.placement.request import describe_nodes
from numawise.placement.values import Placement

_WIDER_CPUS = "; a container gets its CPUs from --cpuset-cpus"


def check_cpus(wanted: CPUSet, topology: Topology) -> None:
    """Raise UsageError for CPUs that do not exist or are offline, NotPermittedError for those not allowed."""
    missing = CPUSet(wanted - topology.cpus)
    if missing:
        state = "offline" if missing <= topology.offline_cpus else "not on this machine"
        raise UsageError(f"CPUs {missing} are {state}; online are {topology.cpus}")
    refused = CPUSet(wanted - topology.allowed.cpus)
    if refused:
        raise NotPermittedError(
            f"CPUs {refused} are not allowed here (cpuset or affinity of the caller{_WIDER_CPUS}); "
            f"allowed are {topology.allowed.cpus}"
        )


def check_nodes(wanted: Iterable[int], topology: Topology, *, cpus: bool, memory: bool) -> None:
    """Raise when one of the nodes does not exist, has not what is wanted of it, or is not allowed."""
    known = {node.id: node for node in topology.nodes}
    for node_id in wanted:
        if node_id not in known:
            raise UsageError(f"there is no node {node_id}; this machine has {describe_nodes(topology)}")
        node = known[node_id]
        if cpus and not node.cpus:
            raise UsageError(
                f"node {node_id} has no CPUs; choose CPUs elsewhere and use its memory with --mem bind:{node_id}"
            )
        if cpus and not node.cpus & topology.allowed.cpus:
            raise NotPermittedError(
                f"node {node_id}: none of its CPUs ({node.cpus}) is allowed here (cpuset or affinity of the "
                f"caller{_WIDER_CPUS}); " + _possible(topology)
            )
        if memory and not node.memory_kib:
            raise UsageError(f"node {node_id} has no memory; name another for it with --mem")
        if memory and node_id not in topology.allowed.nodes:
            raise NotPermittedError(
                f"node {node_id}: its memory is not allowed here (cpuset of the caller; "
                "a container gets its nodes from --cpuset-mems); " + _possible(topology)
            )


def check_size(placements: Sequence[Placement], size_kib: int, topology: Topology) -> None:
    """Raise UsageError, with the arithmetic, when a stated size per process cannot be held where it is asked for."""
    available = {node.id: node.available_kib for node in topology.nodes if node.id in topology.allowed.nodes}
    demand: dict[tuple[int, ...], int] = {}
    for placement in placements:
        mode, nodes = placement.memory.mode, placement.memory.nodes
        # Only these two confine a process; the others spill over to the other allowed nodes.
        where = nodes if mode == "bind" else tuple(available)
        if mode in ("interleave", "weighted-interleave"):
            where = nodes
        demand[where] = demand.get(where, 0) + size_kib
    for where, wanted in demand.items():
        room = sum(available.get(node, 0) for node in where)
        if wanted > room:
            count = sum(1 for p in placements if (p.memory.nodes or tuple(available)) == where)
            share = f"{count} x {_gib(size_kib)}" if count > 1 else _gib(size_kib)
            rooms = ", ".join(f"node {n}: {_gib(k)}" for n, k in available.items())
            raise UsageError(
                f"{share} do not fit on node{'s' if len(where) > 1 else ''} {','.join(map(str, where))}, "
                f"which can hold {_gib(room)} (available: {rooms})"
            )
    total, room = size_kib * len(placements), sum(available.values())
    if total > room:
        raise UsageError(
            f"{len(placements)} x {_gib(size_kib)} do not fit in the {_gib(room)} available on all nodes"
        )
    _check_limit(len(placements), size_kib, topology)


def _check_limit(count: int, size_kib: int, topology: Topology) -> None:
    """What the nodes could hold, the control group may still refuse, by killing a process (memory.max, OOM)."""
    limit, room = topology.allowed.memory_limit_kib, topology.allowed.memory_room_kib
    total = size_kib * count
    if limit is None or room is None or total <= room:
        return
    share = f"{count} x {_gib(size_kib)} = {_gib(total)}" if count > 1 else _gib(size_kib)
    each = f"up to {_gib(room // count)}{' each' if count > 1 else ''}" if room else "nothing"
    raise UsageError(
        f"{share} do not fit under the memory limit of this control group: {_gib(limit)}, of which "
        f"{_gib(max(0, limit - room))} are used, leaves {_gib(room)}; possible: {each}, or a higher limit "
        "(docker run --memory; Kubernetes: resources.limits.memory; systemd: MemoryMax=)"
    )


def _possible(topology: Topology) -> str:
    nodes = [n.id for n in topology.nodes if n.cpus & topology.allowed.cpus]
    return (
        f"allowed are CPUs {topology.allowed.cpus} (node{'s' if len(nodes) != 1 else ''} {','.join(map(str, nodes))}) "
        f"and memory of node{'s' if len(topology.allowed.nodes) != 1 else ''} "
        f"{','.join(map(str, topology.allowed.nodes))}"
    )


def _gib(kib: int) -> str:
    return f"{kib / 1024**2:.1f} GiB" if kib >= 1024**2 else f"{kib / 1024:.0f} MiB"


def first_touch_suffices(placement: Placement, topology: Topology) -> bool:
    """Would memory get where the policy wants it even without the policy, because the CPUs lie just there?"""
    if placement.memory.mode == "local":
        return True
    nodes = {node.id for node in topology.nodes if node.cpus & placement.cpus}
    return placement.memory.mode in ("bind", "preferred", "preferred-many") and nodes <= set(
        placement.memory.nodes
    )
