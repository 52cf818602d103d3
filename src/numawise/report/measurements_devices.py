"""Device readings and links arranged for reading. One source for terminal and page."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from numawise.measure.device_values import DeviceLink, DeviceReading, Direction
from numawise.measure.figure import Figure
from numawise.report.measurements_view import floor_percent, size_text

_PATHS = {
    "board": "PIX",
    "switch": "PIX",
    "switches": "PXB",
    "host-bridge": "PHB",
    "node": "NODE",
    "system": "SYS",
}


class DeviceRow(msgspec.Struct, frozen=True):
    """One device, and its figures by the nodes of its matrix."""

    device: str
    node: int | None
    cells: tuple[Figure | None, ...]


class DeviceMatrix(msgspec.Struct, frozen=True):
    """Copies in one direction: devices of one kind (rows) by the node of the host memory (columns), in GB/s."""

    name: str
    direction: Direction
    nodes: tuple[int, ...]
    rows: tuple[DeviceRow, ...]
    conditions: str
    reasons: tuple[str, ...]
    """Why cells have no figure, each reason once, with the places."""


def device_matrices(readings: Sequence[DeviceReading]) -> tuple[DeviceMatrix, ...]:
    """A matrix for each name of device and each direction, in the order of first appearance."""
    groups: dict[tuple[str, Direction], list[DeviceReading]] = {}
    for reading in readings:
        groups.setdefault((reading.name, reading.direction), []).append(reading)
    return tuple(_matrix(name, direction, group) for (name, direction), group in groups.items())


def _matrix(name: str, direction: Direction, readings: Sequence[DeviceReading]) -> DeviceMatrix:
    nodes = tuple(sorted({reading.memory_node for reading in readings}))
    found = {(reading.device, reading.memory_node): reading for reading in readings}
    near = {reading.device: reading.device_node for reading in readings}
    rows = []
    for device, node in near.items():
        cells = [found.get((device, memory)) for memory in nodes]
        rows.append(DeviceRow(device, node, tuple(cell.figure if cell else None for cell in cells)))
    places: dict[str, list[str]] = {}
    for reading in readings:
        if reading.figure is None:
            place = f"{reading.device} and node {reading.memory_node}"
            places.setdefault(reading.why or "no reason given", []).append(place)
    reasons = tuple(f"{'; '.join(where)}: {why}" for why, where in places.items())
    return DeviceMatrix(name, direction, nodes, tuple(rows), _conditions(readings), reasons)


def _conditions(readings: Sequence[DeviceReading]) -> str:
    good = [reading for reading in readings if reading.figure is not None]
    if not good:
        return ""
    sizes = sorted({reading.buffer_kib for reading in good})
    pcie = sorted({(r.pcie_generation, r.pcie_width) for r in good if r.pcie_generation and r.pcie_width})
    shares = [reading.on_target for reading in good if reading.on_target is not None]
    repeats = [reading.figure.repeats for reading in good if reading.figure]
    parts = [
        f"copies of {' or '.join(map(size_text, sizes))}, pinned",
        f"PCIe {' and '.join(f'{gen}.0 x{width}' for gen, width in pcie)}" if pcie else "",
        f"{floor_percent(min(shares))} of the sampled pages on target" if shares else "",
        f"repeats {min(repeats)} or more",
    ]
    return ", ".join(part for part in parts if part)


def link_text(link: DeviceLink) -> str:
    """A link by the short name that `nvidia-smi topo` made known: `NV12`, `PIX`, `PXB`, `PHB`, `NODE`, `SYS`."""
    return f"NV{link.nvlinks}" if link.nvlinks else _PATHS.get(link.path, "?")


def link_matrix(links: Sequence[DeviceLink]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The devices, and a row of short names for each; `X` is the device itself, `?` is not known."""
    devices = tuple(sorted({device for link in links for device in (link.first, link.second)}))
    found = {frozenset((link.first, link.second)): link_text(link) for link in links}
    rows = (
        tuple("X" if one == other else found.get(frozenset((one, other)), "?") for other in devices)
        for one in devices
    )
    return devices, tuple(rows)
