"""Which rank this process is, by the variables that its launcher set, whichever launcher that was.

- `launchers`: one file a launcher
- `Rank`, `read_rank`: who this process is among those of its launch
- `placement_of_rank`, `this_rank`: where it belongs (see `rank_places` and `rank_binding`)
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from numawise.errors import UsageError
from numawise.launch.launchers import LOOSE, Rank, modules
from numawise.launch.rank_binding import read_binding
from numawise.launch.rank_places import placement_of_rank
from numawise.machine.gpus.values import Gpus
from numawise.machine.topology import Topology
from numawise.placement.request import Request
from numawise.placement.values import Plan

__all__ = ["Rank", "placement_of_rank", "read_rank", "this_rank"]

_MOST = 1 << 14
"""Ranks of one machine: the largest there are have a few thousand CPUs."""

_HINTS = ("RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID", "WORLD_SIZE")
"""Variables that tell a rank, but not which of its machine: alone they are not enough."""


def read_rank(environ: Mapping[str, str]) -> Rank | None:
    """The rank of the process with this environment; None when no launcher's variables are there.

    Where launchers are nested (torchrun inside of a Slurm step) the innermost started this process. Raises UsageError
    for variables that contradict each other, naming them.

    >>> read_rank({"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}).local_rank
    1
    """
    innermost: Rank | None = None
    level = LOOSE
    for launcher in modules():
        found: Rank | None = launcher.read(environ)
        if found is None:
            continue
        _check(found)
        if innermost is None:
            innermost, level = found, launcher.LEVEL
        elif launcher.LEVEL in (level, LOOSE) and found.variables.keys() != innermost.variables.keys():
            _check_same(innermost, found)
    return innermost


def this_rank(
    topology: Topology, request: Request | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Rank, Plan]:
    """The rank of the calling process and its placement: reads the environment, the GPUs it leaves, and what was bound.

    Args:
        topology: this machine; its devices are read here where it was read without.
        request: see `placement_of_rank`.
        environ: what the program is going to have; None: what we have.

    Raises UsageError when no launcher is there, and as `read_rank` and `placement_of_rank` do.
    """
    environ = os.environ if environ is None else environ
    rank = read_rank(environ)
    if rank is None:
        seen = " ".join(f"{name}={environ[name]}" for name in _HINTS if name in environ)
        raise UsageError(
            "no launcher has started this process: "
            + (f"{seen} do not tell its number on this machine" if seen else "none of its variables are here")
            + ", such as LOCAL_RANK (torchrun), SLURM_LOCALID (srun) or OMPI_COMM_WORLD_LOCAL_RANK (mpirun); "
            "without a launcher use --per gpu, --per node or --workers N"
        )
    topology, gpus = _with_gpus(topology, environ)
    binding = read_binding(rank, environ)
    return rank, placement_of_rank(
        topology, rank, request=request, gpus=gpus, binding=binding, environ=environ
    )


def _with_gpus(topology: Topology, environ: Mapping[str, str]) -> tuple[Topology, Gpus | None]:
    """The topology with its GPUs, and which of them a program sees; None where there are none."""
    from numawise.machine.root import LiveRoot

    root = LiveRoot()
    if not topology.devices:
        from numawise.machine.devices import read_devices

        one_for_all = [node.id for node in topology.nodes] == [0]
        devices, notes = read_devices(
            root, topology.nodes, one_for_all=one_for_all, kinds=("gpu", "accelerator")
        )
        topology = msgspec.structs.replace(topology, devices=devices, notes=(*topology.notes, *notes))
    if not any(device.kind in ("gpu", "accelerator") for device in topology.devices):
        return topology, None
    from numawise.machine.gpus.reader import read_gpus

    return topology, read_gpus(topology, root, environ)


def _check(rank: Rank) -> None:
    """Raise UsageError when a rank is none of those that there are."""
    for number, of, what in (
        (rank.local_rank, rank.local_world, "ranks on this machine"),
        (rank.rank, rank.world, "ranks"),
    ):
        if number is not None and of is not None and number >= of:
            raise UsageError(f"{_said(rank)} contradict: rank {number} of {of} {what}, which count from 0")
    if rank.local_world is not None and rank.local_world > _MOST:
        raise UsageError(f"{_said(rank)}: {rank.local_world} ranks on one machine are more than can be")
    if rank.local_world is not None and rank.world is not None and rank.local_world > rank.world:
        raise UsageError(f"{_said(rank)} contradict: {rank.local_world} ranks here, {rank.world} in all")


def _check_same(first: Rank, second: Rank) -> None:
    """Raise UsageError when two launchers, neither started by the other, do not say the same."""
    differ = [
        (mine, its)
        for mine, its in (
            (first.local_rank, second.local_rank),
            (first.local_world, second.local_world),
            (first.rank, second.rank),
        )
        if mine is not None and its is not None and mine != its
    ]
    if differ:
        raise UsageError(
            f"{first.launcher} ({_said(first)}) and {second.launcher} ({_said(second)}) contradict each other; "
            "unset the variables of the one that did not start this process"
        )


def _said(rank: Rank) -> str:
    return " ".join(f"{name}={value}" for name, value in rank.variables.items())
