"""What a plan is made of: the CPUs, memory policy and environment of each process."""

from __future__ import annotations

from typing import Literal

import msgspec

from numawise.linux.cpuset import CPUSet

PolicyMode = Literal[
    "default", "local", "bind", "preferred", "preferred-many", "interleave", "weighted-interleave"
]
HugePageMode = Literal["default", "never", "madvise"]


class MemoryPolicy(msgspec.Struct, frozen=True):
    """A kernel memory policy. `default` and `local` take no nodes; all others at least one."""

    mode: PolicyMode = "default"
    nodes: tuple[int, ...] = ()


class Placement(msgspec.Struct, frozen=True):
    """Where one process runs."""

    rank: int
    cpus: CPUSet
    memory: MemoryPolicy = MemoryPolicy()
    devices: tuple[str, ...] = ()
    """PCI addresses of the GPUs it is next to; what makes them visible to it stands in `env`."""
    threads: int | None = None
    """Compute threads the process is told to use (through the environment); None: its own choice."""
    workers: int | None = None
    """What `{workers}` stands for: processes of the launch, or workers the program is told to start itself."""
    ranks: int = 1
    """How many processes the launch has: what `{ranks}` stands for."""
    env: dict[str, str] = {}
    node: int | None = None
    """The node that `{node}` in the command stands for; None when the placement spans several."""
    thp: HugePageMode = "default"
    """Transparent huge pages of the process: as the system says, switched off, or asked for by malloc."""


class Plan(msgspec.Struct, frozen=True):
    """The placements of all processes of one launch, by rank."""

    placements: tuple[Placement, ...]
    notes: tuple[str, ...] = ()
