"""Intel: ZE_AFFINITY_MASK, by number: Level Zero's mask takes no UUID.

The mask counts tiles unless ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE (Level Zero specification, "Environment variables"), in
the driver's order; ZE_ENABLE_PCI_ID_DEVICE_ORDER=1 makes that the order of PCI addresses.
"""

from __future__ import annotations

from collections.abc import Sequence

from numawise.machine.devices import PCI
from numawise.machine.gpus.values import Gpu
from numawise.machine.gpus.vendors import Found, Place, left_out
from numawise.machine.topology import Device

NAME = "Intel"
PCI_VENDORS = ("0x8086",)
KINDS = ("gpu", "display")
"""Level Zero counts the graphics of the processor itself as well."""
PREFERENCE = 2

_VARIABLE = "ZE_AFFINITY_MASK"


def find(devices: Sequence[Device], place: Place) -> Found:
    """The GPUs in PCI order (the processor's own graphics counted, not offered), and what an inherited mask leaves."""
    whole_cards = place.environment.get("ZE_FLAT_DEVICE_HIERARCHY") == "COMPOSITE"
    present, first, owner = [], 0, {}
    hidden: dict[str, str] = {}
    notes: list[str] = []
    for device in devices:
        shut = [
            n
            for n in place.names(f"{PCI}/{device.address}/drm", "renderD")
            if not place.opens(f"dev/dri/{n}")
        ]
        if shut:  # Level Zero counts what it can open
            hidden[device.address] = f"/dev/dri/{shut[0]} is not here, or may not be opened"
            continue
        count = 1 if whole_cards else _tiles(place, device)
        numbers = [str(n) for n in range(first, first + count)]
        first += count
        if device.kind != "gpu":
            continue
        gpu = Gpu(device.address, "intel", number=",".join(numbers), model=device.device)
        present.append(gpu)
        owner.update(dict.fromkeys(numbers, gpu))
    visible = list(present)
    if given := place.environment.get(_VARIABLE):
        entries = [entry.strip() for entry in given.split(",")]
        kept: dict[str, list[str]] = {}
        for entry in entries:
            gpu_of_entry = owner.get(entry.split(".")[0])
            if gpu_of_entry is not None:
                kept.setdefault(gpu_of_entry.address, []).append(entry)
        visible = [
            Gpu(gpu.address, "intel", number=",".join(kept[gpu.address]), model=gpu.model)
            for gpu in present
            if gpu.address in kept
        ]
        hidden |= left_out(present, visible, _VARIABLE, given)
    if present:
        notes.append(f"Level Zero takes no UUID: {_VARIABLE} is given numbers in PCI order")
    driven = any(_has_driver(place, device) for device in devices)
    return Found(visible, present, hidden, notes, driven)


def variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """ZE_AFFINITY_MASK, and the order that its numbers are meant in."""
    return {"ZE_ENABLE_PCI_ID_DEVICE_ORDER": "1", _VARIABLE: ",".join(gpu.number for gpu in gpus)}


def _has_driver(place: Place, device: Device) -> bool:
    """Is a graphics driver bound? It then offers the device under `drm`."""
    return bool(place.names(f"{PCI}/{device.address}/drm"))


def _tiles(place: Place, device: Device) -> int:
    """How many tiles a card has: what the driver xe lists; i915 lists parts, which are tiles on some cards only."""
    folder = f"{PCI}/{device.address}"
    tiles = [name for name in place.names(folder, "tile") if name[4:].isdigit()]
    if tiles:
        return len(tiles)
    if device.device not in _TWO_TILES:
        return 1  # a second part of i915's is then the media engine
    cards = [name for name in place.names(f"{folder}/drm", "card") if name[4:].isdigit()]
    return len([name for card in cards[:1] for name in place.names(f"{folder}/drm/{card}/gt", "gt")]) or 2


_TWO_TILES = ("0x0bd5", "0x0bd6", "0x0bd7", "0x0bd8")
"""Data Center GPU Max 1550 and 1450."""
