"""From the arguments of `bind` and its kin to a Request, in the spellings of the command line."""

from __future__ import annotations

from collections.abc import Iterable

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet, format_list
from numawise.machine.topology import Topology
from numawise.placement.request import Request, parse_nodes, parse_policy
from numawise.placement.values import MemoryPolicy, Placement, Plan

Ids = int | str | Iterable[int]
"""One id, several, or a text such as `0,2-3`, `all`, `!0`."""


def request(
    topology: Topology,
    *,
    node: Ids | None = None,
    cpus: Ids | None = None,
    mem: str | MemoryPolicy | None = None,
) -> Request:
    """The wish. Raises UsageError for what cannot be read as nodes, CPUs or a policy."""
    return Request(
        nodes=None if node is None else parse_nodes(spelled(node, "node"), topology),
        cpus=None if cpus is None else CPUSet.parse(spelled(cpus, "cpus")),
        memory=parse_policy(mem, topology) if isinstance(mem, str) else mem,
    )


def spelled(ids: Ids, name: str) -> str:
    """Ids in the kernel's list form; a text stays as it is.

    >>> spelled([0, 1, 3], "cpus"), spelled(2, "node"), spelled("!0", "node")
    ('0-1,3', '2', '!0')
    """
    if isinstance(ids, str):
        return ids
    numbers = list(ids) if isinstance(ids, Iterable) else [ids]
    strange = [n for n in numbers if not isinstance(n, int) or isinstance(n, bool) or n < 0]
    if strange:
        raise UsageError(f"{name}={strange[0]!r} is no id; ids are whole numbers from 0")
    return format_list(numbers)


def only_placement(plan: Plan) -> Placement:
    """The placement of a plan for one process. Raises UsageError for one of several."""
    if len(plan.placements) != 1:
        raise UsageError(
            f"the plan places {len(plan.placements)} processes, this is one: give one of its placements "
            "(placement=plan.placements[0]), or use bind_rank()"
        )
    return plan.placements[0]


def described(policy: MemoryPolicy) -> str:
    """A policy as it is written: `bind:0-1`."""
    return f"{policy.mode}:{format_list(policy.nodes)}" if policy.nodes else policy.mode
