"""Which network cards are nearest to a device: under the same PCIe switch, the same host bridge, or on its node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from numawise.machine.devices import PCI
from numawise.machine.gpus.values import Gpu
from numawise.machine.root import Root
from numawise.machine.topology import Device, Topology


class Near(NamedTuple):
    """The nearest network cards of one GPU, equally near, and how near that is."""

    nics: tuple[Device, ...]
    how: str


def nearest(gpu: Gpu, topology: Topology, root: Root | None) -> Near | None:
    """By the path through bridges that `/sys/bus/pci/devices` links spell; without links, by node. None: no card."""
    cards = [device for device in topology.devices if device.kind == "nic"]
    here = _path(root, gpu.address)
    if here:
        depth = {card.address: _common(here, _path(root, card.address)) for card in cards}
        deepest = max(depth.values(), default=0)
        if deepest > 0:
            found = tuple(card for card in cards if depth[card.address] == deepest)
            # The first part is the host bridge, the second the root port: below that one, only switches branch.
            return Near(found, "same PCIe switch" if deepest > 1 else "same PCIe host bridge")
    found = tuple(card for card in cards if card.node is not None and card.node in gpu.nodes)
    return Near(found, "same node") if found else None


def adapters(near: Near, root: Root | None) -> tuple[str, ...]:
    """The names under which NCCL and RCCL know the cards as RDMA adapters (`mlx5_0`); empty where they have none."""
    if root is None:
        return ()
    return tuple(name for nic in near.nics for name in root.names(f"{PCI}/{nic.address}/infiniband"))


def _path(root: Root | None, address: str) -> list[str]:
    """`pci0000:40`, `0000:40:01.0`, ..., without the device itself; empty where the tree has no links."""
    real = root.real(f"{PCI}/{address}") if root is not None else None
    parts = (real or "").split("/")
    start = next((i for i, part in enumerate(parts) if part.startswith("pci") and ":" in part), None)
    return [] if start is None else parts[start:-1]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
