"""The pieces of a machine that processes with GPUs are put on."""

from __future__ import annotations

from collections.abc import Sequence

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.reader import read_gpus
from numawise.machine.gpus.values import Gpu
from numawise.machine.gpus.vendors import variables
from numawise.machine.topology import Topology
from numawise.placement.gpu import Seat, seats, visible
from numawise.placement.request import Request
from numawise.placement.units import Unit, units_of


def gpu_units(topology: Topology, request: Request, cpus: CPUSet) -> tuple[tuple[Unit, ...], list[str]]:
    """One piece for each GPU with `per="gpu"`, else one next to all that were asked for, and what there is to say.

    With another `per`, or several workers, the piece next to the GPUs is cut further; all processes use all its GPUs.
    """
    gpus, present, notes = request.gpus, request.gpus_present, list[str]()
    if gpus is None:
        found = read_gpus(topology)
        gpus, present, notes = visible(found), found.present, list(found.notes)
    places, more = seats(topology, gpus, present or gpus, cpus, request.gpu_mode)
    notes += more
    notes += _without_variable(gpus)
    if request.per == "gpu":
        units = [_unit(topology, [gpu], [places[gpu.address]]) for gpu in gpus]
        if request.workers is not None and _overlap(units):
            raise UsageError(
                "--per gpu starts one process a GPU; with --workers it needs CPUs of each GPU's own to share out: "
                "add --gpu-mode exclusive"
            )
        return tuple(units), [*notes, *_crowded(units, request.threads)]
    whole = _unit(topology, gpus, [places[gpu.address] for gpu in gpus])
    per = request.per or ("node" if (request.workers or 1) > 1 else None)
    if per is None:
        return (whole,), notes
    pieces = units_of(topology, whole.cpus, per)
    return tuple(
        unit._replace(gpus=whole.gpus, near=_nodes_of(topology, unit.cpus)) for unit in pieces
    ), notes


def _unit(topology: Topology, gpus: Sequence[Gpu], given: Sequence[Seat]) -> Unit:
    cpus = CPUSet(cpu for seat in given for cpu in seat.cpus)
    nodes = _nodes_of(topology, cpus)
    known = all(seat.nodes for seat in given)
    return Unit(cpus, nodes[0] if len(nodes) == 1 else None, tuple(gpus), nodes if known else ())


def _nodes_of(topology: Topology, cpus: CPUSet) -> tuple[int, ...]:
    return tuple(node.id for node in topology.nodes if node.cpus & cpus)


def _overlap(units: Sequence[Unit]) -> bool:
    return sum(len(unit.cpus) for unit in units) > len({cpu for unit in units for cpu in unit.cpus})


def _crowded(units: Sequence[Unit], threads: int | None) -> list[str]:
    """Processes of GPUs on one node share its CPUs: is that told more threads than there are CPUs?"""
    notes = []
    for cpus in dict.fromkeys(unit.cpus for unit in units):
        sharing = sum(unit.cpus == cpus for unit in units)
        if threads is not None and sharing * threads > len(cpus):
            notes.append(
                f"{sharing} processes x {threads} threads = {sharing * threads} share the {len(cpus)} CPUs {cpus}; "
                f"{len(cpus) // sharing} threads each would fit"
            )
    return notes


def _without_variable(gpus: Sequence[Gpu]) -> list[str]:
    unknown = [gpu.address for gpu in gpus if not variables([gpu])]
    if not unknown:
        return []
    return [
        f"no variable is known that shows {', '.join(unknown)} alone to a program: "
        "it is placed next to it, and has to choose the device itself"
    ]
