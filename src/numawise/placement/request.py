"""What somebody asks for, before it is held against a machine: `Request`, and the texts it is written in."""

from __future__ import annotations

from typing import Literal, cast, get_args

import msgspec

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu
from numawise.machine.topology import Topology
from numawise.placement.values import HugePageMode, MemoryPolicy, PolicyMode

Per = Literal["node", "gpu", "socket", "l3", "core"]
GpuMode = Literal["node", "socket", "exclusive", "l3"]

_UNITS_KIB = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}
_MODES = get_args(PolicyMode)
_NODELESS = ("default", "local")


class Request(msgspec.Struct, frozen=True):
    """A wish: everything None means "as it is". `plan` turns it into placements or says why it cannot.

    `nodes` asks for CPUs and memory of these nodes, `cpu_nodes` for their CPUs only (numactl's -N). A `memory` policy
    without nodes means: those the process runs on (bind, preferred, preferred-many) or all (interleave).
    """

    nodes: tuple[int, ...] | None = None
    cpu_nodes: tuple[int, ...] | None = None
    cpus: CPUSet | None = None
    memory: MemoryPolicy | None = None
    per: Per | None = None
    gpus: tuple[Gpu, ...] | None = None
    """The GPUs asked for: one process next to all of them or, with `per="gpu"`, one next to each (None: every GPU)."""
    gpus_present: tuple[Gpu, ...] = ()
    """All GPUs of the machine: exclusive and l3 share the cores out among these. Empty: those asked for."""
    gpu_mode: GpuMode = "node"
    """Which CPUs go with a GPU: those of its node, of its socket, its even share of its node's cores, one L3 domain."""
    workers: int | None = None
    told_workers: int | None = None
    """For one process that starts its workers itself: how many it is told to start (`{workers}`)."""
    threads: int | None = None
    """Compute threads of each process (of each worker, with `told_workers`)."""
    smt: bool = True
    thp: HugePageMode = "default"
    size_kib: int | None = None
    """Memory that each process is going to need."""
    env: dict[str, str] = {}
    """Set for every process; `{node} {gpu} {rank} {ranks} {threads} {workers} {port}` are filled in."""
    port: int | None = None
    """Port of rank 0; the others count up from it."""


def parse_size(text: str) -> int:
    """Read an amount of memory, binary units, as KiB (rounded up).

    >>> parse_size("1.5G"), parse_size("512MiB"), parse_size("100")
    (1572864, 524288, 1)
    """
    stripped = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = stripped[-1:] if stripped[-1:] in _UNITS_KIB else ""
    digits = stripped.removesuffix(unit) if unit else stripped
    try:
        amount = float(digits)
    except ValueError:
        amount = -1.0
    if not 0 < amount < 2**60:
        raise UsageError(f"not an amount of memory: {text!r}; write it like 200G, 1.5GiB or 512M")
    kib = amount * _UNITS_KIB[unit] if unit else amount / 1024
    return max(1, int(-(-kib // 1)))


def parse_policy(text: str, topology: Topology) -> MemoryPolicy:
    """Read `POLICY[:NODES]`, such as `bind:0,1`, `interleave:all`, `local`.

    Raises UsageError for an unknown policy, or nodes where none belong.
    """
    mode, colon, nodes = text.partition(":")
    if mode not in _MODES:
        raise UsageError(f"unknown memory policy {mode!r}; there are {', '.join(_MODES)}")
    if mode in _NODELESS and colon:
        raise UsageError(f"memory policy {mode} takes no nodes (got {nodes!r})")
    return MemoryPolicy(cast("PolicyMode", mode), parse_nodes(nodes, topology, memory=True) if colon else ())


def parse_nodes(text: str, topology: Topology, *, memory: bool = False) -> tuple[int, ...]:
    """Read a list of nodes by OS id: `0,2-3`, `all`, `!0` (all but), `+0` (the first of the allowed ones).

    `all` is every allowed node that has CPUs or, when `memory` is true, memory (that of a GPU is never meant by it).
    Raises UsageError, naming the nodes there are, for one that does not exist.
    """
    known = {node.id: node for node in topology.nodes}
    allowed = [
        node.id
        for node in topology.nodes
        if (
            node.memory_kib and node.kind != "gpu" and node.id in topology.allowed.nodes
            if memory
            else node.cpus & topology.allowed.cpus
        )
    ]
    inverted, relative, rest = text.startswith("!"), text.startswith("+"), text.lstrip("!+")
    if rest == "all":
        ids = allowed
    else:
        ids = list(CPUSet.parse(rest))
        if not ids:
            raise UsageError("an empty list of nodes; name one, such as 0")
    if relative:
        if ids[-1] >= len(allowed):
            raise UsageError(f"+{rest}: only {len(allowed)} nodes are allowed, so +0 to +{len(allowed) - 1}")
        ids = [allowed[i] for i in ids]
    for node in ids:
        if node not in known:
            raise UsageError(f"there is no node {node}; this machine has {describe_nodes(topology)}")
    if inverted:
        ids = [n for n in allowed if n not in ids]
    if not ids:
        what = "memory" if memory else "CPUs"
        raise UsageError(
            f"{text!r} leaves no node that is allowed and has {what}; this machine has {describe_nodes(topology)}"
        )
    return tuple(ids)


def describe_nodes(topology: Topology) -> str:
    """The nodes there are, in words: what a refusal offers instead."""
    parts = [f"{node.id} ({f'CPUs {node.cpus}' if node.cpus else 'no CPUs'})" for node in topology.nodes]
    return f"node{'s' if len(parts) != 1 else ''} " + ", ".join(parts)
