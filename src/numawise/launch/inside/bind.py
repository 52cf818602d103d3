"""`bind`: put the process that calls it on nodes, on CPUs, under a memory policy, or where a plan says."""

from __future__ import annotations

from numawise.errors import UsageError
from numawise.launch.inside.place import as_started, place, tell
from numawise.launch.inside.values import Bound
from numawise.launch.inside.wishes import Ids, described, only_placement, request, spelled
from numawise.machine import read
from numawise.machine.topology import Topology
from numawise.placement.fit import check_cpus, check_nodes
from numawise.placement.plan import plan as make_plan
from numawise.placement.values import MemoryPolicy, Placement, Plan


def bind(
    node: Ids | None = None,
    *,
    cpus: Ids | None = None,
    mem: str | MemoryPolicy | None = None,
    plan: Plan | None = None,
    placement: Placement | None = None,
    strict: bool = False,
    move: bool = True,
) -> Bound:
    """Put this process there: all its threads, those that run already included, and its memory, old and new.

    Early is best: then there is nothing to move, and threads started later inherit everything. A memory policy is a
    thread's own, and only the calling thread's can be set; `Bound` says how many others there were.

    Args:
        node: CPUs and memory of these nodes: an id, several, or a text such as `0,2`, `all`, `!0`.
        cpus: these CPUs: an id, several, or a text such as `0-3,8`.
        mem: memory policy, such as `bind:1`, `interleave:all`, `preferred:0`, `local`.
        plan: a plan for one process; what it says beside CPUs, memory and threads is for new processes.
        placement: one placement of a plan, likewise.
        strict: a step down the permission ladder is an error, and undone.
        move: move what has been touched already as well, where the policy names nodes.

    A step down the permission ladder is in `Bound.steps` and is warned of (RuntimeWarning).

    Raises UsageError for what cannot be meant, NotPermittedError for what the system does not give.

    >>> import os
    >>> cpu = min(os.sched_getaffinity(0))
    >>> before = os.sched_getaffinity(0)
    >>> bound = bind(cpus=cpu)
    >>> bound.threads.outside, os.sched_getaffinity(0) == {cpu}
    (0, True)
    >>> bind(cpus=before).asked == f"cpus={cpu}"
    False
    """
    given = {
        name: value
        for name, value in (
            ("node", node),
            ("cpus", cpus),
            ("mem", mem),
            ("plan", plan),
            ("placement", placement),
        )
        if value is not None
    }
    if not given:
        raise UsageError("bind to what? give node=, cpus=, mem=, plan= or placement=")
    ready = [name for name in ("plan", "placement") if name in given]
    if ready and len(given) > 1:
        raise UsageError(f"{ready[0]}= says where everything goes; leave the other arguments out")
    asked = " ".join(f"{name}={_text(name, value)}" for name, value in given.items())
    with as_started():
        topology = read("/", devices=False)
        notes: tuple[str, ...] = ()
        if plan is not None:
            placement, notes = only_placement(plan), plan.notes
        if placement is not None:
            _check(placement, topology)
        else:
            made = make_plan(topology, request(topology, node=node, cpus=cpus, mem=mem))
            placement, notes = made.placements[0], made.notes
        reset = mem is not None and placement.memory.mode == "default"
        bound = place(asked, placement, topology, strict=strict, move=move, reset=reset, notes=notes)
    return tell(bound)


def _text(name: str, value: object) -> str:
    if isinstance(value, MemoryPolicy):
        return described(value)
    if isinstance(value, Plan | Placement):
        return "given"
    return str(value) if isinstance(value, str) else spelled(value, name)  # type: ignore[arg-type]


def _check(placement: Placement, topology: Topology) -> None:
    """A placement may come from another machine, or from before a cpuset: hold it against this one."""
    if not placement.cpus:
        raise UsageError("the placement names no CPUs")
    check_cpus(placement.cpus, topology)
    check_nodes(placement.memory.nodes, topology, cpus=False, memory=True)
