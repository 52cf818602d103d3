"""From a wish and a machine to placements: pure, so any machine in a file can be planned for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from numawise.errors import NotPermittedError, UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Topology
from numawise.placement.fill import fill
from numawise.placement.fit import check_cpus, check_nodes, check_size
from numawise.placement.quota import most_threads, quota_notes
from numawise.placement.request import Request
from numawise.placement.units import Unit, cores_of, share_out, split_cores, units_of
from numawise.placement.values import MemoryPolicy, Placement, Plan

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Set to the number of threads. All three: a library's own variable wins over OMP_NUM_THREADS where it is set."""


def plan(topology: Topology, request: Request) -> Plan:
    """Place the processes of one launch on `topology`.

    Raises UsageError for what cannot be meant (an unknown node, more threads than CPUs, memory that does not fit) and
    NotPermittedError for what this process may not use; the message says what would be possible.

    >>> from numawise.machine.topology import Allowed, Node
    >>> machine = Topology(
    ...     cpus=CPUSet.parse("0-3"), cores=4, distances=None,
    ...     nodes=(Node(0, CPUSet.parse("0-1"), 1024, "dram"), Node(1, CPUSet.parse("2-3"), 1024, "dram")),
    ...     allowed=Allowed(CPUSet.parse("0-3"), (0, 1)),
    ...     smt_siblings=tuple(CPUSet([c]) for c in range(4)),
    ... )
    >>> placement = plan(machine, Request(nodes=(1,))).placements[0]
    >>> placement.cpus, placement.memory
    (CPUSet('2-3'), MemoryPolicy(mode='bind', nodes=(1,)))
    """
    _check_counts(request)
    cpus = _selected_cpus(topology, request)
    units, notes = _units(topology, request, cpus)
    shares = _shares(topology, units, request)
    placements = tuple(
        _placement(topology, request, rank, cpus, unit, shares) for rank, (unit, cpus) in enumerate(shares)
    )
    if request.size_kib is not None:
        check_size(placements, request.size_kib, topology)
    made = Plan(placements, notes=(*_notes(topology, request), *notes))
    more = quota_notes(topology, request, made)
    return msgspec.structs.replace(made, notes=(*made.notes, *more)) if more else made


def _check_counts(request: Request) -> None:
    counts = (("workers", request.workers), ("threads", request.threads), ("workers", request.told_workers))
    for name, value in counts:
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be at least 1, not {value}")


def _selected_cpus(topology: Topology, request: Request) -> CPUSet:
    """The CPUs all processes share out: named CPUs, or those of named nodes, or all that are allowed."""
    nodes = request.nodes if request.nodes is not None else request.cpu_nodes
    if request.cpus is not None:
        if not request.cpus:
            raise UsageError("an empty list of CPUs; name one, such as 0-3")
        check_cpus(request.cpus, topology)
        cpus = request.cpus
    else:
        cpus = topology.allowed.cpus
    if nodes is not None:
        check_nodes(nodes, topology, cpus=True, memory=request.nodes is not None and request.memory is None)
        cpus = CPUSet(cpus & CPUSet(c for n in nodes for c in topology.node(n).cpus))
        if not cpus:
            raise UsageError(f"none of the CPUs {request.cpus} belongs to node {','.join(map(str, nodes))}")
    if not cpus:
        raise NotPermittedError(
            "no CPU is allowed here: the caller's affinity and cpuset have none in common"
        )
    if not request.smt:
        cpus = CPUSet(core[0] for core in cores_of(topology, cpus))
    return cpus


def _units(topology: Topology, request: Request, cpus: CPUSet) -> tuple[Sequence[Unit], Sequence[str]]:
    if request.gpus is not None or request.per == "gpu":
        from numawise.placement.gpu_units import gpu_units  # what only GPUs need costs the others nothing

        return gpu_units(topology, request, cpus)
    return units_of(topology, cpus, request.per) if request.per else _whole(topology, cpus, request), ()


