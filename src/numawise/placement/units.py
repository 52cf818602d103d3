"""Cutting a machine into the pieces processes are put on: nodes, sockets, L3 domains, cores, and shares of them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu
from numawise.machine.topology import Topology
from numawise.placement.request import Per


class Unit(NamedTuple):
    """A piece of the machine, and the node it lies in (None when it spans several)."""

    cpus: CPUSet
    node: int | None
    gpus: tuple[Gpu, ...] = ()
    """The GPUs that processes on it use."""
    near: tuple[int, ...] = ()
    """With GPUs: the nodes whose memory goes with the CPUs; empty when it is not known where the GPUs are."""


def units_of(topology: Topology, cpus: CPUSet, per: Per) -> tuple[Unit, ...]:
    """The pieces of kind `per` among `cpus`, in the order of their lowest node and CPU."""
    if per == "node":
        pieces = [node.cpus for node in topology.nodes]
    elif per == "socket":
        pieces = [socket.cpus for socket in topology.sockets]
    elif per == "l3":
        pieces = [domain.cpus for domain in topology.l3_domains]
    else:
        pieces = [CPUSet(core) for core in cores_of(topology, cpus)]
    used = [CPUSet(piece & cpus) for piece in pieces]
    left = CPUSet(cpus - CPUSet(c for piece in used for c in piece))
    if left:  # a machine that does not say (no L3 listed, say): what belongs to no piece goes node by node
        used += [CPUSet(node.cpus & left) for node in topology.nodes]
        used.append(CPUSet(left - CPUSet(c for node in topology.nodes for c in node.cpus)))
    units = [Unit(piece, _node_of(topology, piece)) for piece in used if piece]
    return tuple(sorted(units, key=lambda u: (u.node if u.node is not None else -1, min(u.cpus))))


def cores_of(topology: Topology, cpus: CPUSet) -> list[tuple[int, ...]]:
    """The physical cores among `cpus`, each as its logical CPUs in order; cores of one L3 domain stay together."""
    cores = [tuple(sorted(core & cpus)) for core in topology.smt_siblings]
    cores = [core for core in cores if core]
    known = {cpu for core in cores for cpu in core}
    cores += [(cpu,) for cpu in cpus if cpu not in known]
    domain = {cpu: i for i, l3 in enumerate(topology.l3_domains) for cpu in l3.cpus}
    first = {i: min(l3.cpus) for i, l3 in enumerate(topology.l3_domains) if l3.cpus}
    return sorted(cores, key=lambda core: (first.get(domain.get(core[0], -1), core[0]), core[0]))


def split_cores(cores: Sequence[tuple[int, ...]], count: int, least: int = 1) -> list[CPUSet]:
    """Share cores out in `count` neighbouring slices of at least `least` CPUs.

    Siblings stay together unless whole cores cannot be shared out so.

    >>> split_cores([(0, 4), (1, 5), (2, 6)], 2)
    [CPUSet('0,4'), CPUSet('1-2,5-6')]
    >>> split_cores([(0, 4), (1, 5), (2, 6)], 2, least=3)
    [CPUSet('0-1,4'), CPUSet('2,5-6')]
    """
    n = len(cores)
    whole = [
        CPUSet(c for core in cores[i * n // count : (i + 1) * n // count] for c in core) for i in range(count)
    ]
    if min(len(piece) for piece in whole) >= least:
        return whole
    flat = [cpu for core in cores for cpu in core]
    return [CPUSet(flat[i * len(flat) // count : (i + 1) * len(flat) // count]) for i in range(count)]


def share_out(workers: int, units: Sequence[Unit], threads: int) -> list[int]:
    """How many of `workers` go on each unit: as even as sizes allow, none squeezed where another has room.

    All of them together must have room for `workers` of `threads` CPUs each.
    """
    counts = [0] * len(units)
    # The emptiest unit by share of its own size is next; the lower one on a tie.
    queue = [(1 / len(unit.cpus), i) for i, unit in enumerate(units) if len(unit.cpus) >= threads]
    heapq.heapify(queue)
    for _ in range(workers):
        _, i = heapq.heappop(queue)
        counts[i] += 1
        if (counts[i] + 1) * threads <= len(units[i].cpus):
            heapq.heappush(queue, ((counts[i] + 1) / len(units[i].cpus), i))
    return counts


def _node_of(topology: Topology, cpus: CPUSet) -> int | None:
    nodes = [node.id for node in topology.nodes if node.cpus & cpus]
    return nodes[0] if len(nodes) == 1 else None
