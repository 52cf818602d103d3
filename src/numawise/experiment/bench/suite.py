"""The arms of a bench: of the built-in einsum workload, or of somebody's own command.

Not every combination: each axis is varied from a base (the default placement, contiguous float32 weights, all CPUs),
and only placement and threads are crossed, where one decides what the other is worth. The order is that of importance:
when the budget does not hold all, the last ones go first.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from numawise import workloads
from numawise.errors import NotPermittedError, UsageError
from numawise.experiment.bench.scenarios import DEFAULT, Scenario, homes, left_out, memories, scenarios
from numawise.experiment.records import Candidate
from numawise.machine.topology import Topology
from numawise.placement.fill import mentions
from numawise.placement.plan import plan
from numawise.placement.request import Request
from numawise.placement.units import cores_of
from numawise.workloads.moe.layer import Layer

WORKLOAD = "moe_einsum"
_BESIDE_WEIGHTS_KIB = 512 * 1024
"""What NumPy or PyTorch and a pass take beside the weights, amply."""


class Method(msgspec.Struct, frozen=True):
    """One way of computing the layer."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def torch(self) -> bool:
        """Does it need PyTorch?"""
        return "torch" in self.arguments


EINSUM = Method("einsum")
PER_EXPERT = Method("per-expert", ("--method", "chosen"))
TORCH_EINSUM = Method("torch einsum", ("--engine", "torch"))
TORCH_PER_EXPERT = Method("torch per-expert", ("--engine", "torch", "--method", "chosen"))


class Arms(msgspec.Struct, frozen=True):
    """What is to be run, the default first, and what is not and why."""

    candidates: tuple[Candidate, ...]
    left_out: dict[str, str]


def command_of(scale: float, tokens: int, seconds: float) -> tuple[str, ...]:
    """The built-in workload's command line, to which each arm adds its arguments."""
    module = workloads.get(WORKLOAD).module
    return (
        *(sys.executable, "-m", module, "--tokens", str(tokens), "--scale", f"{scale:g}"),
        *("--seconds", f"{seconds:g}"),
    )


def choose_scale(topology: Topology) -> float:
    """A scale whose weights, and the quarter that two experts of eight are, are too large for the caches.

    Eight times the last-level caches of the allowed CPUs, within 130 MiB and 1 GiB and an eighth of the smallest node.
    """
    whole_kib = Layer.scaled(1.0).weights * 4 / 1024
    caches = sum(d.size_kib or 0 for d in topology.l3_domains if d.cpus & topology.allowed.cpus)
    room = min((node.memory_kib for node in homes(topology)), default=whole_kib * 8) / 8
    wanted = min(8 * caches, room, whole_kib)
    return min(1.0, max(0.35, math.ceil(100 * math.sqrt(wanted / whole_kib)) / 100))


