"""What makes two machines the same for a placement or a measurement, and the key that says so."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from numawise.linux.cpuset import CPUSet
from numawise.machine.codec import to_json
from numawise.machine.topology import Topology


class NodeFacts(msgspec.Struct, frozen=True):
    """What a placement depends on in one node. `memory_kib` is rounded up: see `machine_facts`."""

    id: int
    cpus: CPUSet
    memory_kib: int


class MachineFacts(msgspec.Struct, frozen=True):
    """What must be the same for a placement to mean the same: not names, not free memory, not devices."""

    architecture: str
    nodes: tuple[NodeFacts, ...]
    sockets: tuple[CPUSet, ...]
    cores: tuple[CPUSet, ...]
    """The SMT siblings of each physical core."""


def machine_facts(topology: Topology) -> MachineFacts:
    """The facts of a machine that a placement rests on.

    Memory is rounded up to an eighth of its power of two (250 GiB seen of 256 fitted counts as 256): what the
    kernel keeps for itself differs from boot to boot, what is fitted does not.
    """
    return MachineFacts(
        architecture=topology.architecture,
        nodes=tuple(
            NodeFacts(node.id, node.cpus, _rounded(node.memory_kib))
            for node in sorted(topology.nodes, key=lambda node: node.id)
        ),
        sockets=_ordered(socket.cpus for socket in topology.sockets),
        cores=_ordered(topology.smt_siblings),
    )


def topology_key(topology: Topology) -> str:
    """16 hex digits, equal for two machines with the same CPUs, cores, sockets and nodes, with or without memory.

    How much memory a node has is left out: in virtual machines it changes while they run (ballooning), and what was
    kept under the key would be lost each time. `machine_facts` has it, for whoever compares.
    """
    import hashlib

    facts = machine_facts(topology)
    nodes = tuple(NodeFacts(node.id, node.cpus, min(node.memory_kib, 1)) for node in facts.nodes)
    return hashlib.sha256(to_json(msgspec.structs.replace(facts, nodes=nodes))).hexdigest()[:16]


def _rounded(kib: int) -> int:
    step = max(1, 1 << max(0, kib.bit_length() - 4))
    return -(-kib // step) * step


def _ordered(sets: Iterable[CPUSet]) -> tuple[CPUSet, ...]:
    return tuple(sorted(sets, key=lambda cpus: (min(cpus, default=-1), len(cpus))))
