"""Processes next to their GPUs: what `--gpu G` names, and the CPUs and nodes each GPU is given in each mode."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from numawise.errors import NotPermittedError, UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu, Gpus
from numawise.machine.gpus.vendors.nvidia import instance_of
from numawise.machine.gpus.witnesses import node_text
from numawise.machine.topology import Topology
from numawise.placement.request import GpuMode
from numawise.placement.units import cores_of, split_cores

_ADDRESS = re.compile(r"^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$", re.IGNORECASE)


class Seat(msgspec.Struct, frozen=True):
    """What one GPU is given: `nodes` is empty when it is not known where the GPU is."""

    cpus: CPUSet
    nodes: tuple[int, ...]


def choose(text: str, gpus: Gpus) -> tuple[Gpu, ...]:
    """The GPUs that `G` means: `all`, or a list of indices, UUIDs (or their beginnings), MIG ids and PCI addresses.

    Raises UsageError for what names no GPU, saying which there are, and NotPermittedError for one that is here but
    cannot be used by this process, saying why.

    >>> two = (Gpu("0000:01:00.0", uuid="GPU-12345678"), Gpu("0000:02:00.0", uuid="GPU-87654321"))
    >>> [gpu.address for gpu in choose("GPU-8765,01:00.0", Gpus(two, two))]
    ['0000:02:00.0', '0000:01:00.0']
    """
    names = [name.strip() for name in text.split(",")]
    found = visible(gpus) if names == ["all"] else tuple(_one(name, gpus) for name in names)
    if len({(gpu.address, gpu.uuid) for gpu in found}) < len(found):
        raise UsageError(f"--gpu {text} names the same GPU twice")
    return found


def visible(gpus: Gpus) -> tuple[Gpu, ...]:
    """All GPUs a program would see. Raises when there are none, saying why."""
    if not gpus.visible:
        if gpus.hidden:
            why = "; ".join(f"{address}: {reason}" for address, reason in gpus.hidden.items())
            raise NotPermittedError(f"no GPU can be used here: {why}")
        raise UsageError(f"this machine has no GPU that is known of{_by_address(gpus)}")
    return gpus.visible


def _one(name: str, gpus: Gpus) -> Gpu:
    if name.isascii() and name.isdigit():
        return _by_index(name, gpus)
    address = _ADDRESS.match(name)
    if address:
        wanted = f"{int(address[1] or '0', 16):04x}:{address[2]}:{address[3]}.{address[4]}".lower()
        found = [gpu for gpu in (*gpus.present, *gpus.others) if gpu.address.lower() == wanted]
        refuse_hidden(wanted, gpus)
        if not found:
            raise UsageError(f"there is no GPU at {wanted}; {_there_are(gpus)}")
        return next((gpu for gpu in found if not gpu.is_instance), found[0])
    if name.upper().startswith("MIG-"):
        seen = [gpu for gpu in gpus.visible if gpu.uuid.lower().startswith(name.lower())]
        cards = [gpu for gpu in gpus.present if gpu.vendor == "nvidia"]
        if seen or not cards:
            return _only(name, seen, gpus)
        gpu = instance_of(name, cards, [gpu for gpu in gpus.others if gpu.is_instance])
    else:
        every = (*gpus.present, *gpus.others)
        gpu = _only(
            name,
            [gpu for gpu in every if len(name) > 4 and gpu.uuid.lower().startswith(name.lower())],
            gpus,
        )
    refuse_hidden(gpu.address, gpus)
    return gpu


def _by_index(index: str, gpus: Gpus) -> Gpu:
    all_of_them = visible(gpus)
    if len(index) > 9 or int(index) >= len(all_of_them):
        hint = f" ({'; '.join(sorted(set(gpus.hidden.values())))})" if gpus.hidden else ""
        raise UsageError(f"there is no GPU {index}{hint}; {_there_are(gpus)}")
    gpu = all_of_them[int(index)]
    if gpu.vendor and not gpu.number and not gpu.uuid and len(all_of_them) > 1:
        raise UsageError(
            f"which GPU is number {index} is not known here: name it by PCI address; {_there_are(gpus)}"
        )
    return gpu


def refuse_hidden(address: str, gpus: Gpus) -> None:
    """Raise NotPermittedError for a GPU that is here and cannot be used."""
    why = next((why for hidden, why in gpus.hidden.items() if hidden.lower() == address.lower()), None)
    if why is not None and not any(gpu.address == address for gpu in gpus.visible):
        raise NotPermittedError(f"GPU {address} cannot be used here: {why}")


def _only(name: str, found: Sequence[Gpu], gpus: Gpus) -> Gpu:
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{name!r} begins the names of {len(found)} GPUs: {', '.join(g.uuid for g in found)}"
        )
    raise UsageError(
        f"no GPU is called {name!r} (an index, UUID, MIG id or PCI address is meant); {_there_are(gpus)}"
    )


def _there_are(gpus: Gpus) -> str:
    if not gpus.visible:
        return f"there are none that can be used{_by_address(gpus)}"
    listed = (f"{i} ({gpu.uuid if gpu.is_instance else gpu.address})" for i, gpu in enumerate(gpus.visible))
    return "there are " + ", ".join(listed)


def _by_address(gpus: Gpus) -> str:
    return f"; by address also {', '.join(gpu.address for gpu in gpus.others)}" if gpus.others else ""


def seats(
    topology: Topology, chosen: Sequence[Gpu], present: Sequence[Gpu], cpus: CPUSet, mode: GpuMode
) -> tuple[dict[str, Seat], list[str]]:
    """PCI address -> what the GPU is given of `cpus`, for all of `chosen`, and what had to be decided on the way.

    `present`: all GPUs of the machine. In the modes exclusive and l3 each one's share is the same whichever are chosen,
    so that launches of one GPU each do not meet. Raises UsageError where cores cannot be shared out so.
    """
    named = {gpu.address for gpu in chosen}
    homes: dict[str, tuple[int, ...]] = {}
    notes: list[str] = []
    # MIG instances of one card are one seat: they share what the card is given.
    for gpu in {gpu.address: gpu for gpu in (*present, *chosen)}.values():
        homes[gpu.address], note = _home(topology, gpu, cpus)
        if note and gpu.address in named:
            notes.append(note)
    if mode in ("node", "socket"):
        widen = _sockets_of if mode == "socket" else _cpus_of
        return {
            a: Seat(CPUSet(widen(topology, homes[a]) & cpus) if homes[a] else cpus, homes[a]) for a in named
        }, notes
    groups: dict[tuple[int, ...], list[str]] = {}
    for address, home in sorted(homes.items()):
        groups.setdefault(home, []).append(address)
    _check_apart(topology, groups, mode, named)
    found: dict[str, Seat] = {}
    for home, members in groups.items():
        if named.isdisjoint(members):
            continue
        pool = CPUSet(_cpus_of(topology, home) & cpus) if home else cpus
        pieces = (
            _split(topology, pool, members, home)
            if mode == "exclusive"
            else _domains(topology, pool, members)
        )
        found.update((a, Seat(piece, home)) for a, piece in zip(members, pieces, strict=True) if a in named)
    return found, notes


def _home(topology: Topology, gpu: Gpu, cpus: CPUSet) -> tuple[tuple[int, ...], str]:
    """The nodes whose CPUs the GPU's process can have: its own, else the nearest that has any; none: not known."""
    usable = [node.id for node in topology.nodes if node.cpus & cpus]
    own = tuple(node for node in gpu.nodes if node in usable)
    if own:
        return own, ""
    if not gpu.nodes:
        if len(usable) <= 1 and len(topology.nodes) <= 1:
            return tuple(usable), ""
        asked = ", ".join(witness.source for witness in gpu.witnesses)
        return (), (
            f"GPU {gpu.address}: no witness ({asked}) knows its node, so its process gets the whole machine, "
            "near to the GPU or not; a later BIOS may tell, --node N decides it"
        )
    row = (topology.distances or {}).get(gpu.nodes[0], {})
    known = [node for node in usable if node in row]
    where = (
        f"GPU {gpu.address} is on {node_text(gpu.nodes)}, of whose CPUs none is both allowed and asked for"
    )
    if not known:
        return (), f"{where}, and no distances are known: its process gets all CPUs that may be used"
    nearest = min(known, key=lambda node: (row[node], node))
    return (nearest,), f"{where}: placed on node {nearest}, the nearest (distance {row[nearest]})"