def built_in(
    topology: Topology,
    *,
    full: bool,
    scale: float,
    torch: bool,
    threads: Sequence[int] | None,
    only: Sequence[str],
) -> Arms:
    """The arms of the built-in workload.

    Args:
        topology: the machine.
        full: the whole suite, not the quick one.
        scale: of the layer, so that no scenario is tried whose node cannot hold the weights.
        torch: whether PyTorch is there; without it its arms are left out.
        threads: these thread counts instead of steps up to all CPUs.
        only: patterns of the names to take (`_fits`); empty: all.
    """
    take = _Taking(topology, everything=bool(only))
    places = take.places(full=full, needed_kib=Layer.scaled(scale).weights * 4 // 1024 + _BESIDE_WEIGHTS_KIB)
    take.arm(EINSUM)
    methods: tuple[Method, ...] = (
        (PER_EXPERT, TORCH_EINSUM, TORCH_PER_EXPERT) if full else (PER_EXPERT, TORCH_EINSUM)
    )
    if not torch:
        take.left_out["torch"] = "PyTorch is not installed; pip install 'numawise[torch]' adds its arms"
    methods = tuple(method for method in methods if torch or not method.torch)
    take.arm(PER_EXPERT, axis="method", against=EINSUM)
    take.across(EINSUM, places)
    for method in methods[1:]:
        take.arm(method, axis="method", against=EINSUM)
    take.across(PER_EXPERT, places if full else [place for place in places if place.against == DEFAULT])
    if full or threads:
        take.threads(PER_EXPERT, threads, places)
    if full:
        for method in (EINSUM, *methods):
            other = ("--layout", "non-contiguous")
            take.arm(method, axis="layout", against=method, label="non-contiguous", arguments=other)
        if torch:
            for method in methods[1:]:
                half = ("--dtype", "bfloat16")
                take.arm(method, axis="dtype", against=method, label="bfloat16", arguments=half)
            take.across(TORCH_EINSUM, [place for place in places if place.against == DEFAULT])
    return take.arms(only)


def of_command(
    topology: Topology,
    command: Sequence[str],
    *,
    full: bool,
    threads: Sequence[int] | None,
    only: Sequence[str],
    env: dict[str, str],
) -> Arms:
    """The arms of somebody's own command: the same placements and, with `full` or `threads`, thread counts.

    The default is the program as it is run today: what it may set itself (`{threads}` in `env`) stays unset there.
    """
    take = _Taking(topology, everything=bool(only), env=env)
    own = Method("")
    untold = {name: text for name, text in env.items() if not mentions(text, "threads", "workers", "node")}
    take.arm(own, env=untold)
    places = take.places(full=full, needed_kib=0)
    take.across(own, places)
    if full or threads:
        take.threads(own, threads, places)
    return take.arms(only)


class _Taking:
    """Takes arm after arm: each is held against the machine, and left out with the reason where it does not fit."""

    def __init__(self, topology: Topology, *, everything: bool, env: dict[str, str] | None = None) -> None:
        self._topology, self._everything, self._env = topology, everything, env or {}
        self._found: dict[str, Candidate] = {}
        self.left_out: dict[str, str] = left_out(topology, everything=everything)

    def places(self, *, full: bool, needed_kib: int) -> list[Scenario]:
        """The scenarios whose memory holds what is needed."""
        room = {node.id: node.available_kib for node in memories(self._topology)}
        fitting = []
        for place in scenarios(self._topology, full=full, everything=self._everything):
            bound = place.request.nodes or (place.request.memory.nodes if place.request.memory else ())
            strict = place.request.nodes is not None or (
                place.request.memory is not None and place.request.memory.mode == "bind"
            )
            there = sum(room.get(node, 0) for node in bound)
            if strict and there < needed_kib:
                self.left_out[place.name] = (
                    f"node {bound[0]} has {there / 2**20:.1f} GiB to give and {needed_kib / 2**20:.1f} are needed"
                )
            else:
                fitting.append(place)
        return fitting

    def arm(
        self,
        method: Method,
        place: Scenario | None = None,
        *,
        axis: str = "",
        against: Method | None = None,
        threads: int | None = None,
        label: str = "",
        arguments: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        """Take one arm; `against` None: it is the default of all."""
        name = _name(method, place, threads, label)
        reference = ""
        if against is not None:
            reference = _named(against, DEFAULT if place is None else place.against)
            if reference not in self._found:
                self.left_out[name] = f"{reference}, which it is judged against, is left out"
                return
        request = place.request if place is not None else Request(told_workers=1)
        request = msgspec.structs.replace(request, threads=threads, env=self._env if env is None else env)
        try:
            placed = plan(self._topology, request)
        except (UsageError, NotPermittedError) as error:
            if not self._found:
                raise  # the default itself
            self.left_out[name] = str(error)
            return
        self._found[name] = Candidate(
            name=name,
            plan=placed,
            policy=place.name if place is not None else DEFAULT,
            threads=threads,
            arguments=(*method.arguments, *arguments),
            axis=axis,
            against=reference,
        )

    def across(self, method: Method, places: Sequence[Scenario]) -> None:
        """One arm for each placement."""
        for place in places:
            self.arm(method, place, axis="placement", against=method)

    def threads(self, method: Method, counts: Sequence[int] | None, places: Sequence[Scenario]) -> None:
        """Thread counts under the default, and crossed with the first node alone, far memory, and interleaving."""
        cpus = self._topology.allowed.cpus
        for count in counts or _steps(len(cpus), len(cores_of(self._topology, cpus))):
            self.arm(method, axis="threads", against=method, threads=count)
        kinds: dict[str, Scenario] = {}
        for place in places:
            kinds.setdefault(place.name.partition(":")[0], place)
        for kind in ("bind", "interleave", "cpu"):
            if kind not in kinds:
                continue
            place = msgspec.structs.replace(kinds[kind], against=DEFAULT)
            room = plan(self._topology, place.request).placements[0].cpus
            steps = counts or _steps(len(room), len(cores_of(self._topology, room)))
            # All CPUs under a placement is what the program takes by itself: it has its arm already.
            for count in (n for n in steps if n < len(room)):
                self.arm(method, place, axis="placement x threads", against=method, threads=count)

    def arms(self, only: Sequence[str]) -> Arms:
        """All that was taken; with `only` just what fits a pattern, and what that is judged against."""
        every = tuple(self._found.values())
        if not only:
            return Arms(every, self.left_out)
        kept = {every[0].name}
        for arm in every[1:]:
            if any(_fits(arm.name, pattern) for pattern in only):
                kept |= {arm.name, arm.against}
        if len(kept) == 1:
            there = ", ".join(arm.name for arm in every[1:]) or "none but the default"
            raise UsageError(f"--only {only[0]!r} fits none of the arms there are: {there}")
        return Arms(tuple(arm for arm in every if arm.name in kept), self.left_out)


def _fits(name: str, pattern: str) -> bool:
    """Does an arm fit a pattern: part by part, or its last part alone?

    >>> _fits("einsum, bind:0", "bind:*"), _fits("bind:0, 2 threads", "bind:*"), _fits("einsum, bind:0", "*, bind:?")
    (True, False, True)
    """
    parts, wanted = name.split(", "), pattern.split(", ")
    if len(wanted) == 1:
        return fnmatchcase(parts[-1], pattern)
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _name(method: Method, place: Scenario | None, threads: int | None, label: str) -> str:
    name = _named(method, DEFAULT if place is None else place.name)
    if threads is not None:
        name += f", {threads} thread{'s' if threads > 1 else ''}"
    return f"{name}, {label}" if label else name


def _named(method: Method, place: str) -> str:
    return f"{method.name}, {place}" if method.name else place


def _steps(cpus: int, cores: int) -> list[int]:
    """1, 2, 4 and so on, the cores and the CPUs.

    >>> _steps(24, 12)
    [1, 2, 4, 8, 12, 16, 24]
    """
    return sorted({*(1 << i for i in range(cpus.bit_length()) if 1 << i <= cpus), cores, cpus} - {0})
