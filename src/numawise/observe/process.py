"""Where the memory of one process is."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from numawise.linux import procfs
from numawise.linux.pagemap import PAGE, Pagemap
from numawise.observe.errors import ProcessGone, looking_at
from numawise.observe.frame import SpanFrame
from numawise.observe.interval import effective_size, share_of
from numawise.observe.sample import draw, generator
from numawise.observe.threads import threads
from numawise.observe.values import NodeShare, Residency

# Pages that the kernel itself put there.
_KERNEL_OWN = ("[vvar", "[vdso]", "[vsyscall]", "[vectors]", "[sigpage]", "[uprobes]")
# Shared memory that only looks like a file: the memory policy decides where it is.
_SHARED_MEMORY = ("/memfd:", "/dev/shm/", "/SYSV", "/dev/zero", "/anon_hugepage", "/dev/hugepages")  # noqa: S108
_MEMORY_FILE_SYSTEMS = ("tmpfs", "hugetlbfs", "ramfs", "devtmpfs")


class Shares(NamedTuple):
    """Shares by node, and what their intervals stand on."""

    nodes: dict[int, NodeShare]
    pages: int
    effective_pages: float | None


def process_residency(
    pid: int, *, pages: int = 1000, seed: int | None = None, cpu_nodes: Mapping[int, int] | None = None
) -> Residency:
    """Where the resident pages of `pid` (0: this process) are, from about `pages` of them drawn evenly.

    Takes a few milliseconds whatever the size of the process, and holds it up for less than one. See
    `numawise.observe.residency` for what is drawn from, and what is raised.
    """
    pid = pid or os.getpid()
    with looking_at(pid):
        task = memory_task(pid)
        memory = procfs.read_memory(task)
        mappings = [mapping for mapping in procfs.read_mappings(task) if _is_memory(mapping)]
        frame = SpanFrame((m.start, m.end) for m in mappings)
        drawn = draw(task, frame, pages, generator(seed))
        anonymous = _anonymous(task, mappings, drawn.nodes)
    resident = len(drawn.nodes) if drawn.complete else max(drawn.resident, memory.total_kib * 1024 // PAGE)
    anonymous_kib = memory.total_kib - memory.file_kib
    every = shares(list(drawn.nodes.values()), resident)
    some = shares(anonymous, len(anonymous) if drawn.complete else anonymous_kib * 1024 // PAGE)
    return Residency(
        pid=pid,
        rss_kib=memory.total_kib,
        residency=every.nodes,
        sampled_pages=every.pages,
        unmapped_pages=drawn.missed,
        threads=threads(pid, cpu_nodes=cpu_nodes),
        anonymous=some.nodes,
        anonymous_kib=anonymous_kib,
        anonymous_pages=some.pages,
        effective_pages=every.effective_pages,
        anonymous_effective_pages=some.effective_pages,
    )


def shares(nodes: Sequence[int], population: float) -> Shares:
    """The share of each node among the nodes of the pages looked at, out of `population` pages in all."""
    count = len(nodes)
    size = effective_size(count, population)
    by_node = {node: share_of(hits / count, size) for node, hits in sorted(Counter(nodes).items())}
    return Shares(by_node, count, size)


def memory_task(pid: int) -> int:
    """The task of a process through which its memory can be seen: another thread when the main one has ended.

    Raises ProcessGone for a zombie, OSError as `procfs` does.
    """
    if not procfs.read_stat(pid).has_ended:
        return pid
    for tid in procfs.thread_ids(pid):
        if not procfs.read_stat(pid, tid).has_ended:
            return tid
    raise ProcessGone(
        f"process {pid} has ended (it is a zombie: its parent has not asked for its exit code yet)"
    )


def is_shared_memory(path: str) -> bool:
    """Whether a mapping of that name is shared memory by its name alone."""
    return path.startswith(_SHARED_MEMORY)


def _is_memory(mapping: procfs.Mapping) -> bool:
    """Whether a mapping can hold pages of the process: neither reserved address space, nor a device."""
    path = mapping.path
    if mapping.permissions.startswith("---"):
        return False
    if path.startswith("/dev/"):
        return is_shared_memory(path)
    return not path.startswith(_KERNEL_OWN)


def _anonymous(task: int, mappings: Sequence[procfs.Mapping], nodes: Mapping[int, int]) -> list[int]:
    """The nodes of those pages that are not the page cache of a file."""
    starts = [m.start for m in mappings]
    found: list[int] = []
    private: list[int] = []
    memory_devices: set[str] | None = None
    for address, node in nodes.items():
        mapping = mappings[bisect_right(starts, address) - 1]
        if mapping.inode == 0 or is_shared_memory(mapping.path):
            found.append(node)
        elif mapping.permissions.endswith("p"):
            private.append(address)
        elif mapping.device.startswith("00:"):  # no disk: look whether it is memory that has been mounted
            if memory_devices is None:
                types = procfs.read_mount_types(task)
                memory_devices = {device for device, kind in types.items() if kind in _MEMORY_FILE_SYSTEMS}
            if mapping.device in memory_devices:
                found.append(node)
    return found + [nodes[address] for address in _copied(task, private)]


def _copied(task: int, addresses: Sequence[int]) -> list[int]:
    """Pages of private file mappings that were written to: they are the process's own copies."""
    if not addresses:
        return []
    try:
        with Pagemap(task) as pagemap:
            return [address for address in addresses if pagemap.is_anonymous(address)]
    except PermissionError:
        return []  # a pagemap that is closed to us: all count as pages of the file