def _cpus_of(topology: Topology, nodes: Sequence[int]) -> CPUSet:
    return CPUSet(c for n in nodes for c in topology.node(n).cpus)


def _sockets_of(topology: Topology, nodes: Sequence[int]) -> CPUSet:
    own = _cpus_of(topology, nodes)
    return CPUSet(own | {c for socket in topology.sockets if socket.cpus & own for c in socket.cpus})


def _check_apart(
    topology: Topology, groups: dict[tuple[int, ...], list[str]], mode: GpuMode, named: set[str]
) -> None:
    """Shares that must not meet need GPUs of which it is known whom they share with."""
    for home, members in groups.items():
        for other, strangers in groups.items():
            meets = not home or not other or set(home) & set(other)
            if home != other and meets and named & {*members, *strangers}:
                raise UsageError(
                    f"--gpu-mode {mode} cannot keep GPU {members[0]} ({_lies(home)}) and GPU {strangers[0]} "
                    f"({_lies(other)}) apart; use --gpu-mode node, or --cpus"
                )


def _lies(home: tuple[int, ...]) -> str:
    return f"on {node_text(home)}" if home else "node unknown"


def _split(topology: Topology, pool: CPUSet, members: Sequence[str], home: tuple[int, ...]) -> list[CPUSet]:
    cores = cores_of(topology, pool)
    if len(members) > len(cores):
        where = node_text(home) if home else "this machine"
        some = f"{len(cores)} core{'s' if len(cores) != 1 else ''}"
        raise UsageError(
            f"{where} has {len(members)} GPUs and only {some} that may be used (CPUs {pool}): "
            f"{len(members)} GPUs x 1 core each = {len(members)} cores > {len(cores)}; "
            "use --gpu-mode node, where they share the cores"
        )
    return split_cores(cores, len(members))


def _domains(topology: Topology, pool: CPUSet, members: Sequence[str]) -> list[CPUSet]:
    """One L3 domain each, spread over those there are; several GPUs to one where there are fewer."""
    pieces = [CPUSet(domain.cpus & pool) for domain in topology.l3_domains]
    pieces = sorted((piece for piece in pieces if piece), key=min)
    if not pieces:
        raise UsageError("this machine does not tell its L3 domains; use --gpu-mode node or exclusive")
    return [pieces[i * len(pieces) // len(members)] for i in range(len(members))]
