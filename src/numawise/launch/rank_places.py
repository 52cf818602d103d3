"""Where a rank belongs: beside its GPU, at its part of the cores, or where its launcher has already bound it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from numawise.errors import UsageError
from numawise.launch.launchers import Rank, named
from numawise.launch.rank_binding import Binding
from numawise.launch.rank_gpus import Cards, beside, cards_of, order_variables
from numawise.launch.rank_words import bound_notes, thread_notes
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu, Gpus
from numawise.machine.topology import Topology
from numawise.placement.fill import fill
from numawise.placement.fit import check_size
from numawise.placement.plan import plan
from numawise.placement.request import Request
from numawise.placement.units import Unit, cores_of, share_out, split_cores, units_of
from numawise.placement.values import MemoryPolicy, Placement, Plan

_LAST_PORT = 65535
_NOT_THOSE = (("gpus", "--gpu"), ("per", "--per"), ("workers", "--workers"), ("told_workers", "{workers}"))


class _Shares(NamedTuple):
    """The CPUs of every local rank, in order, or of this one alone; and whose they are."""

    cpus: Sequence[CPUSet]
    mine: CPUSet
    together: int
    """How many ranks run on the CPUs `mine`."""
    notes: Sequence[str] = ()


def placement_of_rank(
    topology: Topology,
    rank: Rank,
    *,
    request: Request | None = None,
    gpus: Gpus | None = None,
    binding: Binding | None = None,
    environ: Mapping[str, str] | None = None,
) -> Plan:
    """The one placement of this rank, CPUs and memory, such that the ranks of this machine do not meet.

    Every local rank comes to the same shares by itself, as long as all are asked with the same options.

    Args:
        topology: the machine, as this process may use it.
        rank: which of the launch's processes this is.
        request: what was asked for beside: CPUs and nodes to stay within, threads, memory policy, environment.
        gpus: the GPUs that the program is going to see, in its order; None: there are none.
        binding: what the launcher has bound already; None: nothing.
        environ: what the program inherits: OMP_NUM_THREADS and the like that are set there stay.

    Raises UsageError for options that go against a launcher, and as `placement.plan` does.
    """
    request, binding, environ = request or Request(), binding or Binding(), environ or {}
    for name, option in _NOT_THOSE:
        if getattr(request, name) is not None:
            raise UsageError(
                f"{option} goes against --per rank: {rank.launcher} has started the processes already"
            )
    cards = cards_of(topology, rank, gpus, binding, environ)
    count, notes = _local_world(topology, rank, cards)
    pool = _pool(topology, request)
    shares = _shares(topology, rank, request, binding, cards, count, pool)
    threads = _threads(topology, rank, request, shares, environ, binding)
    mine = _placed(topology, request, shares.mine, threads)
    if request.size_kib is not None:
        together = [_placed(topology, request, cpus, None) for cpus in shares.cpus]
        check_size(together, request.size_kib, topology)
    mine = _dressed(mine, rank, count, cards.mine, request, order_variables(cards, environ))
    alone = tuple(topology.notes) if rank.local_rank == 0 else ()
    notes = [
        _summary(rank, count, mine),
        *notes,
        *cards.notes,
        *shares.notes,
        *bound_notes(topology, rank, binding, mine, cards.mine, count),
        *thread_notes(topology, rank, mine, environ),
    ]
    return Plan((mine,), tuple(dict.fromkeys((*notes, *alone))))


def _local_world(topology: Topology, rank: Rank, cards: Cards) -> tuple[int, list[str]]:
    """How many ranks are on this machine, told or assumed."""
    if rank.local_world is not None:
        return rank.local_world, []
    if rank.world == 1:
        return 1, []
    assumed = len(cards.visible) or sum(bool(node.cpus & topology.allowed.cpus) for node in topology.nodes)
    if rank.world is not None:
        assumed = min(assumed, rank.world)
    assumed = max(assumed, rank.local_rank + 1)
    what = "one for each GPU" if cards.visible else "one for each node"
    return assumed, [
        f"{rank.launcher} does not tell how many ranks are on this machine: {assumed} assumed ({what}, and no fewer "
        "than this one's number asks for); LOCAL_WORLD_SIZE=N or its like tells"
    ]


def _pool(topology: Topology, request: Request) -> CPUSet:
    """The CPUs that all local ranks share out."""
    wish = msgspec.structs.replace(request, threads=None, memory=None, size_kib=None, env={}, port=None)
    return plan(topology, wish).placements[0].cpus


def _shares(
    topology: Topology,
    rank: Rank,
    request: Request,
    binding: Binding,
    cards: Cards,
    count: int,
    pool: CPUSet,
) -> _Shares:
    if binding.own:
        # The same CPUs for every rank are an allotment to share out, not a place for each.
        everyone = len(binding.sharing) >= count > 1
        if not everyone or len(cores_of(topology, pool)) < count:
            return _Shares((pool,), pool, len(binding.sharing) or 1)
    if cards.mine:
        cpus, together, notes = beside(topology, rank, cards, count, pool, request.gpu_mode)
        return _Shares(cpus, cpus[rank.local_rank] if len(cpus) > 1 else cpus[0], together, notes)
    cpus = _spread(topology, pool, count, request.threads or 1)
    mine = cpus[rank.local_rank]
    together = sum(1 for other in cpus if other == mine)
    crowded = f"{count} ranks for {len(pool)} CPU{'s' if len(pool) > 1 else ''}: {together} of them share CPU {mine}"
    return _Shares(cpus, mine, together, [crowded] if together > 1 else [])


def _spread(topology: Topology, pool: CPUSet, count: int, threads: int) -> list[CPUSet]:
    """Even parts of the nodes' cores for `count` ranks; fewer ranks than nodes get neighbouring nodes each."""
    units: Sequence[Unit] = units_of(topology, pool, "node")
    if count < len(units):
        socket = {cpu: s.id for s in topology.sockets for cpu in s.cpus}
        units = sorted(units, key=lambda unit: (socket.get(min(unit.cpus), 0), min(unit.cpus)))
        return [
            CPUSet(
                c
                for unit in units[i * len(units) // count : (i + 1) * len(units) // count]
                for c in unit.cpus
            )
            for i in range(count)
        ]
    # More ranks than CPUs: as many places as there are CPUs, each for several ranks.
    places = min(count, len(pool) // threads)
    if places < count and threads > 1:
        raise UsageError(
            f"{count} ranks x {threads} threads = {count * threads}, but only {len(pool)} CPUs are to be had; "
            f"possible: --threads {max(1, len(pool) // count)}"
        )
    if places < count or sum(len(unit.cpus) // threads for unit in units) < places:
        threads = 1
    found: list[CPUSet] = []
    for unit, several in zip(units, share_out(places, units, threads), strict=True):
        if several:
            found += split_cores(cores_of(topology, unit.cpus), several, threads)
    return [found[i * places // count] for i in range(count)]


def _threads(
    topology: Topology,
    rank: Rank,
    request: Request,
    shares: _Shares,
    environ: Mapping[str, str],
    binding: Binding,
) -> int | None:
    if request.threads is not None:
        if binding.own and request.threads > len(shares.mine):
            unbind = getattr(named(rank.launcher), "UNBIND", "the launcher without binding")
            raise UsageError(
                f"--threads {request.threads}, but {rank.launcher} has bound this rank to CPUs {shares.mine}, "
                f"which are {len(shares.mine)}; use {unbind}, or let it bind wider"
            )
        return request.threads
    if environ.get("OMP_NUM_THREADS"):
        return None
    return max(1, len(cores_of(topology, shares.mine)) // shares.together)


def _placed(topology: Topology, request: Request, cpus: CPUSet, threads: int | None) -> Placement:
    """CPUs, memory to match, and what else the request says of every process."""
    nodes = [node.id for node in topology.nodes if node.cpus & cpus]
    memory = request.memory
    if memory is None and len(nodes) != 1:
        memory = _memory_of(topology, nodes)
    wish = msgspec.structs.replace(
        request,
        nodes=None,
        cpu_nodes=None,
        cpus=cpus,
        per="node" if memory is None else None,
        memory=memory,
        gpu_mode="node",
        threads=threads,
        size_kib=None,
        env={},
        port=None,
    )
    return plan(topology, wish).placements[0]


def _memory_of(topology: Topology, nodes: Sequence[int]) -> MemoryPolicy:
    """Memory of several nodes: theirs, or as it is when that is all there is."""
    usable = {
        n.id for n in topology.nodes if n.memory_kib and n.kind != "gpu" and n.id in topology.allowed.nodes
    }
    near = tuple(node for node in nodes if node in usable)
    everywhere = all(node.id in nodes for node in topology.nodes if node.cpus)
    return MemoryPolicy("bind", near) if near and not everywhere else MemoryPolicy()


def _dressed(
    placement: Placement,
    rank: Rank,
    count: int,
    gpus: Sequence[Gpu],
    request: Request,
    order: Mapping[str, str],
) -> Placement:
    """The placement with the rank's own numbers, GPU and environment."""
    number = rank.local_rank if rank.rank is None else rank.rank
    if request.port is not None and request.port + number > _LAST_PORT:
        raise UsageError(f"--port {request.port} leaves no port for rank {number}")
    placement = msgspec.structs.replace(
        placement,
        rank=number,
        ranks=rank.world or count,
        workers=rank.world or count,
        devices=tuple(dict.fromkeys(gpu.address for gpu in gpus)),
    )
    wished = {name: fill(text, placement, request.port) for name, text in request.env.items()}
    return msgspec.structs.replace(placement, env={**placement.env, **order, **wished})


def _summary(rank: Rank, count: int, placement: Placement) -> str:
    gpu = f" beside GPU {', '.join(placement.devices)}" if placement.devices else ""
    policy = placement.memory
    memory = policy.mode + (f" {','.join(map(str, policy.nodes))}" if policy.nodes else "")
    return f"local rank {rank.local_rank} of {count} by {rank.launcher}:{gpu} CPUs {placement.cpus}, memory {memory}"
