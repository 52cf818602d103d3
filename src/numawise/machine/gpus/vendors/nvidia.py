"""NVIDIA: CUDA_VISIBLE_DEVICES, by UUID where the driver tells it.

CUDA counts devices from the fastest to the slowest unless CUDA_DEVICE_ORDER=PCI_BUS_ID (CUDA C++ Programming Guide,
"Environment variables"); nvidia-smi counts by PCI address. So the order is always set along with the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from numawise.errors import NotPermittedError, UsageError
from numawise.linux.sysfs import field
from numawise.machine.gpus import nvml
from numawise.machine.gpus.values import Gpu, Witness
from numawise.machine.gpus.vendors import Found, Place, left_out, restrict
from numawise.machine.topology import Device

NAME = "NVIDIA"
PCI_VENDORS = ("0x10de",)
KINDS = ("gpu",)
PREFERENCE = 0

_PROC = "proc/driver/nvidia/gpus"
_VARIABLE = "CUDA_VISIBLE_DEVICES"
_MINOR = re.compile(r"nvidia(\d+)$")


def find(devices: Sequence[Device], place: Place) -> Found:
    """The GPUs in PCI order, those this process may open, and what an inherited CUDA_VISIBLE_DEVICES leaves."""
    known = {name.lower(): place.read(f"{_PROC}/{name}/information") or "" for name in place.names(_PROC)}
    files = {found[1]: name for name in place.names("dev", "nvidia") if (found := _MINOR.match(name))}
    asked = nvml.ask() if place.live and (known or files) else nvml.Answer({})
    opened = {minor: place.opens(f"dev/{name}") for minor, name in files.items()}
    hidden: dict[str, str] = {}
    present: list[Gpu] = []
    for device in devices:
        address = device.address.lower()
        why = _unusable(address, known, opened, asked.cards)
        if why:
            hidden[device.address] = why
            continue
        card = asked.cards.get(address)
        present.append(
            Gpu(
                address=device.address,
                vendor="nvidia",
                uuid=card.uuid if card else _uuid(known.get(address)),
                number=str(len(present)),
                model=device.device,
                witnesses=(Witness("NVML", card.nodes),) if card else (),
            )
        )
    instances = [
        msgspec.structs.replace(gpu, uuid=mig, number="")
        for gpu in present
        for mig in (asked.cards[gpu.address.lower()].instances if gpu.address.lower() in asked.cards else ())
    ]
    notes = [asked.trouble] if asked.trouble else []
    visible: Sequence[Gpu] = present
    if (given := place.environment.get(_VARIABLE)) is not None:
        visible = _restricted(given, present, instances, place.environment)
        hidden |= left_out(present, visible, _VARIABLE, given)
    if instances:
        notes.append(
            f"MIG cuts {len({i.address for i in instances})} of these GPUs into instances; name one by its id: "
            + ", ".join(i.uuid for i in instances)
        )
    if not all(gpu.uuid for gpu in present):
        notes.append(
            f"not every UUID is known here: {_VARIABLE} counts GPUs in PCI order (CUDA_DEVICE_ORDER)"
        )
    return Found(visible, present, hidden, notes, bool(known or files), instances)


def variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """CUDA_VISIBLE_DEVICES by UUID, or by number where one of them has none.

    Raises UsageError where neither names them all (a MIG instance beside a GPU without UUID).
    """
    for names in ([gpu.uuid for gpu in gpus], [gpu.number for gpu in gpus]):
        if all(names):
            return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", _VARIABLE: ",".join(names)}
    raise UsageError(
        "CUDA takes either UUIDs or numbers, and there is no way to name these together: "
        + ", ".join(gpu.uuid or gpu.address for gpu in gpus)
    )


def _unusable(
    address: str, known: Mapping[str, str], opened: Mapping[str, bool], cards: Mapping[str, nvml.Card]
) -> str:
    """Why CUDA will not count this one; empty when it will, or when there is nothing to judge by."""
    if known and address not in known:
        return "NVIDIA's driver does not drive it (it is bound to another one, or kept from this container)"
    if field(known.get(address), "GPU Excluded") == "Yes":
        return "NVIDIA's driver is told to leave it out (GPU Excluded: Yes)"
    minor = field(known.get(address), "Device Minor")
    if opened and minor is not None and minor not in opened:
        return f"there is no /dev/nvidia{minor} here: this container was not given it"
    if minor is not None and not opened.get(minor, True):
        return f"/dev/nvidia{minor} may not be opened here: a scheduler's cgroup keeps it for others, mostly"
    return "NVML does not list it" if cards and address not in cards else ""


def _uuid(information: str | None) -> str:
    said = field(information, "GPU UUID") or ""
    return "" if "?" in said else said  # question marks until the GPU is first used


def _restricted(
    given: str, present: Sequence[Gpu], instances: Sequence[Gpu], environment: Mapping[str, str]
) -> list[Gpu]:
    first = given.split(",", maxsplit=1)[0].strip()
    if first.startswith("MIG-"):
        return [instance_of(first, present, instances)]  # CUDA uses one instance, the first
    if first.isdigit() and len({gpu.model for gpu in present}) > 1:
        order = environment.get("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
        if order != "PCI_BUS_ID":
            raise UsageError(
                f"{_VARIABLE}={given} counts GPUs from the fastest to the slowest (CUDA_DEVICE_ORDER is "
                f"{order}), and the models here differ, so which ones are meant is not known; "
                "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or give UUIDs (nvidia-smi -L)"
            )
    return restrict(given, present)


def instance_of(mig_id: str, present: Sequence[Gpu], instances: Sequence[Gpu]) -> Gpu:
    """The MIG instance of this id, on its card. Raises NotPermittedError when nobody tells which card that is."""
    wanted = mig_id.lower()
    found = [gpu for gpu in instances if gpu.uuid.lower().startswith(wanted)]
    if len(found) == 1:
        return found[0]
    # Drivers before R470 name the card inside: MIG-GPU-<uuid>/<instance>/<part>.
    card = [gpu for gpu in present if gpu.uuid and wanted.startswith(f"mig-{gpu.uuid.lower()}/")]
    if not card and not instances and len(present) == 1:
        card = list(present)
    if len(card) != 1:
        raise NotPermittedError(
            f"which GPU holds {mig_id} only NVML can tell, and "
            + (
                "it knows no such instance (nvidia-smi -L lists them)"
                if instances
                else "it is not to be had here; pip install nvidia-ml-py, or name the card by PCI address"
            )
        )
    return msgspec.structs.replace(card[0], uuid=mig_id, number="")