def _whole(topology: Topology, cpus: CPUSet, request: Request) -> tuple[Unit, ...]:
    """Without --per: one process gets everything, several are spread over nodes so that none straddles two."""
    if (request.workers or 1) > 1:
        return units_of(topology, cpus, "node")
    nodes = [n.id for n in topology.nodes if n.cpus & cpus]
    return (Unit(cpus, nodes[0] if len(nodes) == 1 else None),)


def _shares(topology: Topology, units: Sequence[Unit], request: Request) -> list[tuple[Unit, CPUSet]]:
    threads = (request.threads or 1) * (request.told_workers or 1)
    if request.workers is None:
        _check_each(units, threads, request)
        return [(unit, unit.cpus) for unit in units]
    workers = request.workers
    _check_room(units, workers, threads, request)
    shares: list[tuple[Unit, CPUSet]] = []
    for unit, count in zip(units, share_out(workers, units, threads), strict=True):
        if count == 1:
            shares.append((unit, unit.cpus))
        elif count:
            shares += [(unit, cpus) for cpus in split_cores(cores_of(topology, unit.cpus), count, threads)]
    return shares


def _check_each(units: Sequence[Unit], threads: int, request: Request) -> None:
    """One process a unit, whatever the units' sizes: each must hold the threads by itself."""
    tight = min(units, key=lambda unit: len(unit.cpus))
    if len(tight.cpus) >= threads:
        return
    if len({len(unit.cpus) for unit in units}) == 1 and not tight.gpus:  # those of GPUs may overlap
        _check_room(units, len(units), threads, request)
    room = sum(len(unit.cpus) // threads for unit in units)
    elsewhere = f", or --workers {room} where there is room" if room and not tight.gpus else ""
    raise UsageError(
        f"{threads} threads each, but CPUs {tight.cpus} are only {len(tight.cpus)}; "
        f"possible: {len(tight.cpus)} threads each{elsewhere}"
    )


def _check_room(units: Sequence[Unit], workers: int, threads: int, request: Request) -> None:
    room = sum(len(unit.cpus) // threads for unit in units)
    if workers <= room:
        return
    total = sum(len(unit.cpus) for unit in units)
    pieces = f" in {len(units)} pieces that no worker may straddle" if len(units) > 1 else ""
    largest = max(len(unit.cpus) for unit in units)
    fits = [f"{room} worker{'s' if room > 1 else ''} x {threads}"] if room else []
    fewer = range(min(threads, largest), 0, -1)
    most = next((t for t in fewer if sum(len(u.cpus) // t for u in units) >= workers), None)
    fits += [f"{workers} x {most}"] if most else []
    if not fits:
        fits = [f"{sum(len(u.cpus) // largest for u in units)} x {largest}", f"{total} x 1"]
        fits = list(dict.fromkeys(fits))
    raise UsageError(
        f"{workers} worker{'s' if workers > 1 else ''} x {threads} thread{'s' if threads > 1 else ''} = "
        f"{workers * threads}, but only {total} CPUs are to be had"
        f"{' without SMT siblings' if not request.smt else ''}{pieces}; possible: {', or '.join(fits)}"
    )


def _placement(
    topology: Topology,
    request: Request,
    rank: int,
    cpus: CPUSet,
    unit: Unit,
    shares: Sequence[tuple[Unit, CPUSet]],
) -> Placement:
    workers = len(shares)
    spread = request.per is not None or (request.workers or 1) > 1
    threads = request.threads
    if threads is None and workers > 1:
        # Processes next to GPUs of one node may have the same CPUs: then each is told its part of the cores.
        sharing = sum(bool(other & cpus) for _, other in shares)
        threads = max(1, len(cores_of(topology, cpus)) // sharing)
    if request.threads is None:
        most = most_threads(topology, request, workers, threads or len(cpus))
        threads = threads if most is None else most
    env = {name: str(threads) for name in THREAD_VARIABLES} if threads is not None else {}
    if unit.gpus:
        from numawise.machine.gpus.vendors import variables

        env.update(variables(unit.gpus))
    if request.thp == "madvise":
        # glibc 2.35+: malloc asks for huge pages itself, which is what "madvise" machines wait for.
        env["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    placement = Placement(
        rank=rank,
        cpus=cpus,
        memory=_memory(topology, request, unit, cpus, spread=spread),
        devices=tuple(dict.fromkeys(gpu.address for gpu in unit.gpus)),
        threads=threads,
        workers=request.told_workers or workers,
        ranks=workers,
        env=env,
        node=unit.node,
        thp=request.thp,
    )
    wished = {name: fill(text, placement, request.port) for name, text in request.env.items()}
    return msgspec.structs.replace(placement, env={**env, **wished}) if wished else placement


def _memory(topology: Topology, request: Request, unit: Unit, cpus: CPUSet, *, spread: bool) -> MemoryPolicy:
    near = tuple(n.id for n in topology.nodes if n.cpus & cpus and n.memory_kib)
    wish = request.memory
    if wish is None:
        if unit.gpus:
            return _bind_nodes(topology, unit.near)
        if request.nodes is not None and not spread:
            return MemoryPolicy("bind", request.nodes)
        if spread and unit.node is not None:
            return _bind_near(topology, unit.node)
        return MemoryPolicy()
    if wish.mode in ("default", "local"):
        return wish
    if wish.mode == "weighted-interleave" and not topology.weighted_interleave:
        raise NotPermittedError(
            "weighted-interleave needs Linux 6.9 or later; this kernel has none: use interleave instead"
        )
    nodes, usable = wish.nodes, _usable(topology)
    if not nodes and wish.mode in ("interleave", "weighted-interleave"):
        nodes = request.nodes or usable
    nodes = nodes or near or usable
    if not nodes:
        raise UsageError(
            f"--mem {wish.mode}: no node is known to have memory that may be used; name one, or use --mem local"
        )
    if wish.mode == "preferred":
        nodes = nodes[:1] if not wish.nodes else nodes
        if len(nodes) != 1:
            raise UsageError(f"preferred takes one node, not {len(nodes)}; use preferred-many for several")
    check_nodes(nodes, topology, cpus=False, memory=True)
    return MemoryPolicy(wish.mode, tuple(sorted(set(nodes))))


def _usable(topology: Topology) -> tuple[int, ...]:
    """The nodes whose memory is taken where none is named: never a GPU's."""
    return tuple(
        n.id for n in topology.nodes if n.memory_kib and n.id in topology.allowed.nodes and n.kind != "gpu"
    )


def _bind_nodes(topology: Topology, nodes: Sequence[int]) -> MemoryPolicy:
    """Bind to those of the nodes whose memory may be used, never a GPU's; without any node, leave it as it is."""
    usable = tuple(node for node in nodes if node in _usable(topology))
    if usable:
        return MemoryPolicy("bind", usable)
    return _bind_near(topology, nodes[0]) if nodes else MemoryPolicy()


def _bind_near(topology: Topology, node_id: int) -> MemoryPolicy:
    """Bind to the process's own node, or prefer the nearest memory where the node has none it may use."""
    if node_id in _usable(topology):
        return MemoryPolicy("bind", (node_id,))
    row = (topology.distances or {}).get(node_id, {})
    usable = _usable(topology)
    return (
        MemoryPolicy("preferred", (min(usable, key=lambda n: (row.get(n, 255), n)),))
        if usable
        else MemoryPolicy()
    )


def _notes(topology: Topology, request: Request) -> list[str]:
    notes = list(topology.notes)
    if len(topology.nodes) == 1 and (request.nodes or request.memory or request.per == "node"):
        notes.append("this machine has one node: memory placement changes nothing here")
    return notes
