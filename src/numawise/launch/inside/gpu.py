"""`bind_to_gpu`: put the process that calls it next to a GPU."""

from __future__ import annotations

import os
import sys
from typing import Any, get_args

import msgspec

from numawise.errors import UsageError
from numawise.launch.inside.place import as_started, place, tell
from numawise.launch.inside.values import Bound
from numawise.machine import read
from numawise.machine.devices import read_devices
from numawise.machine.gpus.reader import read_gpus
from numawise.machine.root import LiveRoot
from numawise.machine.topology import Topology
from numawise.placement.gpu import choose
from numawise.placement.plan import plan
from numawise.placement.request import GpuMode, Request
from numawise.placement.values import Plan


def bind_to_gpu(gpu: Any = 0, *, mode: GpuMode = "node", strict: bool = False, move: bool = True) -> Bound:
    """Put this process on the CPUs and the memory of a GPU's node.

    Visibility (CUDA_VISIBLE_DEVICES and its kin) is left alone: the program's GPUs keep their numbers.

    Args:
        gpu: as `--gpu`: index among those this program sees, UUID, MIG id, PCI address; or a device of torch.
        mode: which CPUs go with it: `node`, `socket`, `exclusive`, `l3` (as `--gpu-mode`).
        strict: as for `bind`.
        move: as for `bind`.

    Raises as `bind` does; UsageError also where there is no such GPU.
    """
    name = gpu_name(gpu)
    with as_started():
        topology = read("/", devices=False)
        topology, made = plan_for_gpu(name, topology, mode)
        bound = place(f"gpu={name}", made.placements[0], topology, strict=strict, move=move, notes=made.notes)
    return tell(bound)


def plan_for_gpu(name: str, topology: Topology, mode: GpuMode = "node") -> tuple[Topology, Plan]:
    """The topology with its GPUs, and the plan for one process next to the GPU of this name."""
    if mode not in get_args(GpuMode):
        raise UsageError(f"mode={mode!r} is none of {', '.join(get_args(GpuMode))}")
    root = LiveRoot()
    one_for_all = [node.id for node in topology.nodes] == [0]
    devices, notes = read_devices(
        root, topology.nodes, one_for_all=one_for_all, kinds=("gpu", "accelerator", "display")
    )
    topology = msgspec.structs.replace(topology, devices=devices, notes=(*topology.notes, *notes))
    gpus = read_gpus(topology, root, os.environ)
    chosen = choose(name, gpus)
    made = plan(topology, Request(gpus=chosen, gpus_present=gpus.present, gpu_mode=mode))
    # The advice on variables is for programs that are being started.
    said = (note for note in (*made.notes, *gpus.notes) if not note.startswith("no variable is known"))
    return topology, msgspec.structs.replace(made, notes=tuple(dict.fromkeys(said)))


def gpu_name(gpu: Any) -> str:
    """What `--gpu` would be given for an index, a text, or a device of torch.

    >>> gpu_name(1), gpu_name("cuda:3"), gpu_name("0000:65:00.0")
    ('1', '3', '0000:65:00.0')
    """
    kind, index = getattr(gpu, "type", None), getattr(gpu, "index", None)
    if isinstance(kind, str):  # torch.device
        if kind not in ("cuda", "xpu", "npu"):
            raise UsageError(f"{gpu} is no GPU")
        return _known_to_torch(index or 0) if kind == "cuda" else str(index or 0)
    if isinstance(gpu, int) and not isinstance(gpu, bool) and gpu >= 0:
        return str(gpu)
    if not isinstance(gpu, str) or not gpu:
        raise UsageError(f"gpu={gpu!r} names no GPU; give an index, a UUID, a PCI address or a torch.device")
    if gpu.startswith("cuda:") and gpu[5:].isdigit():
        return _known_to_torch(int(gpu[5:]))
    return gpu


def _known_to_torch(index: int) -> str:
    """The UUID of CUDA's device of that index where torch uses CUDA already (asking would begin it), else the index."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return str(index)
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return str(index) if uuid is None else f"GPU-{uuid}"
