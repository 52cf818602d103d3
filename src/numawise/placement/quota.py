"""A CPU quota against the threads of a plan: more threads than it pays for only wait for each other's next period."""

from __future__ import annotations

import math

from numawise.machine.topology import Topology
from numawise.placement.request import Request
from numawise.placement.values import Plan

_SELECTS = ("nodes", "cpu_nodes", "cpus", "memory", "per", "gpus", "workers", "told_workers")


def most_threads(topology: Topology, request: Request, workers: int, cpus: int) -> int | None:
    """Threads that each of `workers` processes on `cpus` CPUs is to be told because of the quota: their part of it,
    rounded up, at least one. None: nothing has to be said, or the request asks for nothing (all stays as it is).

    >>> from numawise.linux.cpuset import CPUSet
    >>> from numawise.machine.topology import Allowed, Node
    >>> every = CPUSet.parse("0-7")
    >>> machine = Topology(every, 8, (Node(0, every, 1024, "dram"),), None, Allowed(every, (0,), cpu_quota=2.5))
    >>> most_threads(machine, Request(nodes=(0,)), workers=1, cpus=8)
    3
    >>> most_threads(machine, Request(nodes=(0,)), workers=4, cpus=2)
    1
    >>> most_threads(machine, Request(), workers=1, cpus=8) is None
    True
    """
    quota = topology.allowed.cpu_quota
    if quota is None or all(getattr(request, name) is None for name in _SELECTS):
        return None
    processes = workers * (request.told_workers or 1)
    most = max(1, math.ceil(quota / processes))
    return most if most < max(1, cpus // (request.told_workers or 1)) else None


def quota_notes(topology: Topology, request: Request, plan: Plan) -> list[str]:
    """What the quota has changed in a plan, or what it will do to it."""
    quota = topology.allowed.cpu_quota
    if quota is None:
        return []
    each = request.told_workers or 1
    counts = [(placement.threads or 0) * each for placement in plan.placements]
    granted = f"control groups grant {quota:g} CPUs' worth of time here"
    if request.threads is not None and sum(counts) > math.ceil(quota):
        processes = len(plan.placements) * each
        words = f"{processes} x {request.threads} = " if processes > 1 else ""
        fitting = math.ceil(quota) // processes
        less = f"--threads {fitting}" if fitting else f"{math.ceil(quota)} processes of one thread"
        return [
            f"{words}{sum(counts)} threads, but {granted}: the kernel will stop them for a part of each period; "
            f"{less} would run without"
        ]
    told = [
        placement.threads
        for placement in plan.placements
        if placement.threads is not None
        and placement.threads == most_threads(topology, request, len(plan.placements), len(placement.cpus))
    ]
    if request.threads is None and told:
        whole = "each process is" if len(plan.placements) > 1 else "the process is"
        waits = (
            f"; still {sum(counts)} threads in all, which the kernel will stop for a part of each period"
            if sum(counts) > math.ceil(quota)
            else ""
        )
        return [f"{granted}: {whole} told {max(told)} thread{'s' if max(told) > 1 else ''}{waits}"]
    return []
