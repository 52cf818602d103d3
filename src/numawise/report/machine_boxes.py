"""What is drawn inside what: a machine as nested boxes, before any thought of size or colour."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from numawise.linux.cpuset import CPUSet, format_list
from numawise.machine.topology import Device, Node, Topology

DRAWN_DEVICES = ("gpu", "accelerator", "nic", "nvme")
_MOST_DEVICES = 24  # of one node; a network card with virtual functions alone can have 128

_VENDORS = {
    "0x10de": "NVIDIA",
    "0x1002": "AMD",
    "0x8086": "Intel",
    "0x15b3": "Mellanox",
    "0x14e4": "Broadcom",
    "0x1da3": "Habana",
    "0x19e5": "Huawei",
    "0x144d": "Samsung",
    "0x1af4": "virtio",
}
_KIND_WORDS = {"gpu": "GPU", "nic": "NIC", "nvme": "NVMe", "accelerator": "accelerator"}
_MEMORY_WORDS = {"dram": "", "cpuless": "", "hbm": "HBM", "cxl": "CXL", "gpu": "GPU memory"}


class Chip(NamedTuple):
    """A device: its kind as a tag, what it is called, and all that is known about it."""

    kind: str
    tag: str
    label: str
    title: str


class Box(NamedTuple):
    """A frame with a heading; in it, from top to bottom: memory, cores, other boxes, devices."""

    style: str
    title: str
    note: str = ""
    memory: Node | None = None
    cores: tuple[CPUSet, ...] = ()
    inside: tuple[Box, ...] = ()
    chips: tuple[Chip, ...] = ()


def machine_box(topology: Topology) -> Box:
    """The whole machine: sockets hold nodes, or nodes hold sockets, whichever this machine has."""
    with_cpus = [node for node in topology.nodes if node.cpus]
    cpuless = [node for node in topology.nodes if not node.cpus]
    sockets = topology.sockets
    # A socket is worth a frame of its own when it holds more than one node.
    framed = any(sum(1 for node in with_cpus if node.cpus & s.cpus) > 1 for s in sockets) and all(
        sum(1 for s in sockets if node.cpus & s.cpus) == 1 for node in with_cpus
    )
    boxes: list[Box] = []
    near = {node.id: _nearest(node, with_cpus) for node in cpuless}
    if framed:
        for socket in sockets:
            own = [node for node in with_cpus if node.cpus <= socket.cpus]
            ids = {node.id for node in own}
            memory_only = [node for node in cpuless if near[node.id] and near[node.id] <= ids]
            inside = tuple(_node_box(topology, node, framed=True) for node in (*own, *memory_only))
            boxes.append(Box("socket", f"Socket {socket.id}", _count(topology, socket.cpus), inside=inside))
            cpuless = [node for node in cpuless if node not in memory_only]
    else:
        boxes += [_node_box(topology, node) for node in with_cpus]
    boxes += [_node_box(topology, node) for node in cpuless]
    homeless = topology.cpus - CPUSet(cpu for node in with_cpus for cpu in node.cpus)
    if homeless:
        boxes.append(Box("node", "CPUs of no node", cores=_cores(topology, CPUSet(homeless))))
    stray = _chips(topology, None)
    if stray:
        boxes.append(Box("stray", "Devices", "their node is not known", chips=stray))
    return Box("machine", _title(topology), _machine_note(topology), inside=tuple(boxes))


def memory_text(kib: int) -> str:
    """A size for people, in three digits.

    >>> memory_text(131732940), memory_text(0)
    ('126 GiB', 'no memory')
    """
    if kib <= 0:
        return "no memory"
    size, unit = float(kib), "KiB"
    for larger in ("MiB", "GiB", "TiB", "PiB"):
        if size < 1000:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if size >= 100 else f"{size:.3g} {unit}"


def _node_box(topology: Topology, node: Node, *, framed: bool = False) -> Box:
    words = [_MEMORY_WORDS[node.kind], "" if node.cpus else "no CPUs", _count(topology, node.cpus)]
    sockets = [socket for socket in topology.sockets if socket.cpus & node.cpus]
    inside: tuple[Box, ...] = ()
    cores: tuple[CPUSet, ...] = ()
    if len(sockets) > 1:
        for socket in sockets:
            cpus = CPUSet(socket.cpus & node.cpus)
            deeper, loose = _l3_boxes(topology, cpus)
            inside += (
                Box("socket", f"Socket {socket.id}", _count(topology, cpus), cores=loose, inside=deeper),
            )
    else:
        inside, cores = _l3_boxes(topology, node.cpus)
        shared = [domain for domain in topology.l3_domains if domain.cpus & node.cpus]
        if len(shared) == 1 and shared[0].size_kib:
            words.append(f"L3 {memory_text(shared[0].size_kib)}")
        if sockets and len(topology.sockets) > 1 and not framed:
            words.insert(0, f"socket {sockets[0].id}")
    note = ", ".join(word for word in words if word)
    chips = _chips(topology, node.id)
    return Box("node", f"Node {node.id}", note, memory=node, cores=cores, inside=inside, chips=chips)


def _l3_boxes(topology: Topology, cpus: CPUSet) -> tuple[tuple[Box, ...], tuple[CPUSet, ...]]:
    """The L3 domains among `cpus`, and the cores that belong to none; one domain for all needs no frame."""
    domains = [domain for domain in topology.l3_domains if domain.cpus & cpus]
    if len(domains) < 2 or all(len(_cores(topology, domain.cpus)) == 1 for domain in domains):
        return (), _cores(topology, cpus)
    boxes = tuple(
        Box(
            "l3",
            "L3",
            memory_text(domain.size_kib) if domain.size_kib else "",
            cores=_cores(topology, CPUSet(domain.cpus & cpus)),
        )
        for domain in domains
    )
    covered = CPUSet(cpu for domain in domains for cpu in domain.cpus)
    return boxes, _cores(topology, CPUSet(cpus - covered))


def _cores(topology: Topology, cpus: CPUSet) -> tuple[CPUSet, ...]:
    return tuple(CPUSet(core & cpus) for core in topology.smt_siblings if core & cpus)


def _nearest(node: Node, others: list[Node]) -> set[int]:
    """The nodes whose CPUs are nearest to a CPU-less node, by the firmware's word."""
    return set(node.access.initiators) & {other.id for other in others} if node.access else set()


