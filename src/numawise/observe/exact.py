"""Where the memory of a process is, counted instead of sampled."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

from numawise.errors import NotPermittedError
from numawise.linux import procfs
from numawise.linux.numa_maps import NumaMapping, read_numa_maps
from numawise.linux.pagemap import PAGE
from numawise.observe.errors import looking_at
from numawise.observe.process import is_shared_memory, memory_task
from numawise.observe.threads import threads
from numawise.observe.values import NodeShare, Residency


def exact_residency(pid: int, *, cpu_nodes: Mapping[int, int] | None = None) -> Residency:
    """Where every resident page of `pid` (0: this process) is, from `/proc/PID/numa_maps`.

    Slower the more memory is resident, and the process cannot map memory meanwhile. The intervals have no
    width. In a private mapping of a file, numa_maps does not say on which nodes the process's own copies
    are: they are taken to be spread as the mapping's pages are.
    """
    pid = pid or os.getpid()
    with looking_at(pid):
        task = memory_task(pid)
        if not os.path.exists(f"/proc/{task}/numa_maps") and procfs.is_alive(pid):  # noqa: PTH110
            raise NotPermittedError("this kernel has no /proc/PID/numa_maps: it was built without NUMA")
        mappings = read_numa_maps(task)
    every: Counter[int] = Counter()
    some: dict[int, float] = {}
    for mapping in mappings:
        part = _anonymous_part(mapping)
        for node, count in mapping.pages.items():
            every[node] += count * mapping.page_kib
            some[node] = some.get(node, 0.0) + part * count * mapping.page_kib
    total, anonymous = sum(every.values()), sum(some.values())
    return Residency(
        pid=pid,
        rss_kib=total,
        residency=_shares(every, total),
        sampled_pages=total * 1024 // PAGE,
        unmapped_pages=0,
        threads=threads(pid, cpu_nodes=cpu_nodes),
        anonymous=_shares(some, anonymous),
        anonymous_kib=round(anonymous),
        anonymous_pages=round(anonymous) * 1024 // PAGE,
    )


def _anonymous_part(mapping: NumaMapping) -> float:
    if not mapping.path or is_shared_memory(mapping.path) or mapping.huge:
        return 1.0
    return min(1.0, mapping.anonymous / sum(mapping.pages.values()))


def _shares(kib: Mapping[int, float], total: float) -> dict[int, NodeShare]:
    return {node: NodeShare(*[part / total] * 3) for node, part in sorted(kib.items()) if part > 0}
