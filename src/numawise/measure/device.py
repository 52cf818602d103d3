"""Copies between host memory and devices, from every node, and how the devices are linked.

To add a maker, add its file to `device_vendors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from numawise.machine.topology import Device, Topology
from numawise.measure.device_values import DeviceLink, DeviceReading
from numawise.measure.device_vendors.vendor import Vendor, vendors

T = TypeVar("T")


def measure_devices(
    topology: Topology, seconds: float = 30.0
) -> tuple[tuple[DeviceReading, ...], tuple[str, ...]]:
    """GB/s of copies between pinned memory of each node and each GPU, both ways.

    Args:
        topology: this machine, as `numawise.machine.read()` gives it.
        seconds: about how long all of it may take; what does not fit in one and a half times that has no figure.

    Returns the readings, and lines: what cannot be measured here at all, and what to do (a GPU without its driver, or
    without the packages that speak to it), or that there is no GPU. Nothing is raised for those.

    >>> from numawise.machine import read
    >>> readings, lines = measure_devices(read(), 1.0)
    >>> bool(readings or lines)
    True
    """
    return _each(topology, lambda vendor, devices: vendor.measure(topology, devices, seconds))


def read_links(topology: Topology) -> tuple[tuple[DeviceLink, ...], tuple[str, ...]]:
    """How each two GPUs are linked, and lines as of `measure_devices` (the same text for the same reason)."""
    return _each(topology, lambda vendor, devices: vendor.links(devices))


def gpus(topology: Topology) -> tuple[Device, ...]:
    """The GPUs of the machine, of whatever maker, by address."""
    return tuple(
        sorted(
            (device for device in topology.devices if device.kind == "gpu"),
            key=lambda device: (len(device.address), device.address),
        )
    )


def _each(
    topology: Topology, ask: Callable[[Vendor, Sequence[Device]], tuple[tuple[T, ...], tuple[str, ...]]]
) -> tuple[tuple[T, ...], tuple[str, ...]]:
    found: list[T] = []
    lines: list[str] = []
    known = vendors()
    there = gpus(topology)
    for vendor in known:
        own = [device for device in there if device.vendor == vendor.pci]
        if own:
            values, said = ask(vendor, own)
            found += values
            lines += said
        else:
            lines.append(f"no {vendor.name} GPU here")
    measurable = {vendor.pci for vendor in known}
    others = [device.address for device in there if device.vendor not in measurable]
    if others:
        names = " or ".join(vendor.name for vendor in known)
        lines.append(f"not measured, being no GPU of {names}: {', '.join(others)}")
    return tuple(found), tuple(dict.fromkeys(lines))
