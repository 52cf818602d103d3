"""What is to be said about a rank's place: a launcher's binding that is wrong, threads that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from numawise.launch.launchers import Rank, named
from numawise.launch.rank_binding import Binding
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu
from numawise.machine.gpus.witnesses import node_text
from numawise.machine.topology import Topology
from numawise.placement.units import cores_of
from numawise.placement.values import Placement

_PINNING = (("GOMP_CPU_AFFINITY", ""), ("KMP_AFFINITY", "proclist"), ("OMP_PLACES", "{"))
"""Variables that name CPUs, and what in their text says that they do."""
_SET_TO_ONE = ("torchrun", "accelerate", "Ray")
"""Who sets OMP_NUM_THREADS=1 for a process where it is not set (Ray: to the CPUs of a worker, one by default)."""


def bound_notes(
    topology: Topology, rank: Rank, binding: Binding, placement: Placement, gpus: Sequence[Gpu], count: int
) -> Iterator[str]:
    """What the launcher's own binding does to this rank, where it did bind."""
    if not binding.own:
        return
    unbind = f"{_unbind(rank)} leaves it to numawise"
    cpus = placement.cpus
    nodes = tuple(node.id for node in topology.nodes if node.cpus & cpus)
    everyone = len(binding.sharing) >= count > 1
    if everyone and len(cores_of(topology, topology.allowed.cpus)) >= count:
        yield (
            f"{rank.launcher} bound all {count} ranks to the same CPUs {topology.allowed.cpus} "
            f"of {binding.without}: shared out among them; {unbind}"
        )
    elif everyone:
        yield f"{rank.launcher} bound all {count} ranks to the same CPUs {cpus} of {binding.without}: {unbind}"
    else:
        yield f"{rank.launcher} has bound this rank to CPUs {cpus} ({node_text(nodes)}): kept, and memory follows"
        if len(binding.sharing) > 1:
            yield f"local ranks {','.join(map(str, binding.sharing))} have these same CPUs"
        known = len(binding.without)
        spare = len(cores_of(topology, binding.without)) * (binding.allotted or known) // known // count
        cores = len(cores_of(topology, cpus))
        if cores * 2 <= spare * len(binding.sharing or (0,)):
            yield (
                f"that is {cores} core{'s' if cores > 1 else ''} where an even share would be {spare}: "
                f"right for one thread, not for more; {unbind}"
            )
    for gpu in gpus:
        if gpu.nodes and not set(gpu.nodes) & set(nodes):
            yield f"its GPU {gpu.address} is on {node_text(gpu.nodes)}, not on {node_text(nodes)}: {unbind}"


def thread_notes(
    topology: Topology, rank: Rank, placement: Placement, environ: Mapping[str, str]
) -> Iterator[str]:
    """Inherited settings of OpenMP that go against the place."""
    given, cpus = environ.get("OMP_NUM_THREADS", ""), placement.cpus
    cores = len(cores_of(topology, cpus))
    if given.isascii() and given.isdigit() and placement.threads is None:
        threads = int(given)
        if threads > len(cpus):
            yield f"OMP_NUM_THREADS={given} is set, but CPUs {cpus} are only {len(cpus)}; --threads {cores} fits"
        elif threads == 1 and cores > 1 and rank.launcher in _SET_TO_ONE:
            yield (
                f"OMP_NUM_THREADS=1 stays as it is ({rank.launcher} sets it where nobody else does), of {cores} cores "
                f"that are this rank's; --threads {cores} uses them"
            )
    for name, mark in _PINNING:
        text = environ.get(name, "")
        if text and mark in text.lower() and name not in placement.env and not _within(name, text, cpus):
            yield f"{name}={text} in the environment names CPUs for threads, the same for every rank: unset it"


def _within(name: str, text: str, cpus: CPUSet) -> bool:
    """Does a list of CPUs lie within those of the rank?"""
    if name != "GOMP_CPU_AFFINITY":
        return False
    ends = [end for piece in text.replace(",", " ").split() for end in piece.partition(":")[0].split("-")]
    return all(end.isascii() and end.isdigit() and int(end) in cpus for end in ends)


def _unbind(rank: Rank) -> str:
    return str(getattr(named(rank.launcher), "UNBIND", "no binding by the launcher"))
