"""What is known of a GPU: where it sits, who says so, and by which names programs and people call it."""

from __future__ import annotations

import msgspec


class Witness(msgspec.Struct, frozen=True):
    """What one source says about the node of a device; no nodes: it does not know."""

    source: str
    """`numa_node`, `NVML` or `local_cpulist`."""
    nodes: tuple[int, ...] = ()


class Gpu(msgspec.Struct, frozen=True):
    """One GPU (or other accelerator, or a MIG instance of one)."""

    address: str
    """PCI address of the card; a MIG instance has that of the card it is cut from."""
    vendor: str = ""
    """The file under `vendors` that knows it; empty when none does."""
    uuid: str = ""
    """UUID or MIG id, as the vendor's visibility variable takes it; empty when not known, or the vendor has none."""
    number: str = ""
    """What the vendor's visibility variable calls it where it is not given a UUID; empty when not known."""
    model: str = ""
    """PCI device id, to tell models apart."""
    nodes: tuple[int, ...] = ()
    """The nodes it is attached to, one as a rule; empty when nobody knows."""
    witnesses: tuple[Witness, ...] = ()

    @property
    def is_instance(self) -> bool:
        """Is it a MIG instance, a part of a card?"""
        return self.uuid.startswith("MIG-")


class Gpus(msgspec.Struct, frozen=True):
    """All GPUs of a machine."""

    visible: tuple[Gpu, ...] = ()
    """Those a program started now would see, in the order in which it numbers them."""
    present: tuple[Gpu, ...] = ()
    """Those that can be used here, whatever a visibility variable leaves of them, by PCI address."""
    others: tuple[Gpu, ...] = ()
    """What can be named by address only: GPUs of another maker, accelerators, displays, MIG instances."""
    hidden: dict[str, str] = {}
    """PCI address -> why it cannot be used here (no device file, or left out by an inherited variable)."""
    notes: tuple[str, ...] = ()
