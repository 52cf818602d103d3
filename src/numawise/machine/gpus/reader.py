"""`read_gpus`: every GPU of a machine, numbered as a program would see them, each with its witnesses heard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from numawise.machine.gpus import vendors
from numawise.machine.gpus.values import Gpu, Gpus, Witness
from numawise.machine.gpus.vendors import Found, Place
from numawise.machine.gpus.witnesses import decide, hear, node_text, told
from numawise.machine.root import Root
from numawise.machine.topology import Device, Topology

_ORDER = ("numa_node", "NVML", "local_cpulist")


def read_gpus(
    topology: Topology, root: Root | None = None, environment: Mapping[str, str] | None = None
) -> Gpus:
    """The GPUs of the machine that `topology` describes.

    `root` is the tree it was read from (None: nothing is known but the Topology), `environment` what a program started
    there would inherit: visibility variables in it restrict and renumber. Where several makers' GPUs are, numbers
    count those of one (whose driver is loaded, and most of them); the others go by address. A machine whose only
    candidates are displays numbers these.

    Raises UsageError for inherited variables that do not say which GPUs they mean.
    """
    place = Place(root, environment or {})
    left = {device.address: device for device in topology.devices if _may_be(device)}
    by_maker: dict[str, Found] = {}
    for name in vendors.names() if left else ():
        maker = vendors.module(name)
        own = [d for d in left.values() if d.vendor in maker.PCI_VENDORS and d.kind in maker.KINDS]
        if any(device.kind != "display" for device in own):
            by_maker[name] = maker.find(own, place)
    claimed = {gpu.address for found in by_maker.values() for gpu in (*found.present, *found.instances)}
    hidden = {address: why for found in by_maker.values() for address, why in found.hidden.items()}
    rest = [device for address, device in left.items() if address not in claimed | set(hidden)]
    numbered, aside = _numbered(by_maker, rest)
    notes = [note for name in numbered for note in by_maker[name].notes]
    if len(by_maker) > 1 and numbered:
        notes.append(
            f"GPU numbers count the {vendors.module(numbered[0]).NAME} ones here; name others by PCI address: "
            + ", ".join(
                gpu.address for name in by_maker if name != numbered[0] for gpu in by_maker[name].present
            )
        )
    heard: dict[str, Gpu] = {}
    for gpu in _all(by_maker, rest):
        device = left[gpu.address]
        known = [_existing(gpu.address, witness, topology, notes) for witness in gpu.witnesses]
        witnesses = _in_order((*known, *hear(root, device, topology)))
        nodes, contradicted = decide(witnesses)
        if contradicted:
            notes.append(told(gpu.address, witnesses, nodes))
        heard[gpu.address] = msgspec.structs.replace(gpu, witnesses=witnesses, nodes=nodes)

    def placed(gpus: Iterable[Gpu]) -> tuple[Gpu, ...]:
        return tuple(
            msgspec.structs.replace(
                gpu, witnesses=heard[gpu.address].witnesses, nodes=heard[gpu.address].nodes
            )
            for gpu in gpus
        )

    if not numbered:
        bare = placed(_bare(device) for device in aside)
        others = placed(_bare(device) for device in rest if device not in aside)
        if bare and all(left[gpu.address].kind == "display" for gpu in bare):
            notes.append(
                f"no GPU that computes is known here: --gpu means the display device {bare[0].address}"
            )
        return Gpus(bare, bare, others, hidden, tuple(notes))
    chosen = by_maker[numbered[0]]
    others = (
        *chosen.instances,
        *(gpu for name, found in by_maker.items() if name != numbered[0] for gpu in found.present),
        *(_bare(device) for device in rest),
    )
    return Gpus(placed(chosen.visible), placed(chosen.present), placed(others), hidden, tuple(notes))


def _may_be(device: Device) -> bool:
    return device.kind in ("gpu", "accelerator", "display")


def _numbered(by_maker: Mapping[str, Found], rest: list[Device]) -> tuple[list[str], list[Device]]:
    """The maker whose GPUs numbers count; if there is none, the devices of `rest` that they count instead."""
    makers = [name for name, found in by_maker.items() if found.present or found.hidden]
    if makers:
        best = min(
            makers,
            key=lambda name: (
                not by_maker[name].driven,
                -len(by_maker[name].present),
                vendors.module(name).PREFERENCE,
            ),
        )
        return [best], []
    for kind in ("gpu", "accelerator", "display"):
        found = [device for device in rest if device.kind == kind]
        if found:
            return [], found
    return [], []


def _all(by_maker: Mapping[str, Found], rest: Iterable[Device]) -> list[Gpu]:
    return [
        *(gpu for found in by_maker.values() for gpu in found.present),
        *(_bare(device) for device in rest),
    ]


def _bare(device: Device) -> Gpu:
    return Gpu(device.address, model=device.device)


def _existing(address: str, witness: Witness, topology: Topology, notes: list[str]) -> Witness:
    """What the witness says of nodes that there are; what it says of others is told in `notes`."""
    there = tuple(n for n in witness.nodes if any(node.id == n for node in topology.nodes))
    strange = [n for n in witness.nodes if n not in there]
    if strange:
        exist = "which does not exist" if len(strange) == 1 else "which do not exist"
        notes.append(f"GPU {address}: {witness.source} says {node_text(strange)}, {exist}: not taken")
    return Witness(witness.source, there)


def _in_order(witnesses: Iterable[Witness]) -> tuple[Witness, ...]:
    return tuple(sorted(witnesses, key=lambda witness: _ORDER.index(witness.source)))
