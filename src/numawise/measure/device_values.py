"""What was measured between host memory and devices, and how devices are linked, as values."""

from __future__ import annotations

from typing import Literal

import msgspec

from numawise.measure.figure import Figure

Direction = Literal["host-to-device", "device-to-host"]
"""Seen from the host: `host-to-device` reads host memory and writes the device's."""

LinkPath = Literal["board", "switch", "switches", "host-bridge", "node", "system", "unknown"]
"""What lies between two devices on PCIe, the nearest first: one board, one PCIe switch, several switches, the host
bridge of a CPU, several host bridges of one node, the link between sockets or nodes. `nvidia-smi topo` calls them
PIX (both of `board` and `switch`), PXB, PHB, NODE and SYS."""


class DeviceReading(msgspec.Struct, frozen=True):
    """GB/s of copies in one direction between pinned memory of one node and one device; or why there are none."""

    device: str
    """PCI address, as in `Topology.devices`."""
    memory_node: int
    """The node that held the pinned host buffer."""
    direction: Direction
    figure: Figure | None
    """GB/s (10**9 bytes a second) over `buffer_kib` of payload; None when it could not be had."""
    why: str = ""
    """Why there is no figure, and what to do."""
    device_node: int | None = None
    """The node that the device is attached to; None when the kernel does not know."""
    name: str = ""
    """What the vendor calls the device."""
    buffer_kib: int = 0
    """Of one copy."""
    on_target: float | None = None
    """Share of the sampled pages of the pinned buffer that lay on `memory_node`; at least 0.99, or no figure."""
    sampled_pages: int = 0
    pcie_generation: int | None = None
    """Of the device's link right after the copies: idle links slow down. None where the driver does not say."""
    pcie_width: int | None = None
    """Lanes in use, at the same moment."""


class DeviceLink(msgspec.Struct, frozen=True):
    """How two devices reach each other."""

    first: str
    """PCI address, as in `Topology.devices`; before `second` in that order."""
    second: str
    path: LinkPath
    nvlinks: int = 0
    """Active NVLinks between the two, straight or by way of a switch; 0: none, so they use the path above."""
    nvlink_version: str = ""
    """Such as `3.0`; empty without NVLink, or where the driver does not say."""
    through_switch: bool = False
    """The NVLinks go to an NVSwitch, which they share with other pairs."""
    why: str = ""
    """Why `path` is unknown."""
