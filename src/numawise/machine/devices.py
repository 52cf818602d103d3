"""PCI functions and the node each is attached to, from `/sys/bus/pci/devices`.

To teach numawise a vendor, add a line to one of the tables. Class codes: PCI Code and ID Assignment
Specification.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from numawise.linux.cpuset import CPUSet
from numawise.linux.sysfs import embeds_mac_address, parse_int, parse_list
from numawise.machine.memory_kind import gpu_memory_nodes
from numawise.machine.root import Root
from numawise.machine.topology import Device, DeviceKind, Node

PCI = "sys/bus/pci/devices"
_ADDRESS = re.compile(r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$", re.IGNORECASE)

_AMD, _INTEL, _NVIDIA = 0x1002, 0x8086, 0x10DE

GPU_VENDORS = frozenset(
    (
        _AMD,
        _INTEL,
        _NVIDIA,
        0x1D94,  # Hygon
        0x1ED5,  # Moore Threads
    )
)
"""Whose VGA controllers compute; those of all others (server management chips, mostly) only display."""

DISPLAY_ONLY_VENDORS = frozenset(
    (
        0x1AF4,  # virtio-gpu
        0x1B36,  # QXL
        0x1234,  # Bochs and QEMU
        0x15AD,  # VMware
        0x80EE,  # VirtualBox
        0x1A03,  # ASPEED
        0x102B,  # Matrox
        0x126F,  # Silicon Motion
    )
)
"""Who make displays under class codes that elsewhere mean a GPU (3D, or other display controller)."""

DISPLAY_ONLY_DEVICES = frozenset(
    (
        (_AMD, 0x4752),  # Rage XL
        (_AMD, 0x5159),  # RV100
        (_AMD, 0x515E),  # ES1000
        (_AMD, 0x5969),  # ES1000
    )
)
"""A GPU vendor's chips that sit on server boards for the console."""

# Where Linux lists what a function is called, by kind of device.
_NAME_FOLDERS: dict[DeviceKind, tuple[str, ...]] = {
    "gpu": ("drm",),
    "nic": ("net", "infiniband"),
    "nvme": ("nvme",),
    "accelerator": ("accel", "net"),
    "display": ("drm",),
}


def read_devices(
    root: Root, nodes: tuple[Node, ...], *, one_for_all: bool, kinds: Collection[DeviceKind] | None = None
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """Every PCI function (of these `kinds` only, if given) by address, and notes on contradictions.

    The node is what the kernel says in `numa_node`. Where it says -1 while `local_cpulist` names exactly the
    CPUs of one of several nodes, that node is taken; in all other cases it is None: not known.
    """
    addresses = [name for name in root.names(PCI) if _ADDRESS.match(name)]
    own_memory = gpu_memory_nodes(root) if addresses else {}
    devices, notes = [], []
    for address in sorted(addresses, key=lambda name: (len(name), name)):
        class_code, vendor, device = _identity(root, f"{PCI}/{address}")
        kind = kind_of(class_code, vendor, device, address)
        if kinds is not None and kind not in kinds:
            continue
        node, note = _node(root, address, nodes, one_for_all=one_for_all)
        if note:
            notes.append(note)
        devices.append(
            Device(
                address=address,
                kind=kind,
                node=node,
                vendor=f"0x{vendor:04x}",
                device=f"0x{device:04x}",
                names=_names(root, f"{PCI}/{address}", kind),
                local_cpus=CPUSet(_local_cpus(root, address)) if kind != "other" else CPUSet(),
                memory_node=own_memory.get(address.lower()),
            )
        )
    return tuple(devices), tuple(notes)


def kind_of(class_code: int, vendor: int, device: int, address: str) -> DeviceKind:
    """What a PCI function is, by its 24-bit class code and its maker.

    >>> kind_of(0x030200, 0x10de, 0x2330, "0000:51:00.0"), kind_of(0x030000, 0x1a03, 0x2000, "0000:03:00.0")
    ('gpu', 'display')
    """
    group = class_code >> 8
    if group >> 8 == 0x03:
        if vendor in DISPLAY_ONLY_VENDORS or (vendor, device) in DISPLAY_ONLY_DEVICES:
            return "display"
        if vendor == _INTEL and address.endswith("00:02.0"):  # always the graphics of the processor itself
            return "display"
        return "gpu" if group in (0x0302, 0x0380) or vendor in GPU_VENDORS else "display"
    if group >> 8 == 0x12:  # processing accelerators, among them AMD's Instinct from MI300 on
        return "gpu" if vendor in (_AMD, _NVIDIA) else "accelerator"
    if (
        group >> 8 == 0x02 or group == 0x0C06
    ):  # network; InfiniBand as a serial bus, as adapters before 2010 say
        return "nic"
    return "nvme" if group == 0x0108 else "other"


def _identity(root: Root, folder: str) -> tuple[int, int, int]:
    """Class, vendor and device: from `uevent`, which holds all three, else from a file each."""
    event = root.read(f"{folder}/uevent") or ""
    found = re.search(
        r"^PCI_CLASS=([0-9A-F]{1,6})\n(?:.*\n)*?PCI_ID=([0-9A-F]{4}):([0-9A-F]{4})$", event, re.MULTILINE
    )
    if found:
        return int(found.group(1), 16), int(found.group(2), 16), int(found.group(3), 16)
    class_code, vendor, device = (
        parse_int(root.read(f"{folder}/{name}")) for name in ("class", "vendor", "device")
    )
    return class_code or 0, vendor or 0, device or 0


def _node(root: Root, address: str, nodes: tuple[Node, ...], *, one_for_all: bool) -> tuple[int | None, str]:
    said = parse_int(root.read(f"{PCI}/{address}/numa_node"))
    if said is not None and said >= 0:
        if one_for_all:
            return 0, ""
        if any(node.id == said for node in nodes):
            return said, ""
        return None, f"device {address} is said to be on node {said}, which does not exist: taken as unknown"
    with_cpus = [node for node in nodes if node.cpus]
    if len(with_cpus) > 1:
        local = CPUSet(_local_cpus(root, address))
        for node in with_cpus:
            if node.cpus == local:
                return node.id, ""
    return None, ""


def _local_cpus(root: Root, address: str) -> frozenset[int]:
    return parse_list(root.read(f"{PCI}/{address}/local_cpulist")) or frozenset()


def _names(root: Root, folder: str, kind: DeviceKind) -> tuple[str, ...]:
    names = [name for sub in _NAME_FOLDERS.get(kind, ()) for name in root.names(f"{folder}/{sub}")]
    return tuple(name for name in names if not embeds_mac_address(name) and name != "controlD64")
