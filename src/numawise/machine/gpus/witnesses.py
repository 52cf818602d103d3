"""On which node is a device? Three witnesses are heard; what they say apart is told, never settled in silence."""

from __future__ import annotations

from collections.abc import Sequence

from numawise.linux.cpuset import CPUSet
from numawise.linux.sysfs import parse_int, parse_list
from numawise.machine.devices import PCI
from numawise.machine.gpus.values import Witness
from numawise.machine.root import Root
from numawise.machine.topology import Device, Topology


def hear(root: Root | None, device: Device, topology: Topology) -> tuple[Witness, ...]:
    """What the kernel says in `numa_node` and, separately, in `local_cpulist`.

    Without a tree (a Topology from JSON) the device's own fields stand for the files.
    """
    folder = f"{PCI}/{device.address}"
    said = device.node
    local = device.local_cpus
    if root is not None:
        said = parse_int(root.read(f"{folder}/numa_node"))
        local = CPUSet(parse_list(root.read(f"{folder}/local_cpulist")) or local)
    known = {node.id for node in topology.nodes}
    if len(known) == 1 and said is not None and said >= 0:
        said = next(iter(known))
    return (
        Witness("numa_node", (said,) if said in known and said is not None else ()),
        Witness("local_cpulist", nodes_of_cpus(local, topology)),
    )


def nodes_of_cpus(local: CPUSet, topology: Topology) -> tuple[int, ...]:
    """The nodes that a device's local CPUs make up.

    None when they are the CPUs of all nodes (the kernel's way to say that it does not know) or no whole nodes.

    >>> from numawise.machine.topology import Allowed, Node
    >>> nodes = (Node(0, CPUSet([0, 1]), 1, "dram"), Node(8, CPUSet([2, 3]), 1, "dram"))
    >>> machine = Topology(CPUSet(range(4)), 4, nodes, None, Allowed(CPUSet(range(4)), (0, 8)))
    >>> nodes_of_cpus(CPUSet([2, 3]), machine), nodes_of_cpus(CPUSet(range(4)), machine)
    ((8,), ())
    """
    local = CPUSet(local & topology.cpus)
    with_cpus = [node for node in topology.nodes if node.cpus]
    covered = [node for node in with_cpus if node.cpus <= local]
    if len(covered) == len(with_cpus) or CPUSet(c for node in covered for c in node.cpus) != local:
        return ()
    return tuple(node.id for node in covered)


def decide(witnesses: Sequence[Witness]) -> tuple[tuple[int, ...], bool]:
    """The nodes most witnesses name (the earlier witness on a tie), and whether another one contradicts.

    One that names the same node among others does not contradict; the narrower answer is taken.

    >>> decide([Witness("numa_node", (0,)), Witness("NVML", (1,)), Witness("local_cpulist", (1,))])
    ((1,), True)
    >>> decide([Witness("numa_node"), Witness("NVML", (1,)), Witness("local_cpulist")])
    ((1,), False)
    """
    answers = [witness.nodes for witness in witnesses if witness.nodes]
    if not answers:
        return (), False
    agreeing = [sum(bool(set(one) & set(other)) for other in answers) for one in answers]
    most = max(agreeing)
    best = min((a for a, n in zip(answers, agreeing, strict=True) if n == most), key=len)
    return best, any(not set(best) & set(other) for other in answers)


def told(address: str, witnesses: Sequence[Witness], nodes: tuple[int, ...]) -> str:
    """The contradiction in words.

    >>> told("0000:51:00.0", [Witness("numa_node", (0,)), Witness("NVML", (1,))], (0,))
    'GPU 0000:51:00.0: numa_node says node 0, NVML says node 1; taken as node 0'
    """
    said = ", ".join(f"{w.source} says {node_text(w.nodes)}" for w in witnesses if w.nodes)
    return f"GPU {address}: {said}; taken as {node_text(nodes)}"


def node_text(nodes: Sequence[int]) -> str:
    """`node 1`, or `nodes 0,1`."""
    return f"node{'s' if len(nodes) > 1 else ''} {','.join(map(str, nodes))}"
