"""Workers of a PyTorch DataLoader: each at its part of the cores near the data's user, out of the main process's way.

A worker runs this right after it was started, by fork or spawn, so it imports nothing heavy. Nothing here needs torch:
`data_loader_options` shares the cores out in the main process, and `worker_init_fn` asks the torch that is loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import msgspec

from numawise.errors import UsageError
from numawise.linux import procfs
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.machine.topology import Allowed, Topology
from numawise.placement.plan import plan
from numawise.placement.request import GpuMode, Per, Request, parse_nodes
from numawise.placement.units import cores_of
from numawise.placement.values import MemoryPolicy, Placement


class Workers(msgspec.Struct, frozen=True):
    """The place of each worker, by number; called in a worker, it goes there. Can be pickled, as spawn needs it."""

    placements: tuple[Placement, ...]
    """More workers than cores: they take turns."""
    main: CPUSet
    """The CPUs that are left for the main process: those it is bound to, or a share of its own."""
    notes: tuple[str, ...] = ()
    then: Callable[[int], Any] | None = None
    """The program's own worker_init_fn, called after."""

    def __call__(self, worker_id: int) -> None:
        """Bind the calling worker, then do what the program's own worker_init_fn does."""
        self.bind(worker_id)
        if self.then is not None:
            self.then(worker_id)

    def bind(self, worker_id: int) -> None:
        """Bind the calling worker: all its threads, and its memory. A step down the ladder is warned of."""
        from numawise.launch.inside.place import as_started, place

        placement = self.placements[worker_id % len(self.placements)]
        with as_started():
            # What a forked worker has touched is its parent's as well, and stays.
            bound = place(f"worker={worker_id}", placement, read("/", devices=False), move=False)
        for step in bound.steps:
            warnings.warn(f"data loader worker {worker_id}: {step}", RuntimeWarning, stacklevel=3)


