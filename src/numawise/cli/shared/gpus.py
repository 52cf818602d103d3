"""From options that name GPUs to a Plan: reads what only GPUs need, on this machine or on one in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from numawise.cli.shared.selection import request_from
from numawise.machine.gpus.reader import read_gpus
from numawise.machine.gpus.values import Gpu
from numawise.machine.root import Root, open_root
from numawise.machine.saved import looks_like_json
from numawise.machine.topology import Topology
from numawise.placement.plan import plan
from numawise.placement.values import Plan


def plan_with_gpus(
    values: Mapping[str, Sequence[str]], topology: Topology, root: str, *, advise: bool
) -> Plan:
    """See `resolve`. On the running machine, visibility variables in our environment restrict and renumber."""
    tree = None if looks_like_json(root) else open_root(root)
    if tree is not None and not topology.devices:
        topology = _with_gpus(topology, tree)
    gpus = read_gpus(topology, tree, os.environ if tree is not None and tree.live else {})
    request = request_from(values, topology, gpus)
    made = plan(topology, request)
    notes = [*made.notes, *gpus.notes]
    if advise and request.gpus is not None:
        notes += _network(request.gpus, topology, tree)
    return msgspec.structs.replace(made, notes=tuple(dict.fromkeys(notes)))


def _with_gpus(topology: Topology, tree: Root) -> Topology:
    """The topology with what may be a GPU: `run` reads it without devices, most of which it has no use for."""
    from numawise.machine.devices import read_devices

    one_for_all = [node.id for node in topology.nodes] == [0]
    devices, notes = read_devices(
        tree, topology.nodes, one_for_all=one_for_all, kinds=("gpu", "accelerator", "display")
    )
    return msgspec.structs.replace(topology, devices=devices, notes=(*topology.notes, *notes))


def _network(gpus: Iterable[Gpu], topology: Topology, tree: Root | None) -> list[str]:
    """The network cards nearest to the GPUs, and what NCCL and RCCL would have to be told to use them."""
    from numawise.machine.gpus.nics import Near, adapters, nearest

    served: dict[Near, list[str]] = {}
    for gpu in {gpu.address: gpu for gpu in gpus}.values():
        near = nearest(gpu, topology, tree)
        if near is not None:
            served.setdefault(near, []).append(gpu.address)
    notes = []
    for near, addresses in served.items():
        names = adapters(near, tree)
        setting = f"NCCL_IB_HCA={','.join(names)}" if names else "NCCL_IB_HCA or NCCL_SOCKET_IFNAME"
        cards = ", ".join(nic.address for nic in near.nics)
        notes.append(
            f"nearest to GPU {', '.join(addresses)}: network card {cards} ({near.how}); "
            f"{setting} tells NCCL and RCCL"
        )
    return notes
