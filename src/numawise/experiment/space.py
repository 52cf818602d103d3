"""The candidates of this machine: policy x workers x threads x SMT x huge pages, cut to what fits and differs.

How a command takes its numbers decides what can be varied. `{threads}` in it (or in an --env value) is filled in, and
OMP_NUM_THREADS and its kin are set in any case. `{workers}` is told to the one process that starts its workers itself.
Only a command that mentions `{rank}` or `{node}` can do its part of the work in several processes, so only then is one
process a node a candidate: the same work done twice would be compared with the work done once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from numawise.errors import NotPermittedError, UsageError
from numawise.experiment.records import Candidate
from numawise.machine.codec import to_json
from numawise.machine.topology import Allowed, Topology
from numawise.placement.fill import mentions
from numawise.placement.plan import plan
from numawise.placement.request import Request
from numawise.placement.units import cores_of
from numawise.placement.values import HugePageMode, MemoryPolicy, Plan, PolicyMode

MOST_CANDIDATES = 64
_DEFAULT = MemoryPolicy()
POLICIES = ("default", "local", "bind", "preferred", "interleave", "weighted-interleave", "per-node")


class Space(msgspec.Struct, frozen=True):
    """What may be varied. None: everything that makes sense here; otherwise just these."""

    policies: tuple[str, ...] | None = None
    workers: tuple[int, ...] | None = None
    threads: tuple[int, ...] | None = None
    smt: tuple[bool, ...] | None = None
    thp: tuple[HugePageMode, ...] | None = None
    memory_per_worker_kib: int | None = None
    env: Mapping[str, str] = {}


class _Choice(msgspec.Struct, frozen=True):
    """One point of the space, before it is held against the machine."""

    label: str
    policy: str
    request: Request
    cost: int
    """How far from the default: when there are too many, the far ones go first."""


def enumerate_candidates(
    topology: Topology,
    command: Sequence[str],
    space: Space,
    *,
    inherited: MemoryPolicy = _DEFAULT,
    within: Allowed | None = None,
) -> tuple[Candidate, ...]:
    """All candidates worth trying, the default first, no placement twice, at most MOST_CANDIDATES.

    `inherited` is the memory policy of the caller, which the default keeps; `within` narrows what the others may use.
    Raises UsageError when nothing but the default is left by what was asked for.
    """
    default = default_candidate(topology, space)
    if within is not None:
        topology = msgspec.structs.replace(topology, allowed=within)
    found = {_key(default.plan, topology, inherited): default}
    for choice in sorted(_choices(topology, command, space), key=lambda choice: choice.cost):
        try:
            placed = plan(topology, choice.request)
        except (UsageError, NotPermittedError):
            continue  # does not fit here, or is not allowed: not a candidate
        key = _key(placed, topology, inherited)
        if key not in found and len(found) < MOST_CANDIDATES:
            first = placed.placements[0]
            found[key] = Candidate(
                name=choice.label,
                plan=placed,
                policy=choice.policy,
                workers=first.workers,
                threads=choice.request.threads,
                smt=choice.request.smt,
                thp=choice.request.thp,
            )
    if len(found) == 1 and space != Space(env=space.env, memory_per_worker_kib=space.memory_per_worker_kib):
        raise UsageError(
            "nothing to tune: what was asked for leaves no placement but the default on this machine"
        )
    return tuple(found.values())


def default_candidate(topology: Topology, space: Space) -> Candidate:
    """The program as it is run today: CPUs, policy and threads untouched.

    Environment variables that are to carry `{workers}` or `{threads}` stay unset, so that the program's own default
    holds; placeholders in the command itself get one worker and all CPUs.
    """
    texts = {name: text for name, text in space.env.items() if not mentions(text, "workers", "threads")}
    placed = plan(topology, Request(env=texts, told_workers=1))
    return Candidate(name="default", plan=placed)


def _choices(topology: Topology, command: Sequence[str], space: Space) -> Iterator[_Choice]:
    texts = [*command, *space.env.values()]
    tells_workers, tells_threads = (
        any(mentions(text, name) for text in texts) for name in ("workers", "threads")
    )
    splits = any(mentions(text, "rank", "node") for text in texts)
    smt_there = any(len(core) > 1 for core in topology.smt_siblings)
    smts = space.smt or ((True, False) if smt_there else (True,))
    thps = space.thp or _thp_modes(topology)
    for (policy, label, wish), smt, thp in itertools.product(
        _policies(topology, space, splits=splits), smts, thps
    ):
        base = msgspec.structs.replace(wish, smt=smt, thp=thp, env=dict(space.env))
        for workers, threads, step in _counts(topology, base, space, tells_workers, tells_threads):
            request = msgspec.structs.replace(base, told_workers=workers, threads=threads)
            cost = step + (not smt) + 2 * (thp != "default") + _POLICY_COST[policy]
            yield _Choice(_label(label, workers, threads, smt, thp), policy, request, cost)


_POLICY_COST = {
    "default": 0,
    "bind": 0,
    "interleave": 0,
    "per-node": 0,
    "weighted-interleave": 1,
    "local": 2,
    "preferred": 3,
}


def _policies(topology: Topology, space: Space, *, splits: bool) -> Iterator[tuple[str, str, Request]]:
    wanted = space.policies or POLICIES
    for name in wanted:
        if name not in POLICIES:
            raise UsageError(f"unknown policy {name!r} in --policies; there are {', '.join(POLICIES)}")
    memory = [
        n for n in topology.nodes if n.memory_kib and n.kind != "gpu" and n.id in topology.allowed.nodes
    ]
    for policy in wanted:
        if policy == "default":
            yield policy, policy, Request()
        elif policy == "local":
            yield policy, policy, Request(memory=MemoryPolicy("local"))
        elif policy in ("bind", "preferred"):
            for node in memory:
                near = (node.id,) if node.cpus & topology.allowed.cpus else None
                wish = MemoryPolicy("bind" if policy == "bind" else "preferred", (node.id,))
                yield policy, f"{policy}:{node.id}", Request(cpu_nodes=near, memory=wish)
        elif policy == "per-node":
            if splits:
                yield policy, policy, Request(per="node")
        else:
            nodes = tuple(n.id for n in memory if n.cpus & topology.allowed.cpus) or tuple(
                n.id for n in memory
            )
            yield policy, policy, Request(memory=MemoryPolicy(cast("PolicyMode", policy), nodes))


def _counts(
    topology: Topology, wish: Request, space: Space, tells_workers: bool, tells_threads: bool
) -> Iterator[tuple[int | None, int | None, int]]:
    """(workers, threads, cost) worth trying on the CPUs that `wish` leads to, the likeliest first."""
    try:
        smallest = min((p.cpus for p in plan(topology, wish).placements), key=len)
    except (UsageError, NotPermittedError):
        return
    cpus, cores = len(smallest), len(cores_of(topology, smallest))
    if not tells_workers:
        # "The program's own choice" is none of its choices when the command is told a number.
        own = () if tells_threads else (None,)
        threads: Iterable[int | None] = space.threads or (*own, *_steps(cpus, cores))
        for step, count in enumerate(threads):
            if count is None or count <= cpus:
                yield None, count, step
        return
    room = _worker_room(topology, wish, space)
    pairs = [
        (w, t)
        for w in space.workers or _worker_counts(cpus, cores)
        for t in space.threads or (1, 2, 4, 8, 16, cores, cpus)
        if w * t <= cpus and w <= room and (space.threads or space.workers or w * t >= cores / 2)
    ]
    # Filling the cores is the likeliest, then filling the SMT siblings.
    pairs = sorted(set(pairs), key=lambda p: (abs(p[0] * p[1] - cores), p[1]))
    for step, (workers, count) in enumerate(pairs):
        yield workers, count, step


def _steps(cpus: int, cores: int) -> list[int]:
    """Thread counts: the cores, the CPUs, half and a quarter of the cores, one.

    >>> _steps(32, 16)
    [16, 32, 8, 4, 1]
    """
    return list(dict.fromkeys(n for n in (cores, cpus, cores // 2, cores // 4, 1) if n >= 1))


def _worker_counts(cpus: int, cores: int) -> list[int]:
    powers = [1 << i for i in range(cpus.bit_length()) if 1 << i <= cpus]
    return sorted({*powers, cores, cpus, cores // 2, cores * 5 // 4, cores * 3 // 4} - {0})


def _worker_room(topology: Topology, wish: Request, space: Space) -> int:
    """How many workers the memory holds that the policy gives them."""
    if space.memory_per_worker_kib is None:
        return 1 << 30
    strict = wish.memory is not None and wish.memory.mode == "bind"
    nodes = wish.memory.nodes if strict and wish.memory else topology.allowed.nodes
    room = sum(node.available_kib for node in topology.nodes if node.id in nodes)
    return room // space.memory_per_worker_kib


def _thp_modes(topology: Topology) -> tuple[HugePageMode, ...]:
    if topology.transparent_huge_pages == "always":
        return ("default", "never")
    if topology.transparent_huge_pages == "madvise":
        return ("default", "madvise")
    return ("default",)


def _label(policy: str, workers: int | None, threads: int | None, smt: bool, thp: str) -> str:
    parts = []
    if workers is not None:
        parts.append(f"{workers}x{threads}")
    elif threads is not None:
        parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
    if not smt:
        parts.append("no-smt")
    if thp != "default":
        parts.append(f"thp-{thp}")
    # Of the default policy only what differs is named: "8 threads", not "default 8 threads".
    return " ".join(parts if policy == "default" and parts else [policy, *parts])


def _key(placed: Plan, topology: Topology, inherited: MemoryPolicy) -> bytes:
    """Equal for plans under which the kernel does the same."""
    memory_nodes = {n.id for n in topology.nodes if n.memory_kib and n.id in topology.allowed.nodes}

    def effective(policy: MemoryPolicy) -> MemoryPolicy:
        if policy.mode == "default":
            policy = inherited
        if len(memory_nodes) <= 1 or policy.mode == "local":
            return (
                MemoryPolicy()
            )  # with one memory there is one place to go; local is what the kernel does by itself
        if len(policy.nodes) == 1 and policy.mode != "preferred":
            return MemoryPolicy("bind", policy.nodes)
        return policy

    placements = tuple(
        msgspec.structs.replace(p, memory=effective(p.memory), node=None) for p in placed.placements
    )
    return to_json(placements)
