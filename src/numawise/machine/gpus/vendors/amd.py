"""AMD (and Hygon, whose stack is the same): ROCR_VISIBLE_DEVICES, by UUID where the kernel tells one.

The runtime counts GPUs in the order of the kernel driver's topology (/sys/class/kfd), which need not be that of PCI
addresses. ROCR_VISIBLE_DEVICES acts first; HIP_VISIBLE_DEVICES (in its absence CUDA_VISIBLE_DEVICES) then counts what
is left (ROCm documentation, "GPU isolation techniques"), so it is set too, lest an inherited one cut again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from numawise.linux.sysfs import parse_int
from numawise.machine.devices import PCI
from numawise.machine.gpus.values import Gpu
from numawise.machine.gpus.vendors import Found, Place, left_out, restrict
from numawise.machine.topology import Device

NAME = "AMD"
PCI_VENDORS = ("0x1002", "0x1d94")
KINDS = ("gpu",)
PREFERENCE = 1

_KFD = "sys/class/kfd/kfd/topology/nodes"


def find(devices: Sequence[Device], place: Place) -> Found:
    """The GPUs in the order of KFD, else of PCI, and what inherited variables leave of them."""
    by_address = {device.address.lower(): device for device in devices}
    listed = list(_kfd(place, by_address))
    driven = bool(place.names(_KFD))
    hidden, notes = {}, []
    if driven:
        seen = {address for address, _ in listed}
        hidden = {
            device.address: "the kernel's compute driver (KFD) does not offer it to this process"
            for address, device in by_address.items()
            if address not in seen
        }
    else:
        listed = [(address, _sysfs_uuid(place, device)) for address, device in by_address.items()]
        if devices:
            notes.append(
                "no /sys/class/kfd here: AMD GPUs are numbered by PCI address, ROCm's own order may differ"
            )
    count = Counter(uuid for _, uuid in listed)
    order = [
        Gpu(
            address=by_address[address].address,
            vendor="amd",
            uuid=uuid if count[uuid] == 1 else "",  # parts of one card may share it
            number=str(number),
            model=by_address[address].device,
        )
        for number, (address, uuid) in enumerate(listed)
    ]
    visible: list[Gpu] = order
    for variables_of_stage in (
        ("ROCR_VISIBLE_DEVICES",),
        ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    ):
        variable = next((name for name in variables_of_stage if place.environment.get(name)), None)
        if variable is not None:
            given = place.environment[variable]
            kept = restrict(given, visible)
            hidden |= left_out(visible, kept, variable, given)
            visible = kept
    return Found(visible, sorted(order, key=lambda gpu: gpu.address), hidden, notes, driven)


def variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """ROCR_VISIBLE_DEVICES, and HIP_VISIBLE_DEVICES counting what that leaves."""
    return {
        "ROCR_VISIBLE_DEVICES": ",".join(gpu.uuid or gpu.number for gpu in gpus),
        "HIP_VISIBLE_DEVICES": ",".join(str(i) for i in range(len(gpus))),
    }


def _kfd(place: Place, wanted: dict[str, Device]) -> Iterator[tuple[str, str]]:
    """Address and UUID of each GPU node this process may see, in the runtime's order."""
    numbers = sorted(n for name in place.names(_KFD) if (n := parse_int(name)) is not None)
    for number in numbers:
        # A GPU kept from this process by its cgroup is there, but its files refuse to be read.
        if not parse_int(place.read(f"{_KFD}/{number}/gpu_id")):
            continue
        lines = (place.read(f"{_KFD}/{number}/properties") or "").splitlines()
        facts = dict(line.split(None, 1) for line in lines if len(line.split()) == 2)
        location = parse_int(facts.get("location_id"))
        if location is None:
            continue
        domain = parse_int(facts.get("domain")) or 0
        bus, device, function = location >> 8 & 0xFF, location >> 3 & 0x1F, location & 7
        unique = parse_int(facts.get("unique_id")) or 0
        # A part of a partitioned card may carry its number where the function stands.
        for one in (function, 0):
            address = f"{domain:04x}:{bus:02x}:{device:02x}.{one}"
            if address in wanted:
                yield address, f"GPU-{unique:016x}" if unique else ""
                break


def _sysfs_uuid(place: Place, device: Device) -> str:
    said = place.read(f"{PCI}/{device.address}/unique_id") or ""
    unique = parse_int(f"0x{said}") if said else None
    return f"GPU-{unique:016x}" if unique else ""
