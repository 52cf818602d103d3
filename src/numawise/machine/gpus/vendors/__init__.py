"""One file a maker of GPUs. To teach numawise another, add a file with these names:

- `PCI_VENDORS`: ids as in `Device.vendor`; `KINDS`: kinds of device of theirs that compute
- `NAME`: what people call it; `PREFERENCE`: whose GPUs an index counts where several makers' are (lower first)
- `find(devices, place) -> Found`: the GPUs among its devices, numbered as its programs number them
- `variables(gpus) -> dict`: the environment that makes exactly these visible to a program

and a test of its own.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

from numawise.machine.gpus.values import Gpu
from numawise.machine.root import Root


class Place(NamedTuple):
    """Where facts are read: a tree (None: a Topology alone), and the environment a program would inherit there."""

    root: Root | None
    environment: Mapping[str, str]

    def read(self, path: str) -> str | None:
        """The text of a file, or None."""
        return self.root.read(path) if self.root is not None else None

    def names(self, path: str, prefix: str = "") -> list[str]:
        """What a folder holds; empty when there is none."""
        return self.root.names(path, prefix) if self.root is not None else []

    @property
    def live(self) -> bool:
        """Is this the running machine?"""
        return self.root is not None and self.root.live

    def opens(self, path: str) -> bool:
        """May this process open the device file? Schedulers refuse it by cgroup while the file stands there.

        access(2) asks the cgroup as open(2) does, and wakes no device. In a machine in a file, being there is enough.
        """
        return not self.live or os.access(f"/{path}", os.R_OK | os.W_OK)


class Found(NamedTuple):
    """What a maker's file found. See `Gpus`; `driven`: its driver is loaded."""

    visible: Sequence[Gpu]
    present: Sequence[Gpu]
    hidden: Mapping[str, str]
    notes: Sequence[str] = ()
    driven: bool = False
    instances: Sequence[Gpu] = ()


def names() -> tuple[str, ...]:
    """The files of this folder."""
    folder = os.path.dirname(__file__)  # noqa: PTH120 - pathlib costs start-up time
    files = os.listdir(folder)  # noqa: PTH208 - likewise
    return tuple(sorted(f[:-3] for f in files if f.endswith(".py") and not f.startswith("_")))


def module(name: str) -> ModuleType:
    """The maker's file of this name."""
    return importlib.import_module(f"{__name__}.{name}")


def variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """The environment that makes exactly these GPUs visible; empty where no variable is known for them.

    >>> variables([Gpu("0000:51:00.0", vendor="nvidia", number="3")])
    {'CUDA_DEVICE_ORDER': 'PCI_BUS_ID', 'CUDA_VISIBLE_DEVICES': '3'}
    """
    found: dict[str, str] = {}
    for vendor in dict.fromkeys(gpu.vendor for gpu in gpus if gpu.vendor):
        found.update(module(vendor).variables([gpu for gpu in gpus if gpu.vendor == vendor]))
    return found


def restrict(given: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs that a list of indices and UUIDs (the beginning of one is enough) leaves, in its order.

    Runtimes read such lists up to the first entry that names nothing, and so does this.

    >>> two = [Gpu("0000:01:00.0", uuid="GPU-aa"), Gpu("0000:02:00.0", uuid="GPU-bb")]
    >>> [gpu.address for gpu in restrict("1,GPU-a,-1,0", two)]
    ['0000:02:00.0', '0000:01:00.0']
    """
    left: list[Gpu] = []
    for entry in (piece.strip() for piece in given.split(",")):
        if entry.isascii() and entry.isdigit():
            found = list(gpus[int(entry[-9:]) :][:1]) if len(entry.lstrip("0")) < 10 else []
        else:
            wanted = entry.lower()
            found = [gpu for gpu in gpus if len(wanted) > 4 and gpu.uuid.lower().startswith(wanted)]
        if len(found) != 1:
            break
        left += found
    return left


def left_out(gpus: Sequence[Gpu], kept: Sequence[Gpu], variable: str, value: str) -> dict[str, str]:
    """Why those not kept cannot be had: somebody (a scheduler, mostly) has set this variable."""
    addresses = {gpu.address for gpu in kept}
    why = f"{variable}={value} in the environment leaves it out"
    return {gpu.address: why for gpu in gpus if gpu.address not in addresses}