def _chips(topology: Topology, node: int | None) -> tuple[Chip, ...]:
    devices = sorted(
        (d for d in topology.devices if d.kind in DRAWN_DEVICES and d.node == node),
        key=lambda d: DRAWN_DEVICES.index(d.kind),
    )
    chips = [_chip(device) for device in devices[:_MOST_DEVICES]]
    rest = devices[_MOST_DEVICES:]
    if rest:
        chips.append(Chip("more", f"+{len(rest)}", "more", " ".join(device.address for device in rest)))
    return tuple(chips)


def _chip(device: Device) -> Chip:
    vendor = _VENDORS.get(device.vendor, "")
    tag = f"{vendor} {_KIND_WORDS[device.kind]}".strip()
    # What people call a network card or a disk is its name; a GPU is told by its address.
    called = [name for name in device.names if device.kind in ("nic", "nvme", "accelerator")]
    identity = f"{device.vendor}:{device.device}".replace("0x", "")
    memory = f", its memory is node {device.memory_node}" if device.memory_node is not None else ""
    title = f"{tag} {device.address} [{identity}] {' '.join(device.names)}".strip() + memory
    return Chip(device.kind, tag, " ".join((device.address, *called[:2])), title)


def _count(topology: Topology, cpus: CPUSet) -> str:
    if not cpus:
        return ""
    cores = sum(1 for core in topology.smt_siblings if core & cpus)
    if cores != len(cpus):
        return f"{plural(cores, 'core')}, CPUs {shorten(brief(cpus))}"
    return f"{plural(len(cpus), 'CPU')}: {shorten(brief(cpus))}" if len(cpus) > 1 else f"CPU {brief(cpus)}"


def brief(ids: Iterable[int]) -> str:
    """Ids as a list one can read and give back to `--cpus`: every fourth of them as `0-36:4`.

    >>> brief([0, 4, 8, 12]), brief([0, 1, 2, 8])
    ('0-12:4', '0-2,8')
    """
    ordered = sorted(ids)
    steps = {b - a for a, b in itertools.pairwise(ordered)}
    if len(ordered) > 3 and len(steps) == 1 and steps != {1}:
        return f"{ordered[0]}-{ordered[-1]}:{steps.pop()}"
    return format_list(ordered)


def shorten(text: str, limit: int = 28) -> str:
    """A list of ids cut in the middle when it is too long to read anyway.

    >>> shorten("0,4,8,12,16,20,24,28,32,36,40")
    '0,4,8,12,16,20,...,40'
    """
    if len(text) <= limit:
        return text
    head, _, _ = text[: limit - 6].rpartition(",")
    return f"{head},...,{text.rpartition(',')[2]}"


def _title(topology: Topology) -> str:
    return " ".join(topology.model_name.split()) or "Machine"


def _machine_note(topology: Topology) -> str:
    parts = [
        topology.architecture,
        plural(len(topology.sockets), "socket") if topology.sockets else "",
        plural(len(topology.nodes), "node"),
        plural(topology.cores, "core"),
        plural(len(topology.cpus), "CPU"),
        memory_text(sum(node.memory_kib for node in topology.nodes)),
        f"offline: {shorten(brief(topology.offline_cpus))}" if topology.offline_cpus else "",
    ]
    return ", ".join(part for part in parts if part)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
