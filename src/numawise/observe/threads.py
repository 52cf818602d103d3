"""Where the threads of a process run, and where they may."""

from __future__ import annotations

import os
from collections.abc import Mapping

from numawise.linux import procfs
from numawise.linux.cpuset import CPUSet
from numawise.linux.nodes import read_cpu_nodes
from numawise.observe.errors import ProcessGone, looking_at
from numawise.observe.values import ThreadPlace


def threads(pid: int, *, cpu_nodes: Mapping[int, int] | None = None) -> tuple[ThreadPlace, ...]:
    """The place of each thread of `pid` (0: this process), by id; those that end meanwhile are left out.

    `cpu_nodes`: the node of each CPU; read from the system when not given. Looking needs no permission.

    Raises ProcessGone.
    """
    nodes = read_cpu_nodes() if cpu_nodes is None else cpu_nodes
    pid = pid or os.getpid()
    places: list[ThreadPlace] = []
    sets: dict[frozenset[int], CPUSet] = {}  # thousands of threads share a few affinities
    with looking_at(pid):
        tids = procfs.thread_ids(pid)
    for tid in tids:
        try:
            stat = procfs.read_stat(pid, tid)
            affinity = frozenset(os.sched_getaffinity(tid))
        except procfs.GONE:
            continue
        if not stat.has_ended:
            allowed = sets.setdefault(affinity, CPUSet(affinity))
            places.append(ThreadPlace(tid, stat.cpu, nodes.get(stat.cpu), allowed))
    if not places:
        raise ProcessGone(f"process {pid} has ended; it has no thread left")
    return tuple(places)
