"""Huawei Ascend: ASCEND_RT_VISIBLE_DEVICES, by number; CANN takes no UUID.

The numbers are those of /dev/davinciN. Which PCI address is which number no file says, and on common servers it is not
the order of addresses: so it is known only where there is one of each, else asked of `npu-smi info`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from numawise.machine.gpus.values import Gpu
from numawise.machine.gpus.vendors import Found, Place, left_out
from numawise.machine.topology import Device

NAME = "Ascend"
PCI_VENDORS = ("0x19e5",)
KINDS = ("accelerator",)
PREFERENCE = 3

_VARIABLE = "ASCEND_RT_VISIBLE_DEVICES"
_ROW = (
    r"^\|\s*(?P<npu>\d+)\s+\S+\s*\|.*\n"
    r"\|\s*(?P<chip>\d+)(?:\s+(?P<device>\d+))?\s*\|\s*(?P<address>[0-9A-F]{4}:[0-9A-F]{2}:[0-9A-F]{2}\.[0-7])\s*\|"
)


def find(devices: Sequence[Device], place: Place) -> Found:
    """The NPUs by their numbers, as far as these are known, and what an inherited variable leaves."""
    files = sorted(
        int(name[7:])
        for name in place.names("dev", "davinci")
        if name[7:].isdecimal() and place.opens(f"dev/{name}")
    )
    numbers: dict[str, tuple[int, ...]] = {}
    if len(devices) == len(files) == 1:
        numbers = {devices[0].address.lower(): (files[0],)}
    elif files and place.live:
        numbers = numbers_in(_npu_smi())
    given = place.environment.get(_VARIABLE)
    wanted = None if given is None else {entry.strip() for entry in given.split(",")}
    present = []
    hidden: dict[str, str] = {}
    for device in devices:
        own = [str(n) for n in numbers.get(device.address.lower(), ()) if n in files]
        if numbers and not own:
            hidden[device.address] = "no /dev/davinciN of it may be opened here"
            continue
        present.append(Gpu(device.address, "ascend", number=",".join(own), model=device.device))
    notes = []
    unknown = [gpu.address for gpu in present if not gpu.number]
    if unknown:
        notes.append(
            f"which number CANN gives to {', '.join(unknown)} is not known here (npu-smi info tells it): "
            f"{_VARIABLE} is not set for {'it' if len(unknown) == 1 else 'them'}; name them by PCI address"
        )
        return Found(present, present, hidden, notes, bool(files))
    visible = sorted(present, key=lambda gpu: _numbers(gpu)[0])
    if given is not None and wanted is not None:
        kept = [
            msgspec.structs.replace(gpu, number=",".join(left))
            for gpu in visible
            if (left := [n for n in gpu.number.split(",") if n in wanted])
        ]
        visible, hidden = kept, hidden | left_out(visible, kept, _VARIABLE, given)
    return Found(visible, present, hidden, notes, bool(files))


def variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """ASCEND_RT_VISIBLE_DEVICES, ascending as CANN demands; nothing where a number is not known."""
    if not all(gpu.number for gpu in gpus):
        return {}
    return {_VARIABLE: ",".join(str(n) for n in sorted(n for gpu in gpus for n in _numbers(gpu)))}


def numbers_in(table: str) -> dict[str, tuple[int, ...]]:
    """PCI address -> numbers of the chips on it, from what `npu-smi info` prints.

    >>> numbers_in('''| 4     910B3         | OK            | 93.0  41  0 / 0 |
    ... | 0                   | 0000:01:00.0  | 0     0 / 0     |''')
    {'0000:01:00.0': (4,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for row in re.finditer(_ROW, table, re.MULTILINE | re.IGNORECASE):
        number = int(row["device"] if row["device"] is not None else row["npu"])
        address = row["address"].lower()
        found[address] = (*found.get(address, ()), number)
    return found


def _numbers(gpu: Gpu) -> list[int]:
    return [int(number) for number in gpu.number.split(",")]


def _npu_smi() -> str:
    """What `npu-smi info` prints; empty where it cannot be run."""
    import subprocess

    try:
        done = subprocess.run(["npu-smi", "info"], check=False, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
