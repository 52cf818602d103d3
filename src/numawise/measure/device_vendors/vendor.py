"""What a maker's file holds, and the makers that there are files for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import NamedTuple

from numawise.machine.topology import Device, Topology
from numawise.measure import device_vendors
from numawise.measure.device_values import DeviceLink, DeviceReading

Readings = tuple[tuple[DeviceReading, ...], tuple[str, ...]]
Links = tuple[tuple[DeviceLink, ...], tuple[str, ...]]


class Vendor(NamedTuple):
    """A maker of devices. Both functions also give lines: what could not be done, and what to do about it."""

    name: str
    pci: str
    """The PCI vendor id, as `Device.vendor` has it."""
    measure: Callable[[Topology, Sequence[Device], float], Readings]
    """Copies between these devices and every node with memory, in about so many seconds."""
    links: Callable[[Sequence[Device]], Links]
    """How each two of these devices are linked."""


def vendors() -> tuple[Vendor, ...]:
    """All makers, by name.

    >>> [vendor.name for vendor in vendors()]
    ['NVIDIA']
    """
    modules = (
        importlib.import_module(f"{device_vendors.__name__}.{info.name}")
        for info in pkgutil.iter_modules(device_vendors.__path__)
    )
    held = (getattr(module, "VENDOR", None) for module in modules)
    return tuple(sorted((one for one in held if isinstance(one, Vendor)), key=lambda one: one.name))