def data_loader_options(
    num_workers: int,
    *,
    gpu: Any = None,
    node: int | str | None = None,
    gpu_mode: GpuMode = "node",
    bind_main: bool = False,
    worker_init_fn: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """`num_workers` and `worker_init_fn` for a DataLoader whose workers are near a GPU (or on a node).

    The cores there are shared out evenly among the workers, those the main process is bound to left out. A main process
    that may run on all of them gets an even share as well: `worker_init_fn.main` of the answer says which CPUs.

    Args:
        num_workers: how many there are to be; 0 gives options without a worker_init_fn.
        gpu: the GPU that the data is for, as for `bind_to_gpu`.
        node: instead, the node or nodes; neither: the CPUs that this process may use.
        gpu_mode: as `mode` of `bind_to_gpu`.
        bind_main: bind the main process to its share now (`bind(cpus=...)`), or else it may get in the workers' way.
        worker_init_fn: the program's own, called in each worker after that.

    Raises as `bind` does.

    >>> options = data_loader_options(2)
    >>> options["num_workers"], len(options["worker_init_fn"].placements) in (1, 2)
    (2, True)
    """
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise UsageError(f"num_workers={num_workers!r}: a whole number from 0 is meant")
    if gpu is not None and node is not None:
        raise UsageError("near a GPU or on a node: give gpu= or node=, not both")
    if num_workers == 0:
        return {"num_workers": 0}
    topology, pool, memory, notes = _pool(gpu, node, gpu_mode)
    shared = share_out(topology, pool, _cpus_of(os.getpid()), num_workers, memory)
    if bind_main:
        from numawise.launch.inside.bind import bind

        bind(cpus=shared.main)
    made = msgspec.structs.replace(shared, notes=(*notes, *shared.notes), then=worker_init_fn)
    return {"num_workers": num_workers, "worker_init_fn": made}


def worker_init_fn(worker_id: int) -> None:
    """For `DataLoader(worker_init_fn=...)`: each worker gets an even part of the cores that the main process may use.

    Such as a node's, after `bind(node=0)`. The main process is left a part of its own, but not bound to it; see
    `data_loader_options`, which also knows GPUs. The CPUs are those of all the threads of the main process together:
    its main thread alone may have been bound to one CPU by an OpenMP runtime, which every worker would inherit.

    Raises UsageError outside of a DataLoader's worker.
    """
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    parent = multiprocessing.parent_process()
    if info is None or parent is None or parent.pid is None:
        raise UsageError(
            "worker_init_fn is for the workers of a torch DataLoader: DataLoader(worker_init_fn=...)"
        )
    cpus = _cpus_of(parent.pid)
    _widen(cpus)
    topology = read("/", devices=False)
    usable = CPUSet(cpus & topology.allowed.cpus) or topology.allowed.cpus
    share_out(topology, usable, usable, info.num_workers, None).bind(worker_id)


def share_out(
    topology: Topology, pool: CPUSet, main: CPUSet, workers: int, memory: MemoryPolicy | None
) -> Workers:
    """Even parts of the cores of `pool` for `workers`, out of the way of a main process that is on CPUs `main`.

    `memory`: their policy; None: that of the nodes each is on.
    """
    # Whose these CPUs are has been settled; the affinity of the thread that asks may be narrower.
    topology = msgspec.structs.replace(topology, allowed=Allowed(pool, topology.allowed.nodes))
    cores = cores_of(topology, pool)
    free = CPUSet(pool - main)
    notes: list[str] = []
    if not free and len(cores) > 1:
        kept = max(1, len(cores) // (workers + 1))
        main = CPUSet(cpu for core in cores[:kept] for cpu in core)
        free = CPUSet(pool - main)
        notes.append(
            f"the main process may run on all of CPUs {pool}: {main} are left for it, and bind(cpus='{main}') keeps it "
            "off the workers'"
        )
    elif not free:
        free = pool
        notes.append(f"the workers share CPU {pool} with the main process: there is no other core")
    places = min(workers, len(cores_of(topology, free)))
    if places < workers:
        notes.append(f"{workers} workers share {places} core{'s' if places > 1 else ''} (CPUs {free})")
    # One worker takes one node as well, as several would, unless memory says otherwise.
    per: Per | None = "node" if memory is None else None
    made = plan(topology, Request(cpus=free, workers=places, memory=memory, per=per))
    # A worker computes with one thread unless it says otherwise, and torch sees to that.
    placements = tuple(msgspec.structs.replace(p, threads=None, env={}) for p in made.placements)
    return Workers(placements, main, tuple(notes))


def _pool(
    gpu: Any, node: int | str | None, mode: GpuMode
) -> tuple[Topology, CPUSet, MemoryPolicy | None, tuple[str, ...]]:
    """The CPUs to share out, the memory that goes with them, and what there is to say."""
    from numawise.launch.inside.gpu import gpu_name, plan_for_gpu
    from numawise.launch.inside.place import before_binding

    topology = read("/", devices=False)
    if gpu is None and node is None:
        return topology, CPUSet(_cpus_of(os.getpid()) & topology.cpus), None, ()
    # The main process may be bound to a part of the node, or of another; its workers need not be.
    topology = before_binding(topology)
    if gpu is not None:
        topology, made = plan_for_gpu(gpu_name(gpu), topology, mode)
        placement = made.placements[0]
        return topology, placement.cpus, placement.memory, made.notes
    placement = plan(topology, Request(nodes=parse_nodes(str(node), topology))).placements[0]
    return topology, placement.cpus, None, ()


def _cpus_of(pid: int) -> CPUSet:
    """The CPUs of all the threads of a process together."""
    cpus: set[int] = set()
    for tid in procfs.thread_ids(pid):
        try:
            cpus |= os.sched_getaffinity(tid)
        except ProcessLookupError:
            continue
    return CPUSet(cpus)


def _widen(cpus: CPUSet) -> None:
    """Let this worker run wherever the main process may, which is what its share is taken from."""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:
        return  # then the share is taken from what we have
