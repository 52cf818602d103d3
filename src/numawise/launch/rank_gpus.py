"""Which GPUs are a rank's, and the cores beside them that are its alone.

The program keeps the list of GPUs it was given: it picks its own by its local rank, and would not find it in a list of
one. So nothing is hidden here, and only the order in which CUDA counts is made certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from numawise.errors import UsageError
from numawise.launch.launchers import Rank, named
from numawise.launch.rank_binding import Binding
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu, Gpus
from numawise.machine.topology import Topology
from numawise.placement.gpu import seats
from numawise.placement.request import GpuMode
from numawise.placement.units import cores_of, split_cores


class Cards(msgspec.Struct, frozen=True):
    """The GPUs this rank sees, and those it is going to use."""

    visible: tuple[Gpu, ...] = ()
    mine: tuple[Gpu, ...] = ()
    present: tuple[Gpu, ...] = ()
    """All that may be used here: with --gpu-mode exclusive the cores are shared out among these."""
    shared: bool = True
    """All local ranks see the same list: then each can tell whose the others are."""
    notes: tuple[str, ...] = ()


def cards_of(
    topology: Topology, rank: Rank, gpus: Gpus | None, binding: Binding, environ: Mapping[str, str]
) -> Cards:
    """The GPUs of this rank: the local_rank-th of those its program sees, unless the launcher gave it its own."""
    kinds = {device.address: device.kind for device in topology.devices}
    visible = tuple(
        gpu
        for gpu in (gpus.visible if gpus else ())
        if gpu.vendor or kinds.get(gpu.address) in ("gpu", "accelerator")
    )
    if not visible:
        hidden = [a for a in (gpus.hidden if gpus else {}) if kinds.get(a) in ("gpu", "accelerator")]
        why = dict.fromkeys(gpus.hidden[a] for a in hidden) if gpus else {}
        return Cards(
            notes=(f"no GPU can be used here ({'; '.join(why)}): placed as without",) if hidden else ()
        )
    notes = list(gpus.notes if gpus and rank.local_rank == 0 else ())
    count = rank.local_world or rank.local_rank + 1
    given = getattr(named(rank.launcher), "own_gpus", lambda _: None)(environ)
    if count > 1 and given == len(visible):
        return Cards(visible, visible, shared=False, notes=tuple(notes))
    if len(visible) == 1:
        there = sum(kind in ("gpu", "accelerator") for kind in kinds.values())
        return Cards(
            visible, visible, shared=count == 1 or there == 1 or binding.same_gpus, notes=tuple(notes)
        )
    if rank.local_rank >= len(visible):
        notes.append(
            f"local rank {rank.local_rank}, but only {len(visible)} GPUs are to be seen: taken to use the one with "
            f"index {rank.local_rank % len(visible)} (local rank modulo GPUs, as most programs do)"
        )
    if visible[0].vendor == "nvidia" and environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID") != "PCI_BUS_ID":
        notes.append(
            f"CUDA_DEVICE_ORDER={environ['CUDA_DEVICE_ORDER']}: which GPU has index {rank.local_rank} only CUDA knows; "
            "taken in the order of PCI addresses"
        )
    present = gpus.present if gpus else ()
    return Cards(visible, (visible[rank.local_rank % len(visible)],), present, notes=tuple(notes))


def order_variables(cards: Cards, environ: Mapping[str, str]) -> dict[str, str]:
    """What makes CUDA count as we do: from the fastest on, its default, leaves the order of the rest open."""
    several = len(cards.visible) > 1 and cards.visible[0].vendor == "nvidia"
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if several and "CUDA_DEVICE_ORDER" not in environ else {}


def beside(
    topology: Topology, rank: Rank, cards: Cards, count: int, pool: CPUSet, mode: GpuMode
) -> tuple[list[CPUSet], int, list[str]]:
    """The CPUs beside the GPUs of every local rank (of this one alone where the others' are not known).

    Returns them with the number of ranks that run on this one's, and notes.
    """
    if not cards.shared:
        return _of_its_own(topology, cards, count, pool, mode)
    used = [cards.visible[r % len(cards.visible)] for r in range(count)]
    places, notes = seats(topology, used, cards.present or cards.visible, pool, mode)
    notes = _own(notes, [used[rank.local_rank]])
    chosen = [places[gpu.address].cpus for gpu in used]
    unknown = not places[used[rank.local_rank].address].nodes
    groups: dict[CPUSet, list[int]] = {}
    for r, cpus in enumerate(chosen):
        groups.setdefault(cpus, []).append(r)
    found = list(chosen)
    for cpus, group in groups.items():
        if len(group) > len(cpus) and rank.local_rank in group:
            notes.append(f"{len(group)} ranks share CPUs {cpus}, which are only {len(cpus)}")
        if not unknown and len(group) <= len(cpus):
            for r, piece in zip(group, split_cores(cores_of(topology, cpus), len(group)), strict=True):
                found[r] = piece
    mine = found[rank.local_rank]
    return found, sum(other == mine for other in found), notes


def _of_its_own(
    topology: Topology, cards: Cards, count: int, pool: CPUSet, mode: GpuMode
) -> tuple[list[CPUSet], int, list[str]]:
    """Beside GPUs that the launcher gave this rank alone. Which ones the others have is not known, so each GPU of the
    machine has its fixed share of the cores, in which ranks with different GPUs cannot meet.
    """
    known = {gpu.address: gpu for gpu in cards.visible}
    every = [
        known.get(d.address) or Gpu(d.address, nodes=() if d.node is None else (d.node,))
        for d in topology.devices
        if d.kind in ("gpu", "accelerator")
    ]
    try:
        places, notes = seats(topology, cards.mine, every, pool, "exclusive" if mode == "node" else mode)
    except UsageError as refused:
        places, notes = seats(topology, cards.mine, every, pool, "node")
        notes.append(f"the CPUs beside the GPU are shared with the ranks of other GPUs: {refused}")
    cpus = CPUSet(cpu for gpu in cards.mine for cpu in places[gpu.address].cpus)
    if all(places[gpu.address].nodes for gpu in cards.mine) and count > 1:
        notes.append(
            f"this rank sees its own GPU only: it gets the share of the cores that goes with it, CPUs {cpus}"
        )
    return [cpus], 1, _own(notes, cards.mine)


def _own(notes: Sequence[str], gpus: Sequence[Gpu]) -> list[str]:
    """Of notes on single GPUs, those on this rank's."""
    return [note for note in notes if not note.startswith("GPU ") or any(gpu.address in note for gpu in gpus)]
