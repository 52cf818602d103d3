"""Pages that have been touched before: moved to where the policy wants them, and looked at afterwards.

move_pages(2) page by page, not migrate_pages(2): that one moves the libraries of every other process along when it may
(CAP_SYS_NICE), returns a bare count, and would move memory that has been put elsewhere on purpose.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from numawise.launch.apply import ALLOW_IN_DOCKER
from numawise.launch.inside.values import Pages
from numawise.linux import advice, procfs, syscalls
from numawise.linux.pagemap import PAGE, Pagemap
from numawise.machine.topology import Topology
from numawise.placement.values import Placement

_AT_ONCE = 8192
"""Addresses a call: it holds the lock of the process's memory map while it works."""
_TRIES = 4
_PIECE = 21
"""Memory is spread over several nodes in pieces of 2**21 bytes, so that no huge page is pulled two ways."""
_FINAL = (-errno.EACCES, -errno.ENOMEM)
_UNSEEN = (-errno.ENOENT, -errno.EFAULT)
_REFUSALS = (errno.EPERM, errno.ENOSYS)
_SHARED_MEMORY = ("/memfd:", "/dev/shm/", "/SYSV", "/dev/zero", "/anon_hugepage")  # noqa: S108
_WHY = {
    errno.EACCES: "shared with another process",
    errno.EBUSY: "busy, or locked for a device",
    errno.ENOMEM: "no room on the node",
}


class Want(NamedTuple):
    """Where pages should be: on any of the nodes or, `spread`, on all of them in turn."""

    nodes: tuple[int, ...]
    spread: bool = False

    def target(self, address: int, node: int) -> int:
        """The node for the page at `address`, which is on `node`.

        >>> Want((0, 2)).target(0, 2), Want((0, 2)).target(3 << 21, 1), Want((0, 2), spread=True).target(0, 2)
        (2, 2, 0)
        """
        if node in self.nodes and not self.spread:
            return node
        return self.nodes[(address >> _PIECE) % len(self.nodes)]

    def all_near(self, nodes: Sequence[int]) -> bool:
        """Whether none of these pages has to be moved, as is plain from their nodes alone."""
        return not self.spread and set(nodes) <= set(self.nodes)


def wanted(placement: Placement, topology: Topology) -> Want | None:
    """Where a placement wants a page that exists already; None when it leaves that open.

    `local` means the nodes of the placement's CPUs. Weighted interleave is left open: only the kernel knows the weights
    of this moment.
    """
    mode, nodes = placement.memory.mode, placement.memory.nodes
    if len(topology.nodes) < 2 or mode in ("default", "weighted-interleave"):
        return None
    if mode == "local":
        nodes = tuple(n.id for n in topology.nodes if n.cpus & placement.cpus and n.memory_kib)
    return Want(nodes, mode == "interleave") if nodes else None


def move(want: Want) -> tuple[Pages, tuple[str, ...]]:
    """Move what this process has touched of anonymous and shared memory; what became of it, and steps not taken.

    Left alone: the page cache of mapped files (libraries, weights), and mappings with a memory policy of their own,
    which somebody has put where they are.
    """
    near, moved, unseen, left = 0, 0, 0, Counter[str]()
    try:
        with Pagemap(0) as pagemap:
            pagemap.scans()
            for addresses, of_file in _touched(pagemap):
                nodes = _nodes_of(addresses)
                if not of_file and want.all_near(nodes):
                    near += len(nodes)
                    continue
                stray: dict[int, int] = {}
                for address, node in zip(addresses, nodes, strict=True):
                    if of_file and not pagemap.is_anonymous(address):
                        continue  # a page of the file
                    if node < 0:
                        unseen += 1
                        continue
                    target = want.target(address, node)
                    if target == node:
                        near += 1
                    else:
                        stray[address] = target
                done, why = _move(stray)
                moved += done
                left.update(why)
    except OSError as error:
        call = str(error.strerror).partition(":")[0]
        answer = f"{call} answered {errno.errorcode.get(error.errno or 0, '?')}"
        how = "stay where they are" if not moved else f"stay where they are, but for {moved} that were moved"
        hint = f" ({ALLOW_IN_DOCKER})" if error.errno in _REFUSALS else ""
        return Pages(near, moved, unseen, dict(left)), (f"pages that exist already {how}: {answer}{hint}",)
    return Pages(near, moved, unseen, dict(left)), ()


def _nodes_of(addresses: list[int]) -> list[int]:
    """The node of each of these present pages, or a negative errno.

    Automatic NUMA balancing marks pages to hear who uses them, and until somebody does, move_pages of Linux 6.1 answers
    ENOENT, of huge pages EFAULT, as if they were not there (seen on 6.1.0-56 of Debian; commit d74943a2f3cd of Linux
    6.5 says why): so these are read, and asked for again.
    """
    nodes = syscalls.move_pages(0, addresses)
    for _ in range(_TRIES):
        absent = [i for i, node in enumerate(nodes) if node in _UNSEEN]
        if not absent:
            break
        for start, length in _runs([addresses[i] for i in absent]):
            with suppress(OSError):  # gone meanwhile, or an older kernel, which does not do this
                advice.populate_read(start, length)
        for i, node in zip(absent, syscalls.move_pages(0, [addresses[i] for i in absent]), strict=True):
            nodes[i] = node
    return nodes


def _runs(addresses: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring pages together, as (address, bytes).

    >>> list(_runs([0, PAGE, 3 * PAGE])) == [(0, 2 * PAGE), (3 * PAGE, PAGE)]
    True
    """
    first = 0
    for i in range(1, len(addresses) + 1):
        if i == len(addresses) or addresses[i] != addresses[i - 1] + PAGE:
            yield addresses[first], addresses[i - 1] + PAGE - addresses[first]
            first = i


def _move(stray: Mapping[int, int]) -> tuple[int, Counter[str]]:
    """Move each page to its node: how many are there now, and why the others are not."""
    pending, moved, why = dict(stray), 0, Counter[str]()
    for attempt in range(_TRIES):
        if not pending:
            break
        addresses = list(pending)
        try:
            told = syscalls.move_pages(0, addresses, list(pending.values()), syscalls.MPOL_MF_MOVE)
        except OSError as error:
            if error.errno in _REFUSALS:
                raise
            told = [-(error.errno or 0)] * len(
                addresses
            )  # a full node ends the call for all, after some were moved
        seen = _nodes_of(addresses)
        again: dict[int, int] = {}
        for address, status, node in zip(addresses, told, seen, strict=True):
            if node == pending[address]:
                moved += 1
            elif node >= 0 and attempt < _TRIES - 1 and status not in _FINAL:
                # Busy for a moment, mostly: somebody was just looking at it.
                again[address] = pending[address]
            elif node >= 0:
                why[_reason(status)] += 1
            else:
                why[f"not to be seen any more ({errno.errorcode.get(-node, '?')})"] += 1
        pending = again
    return moved, why


def _reason(status: int) -> str:
    if status >= 0:
        return "not moved, and the kernel does not say why"
    name = errno.errorcode.get(-status, str(-status))
    return f"{_WHY.get(-status, 'not moved')} ({name})"


def _touched(pagemap: Pagemap) -> Iterator[tuple[list[int], bool]]:
    """Addresses of present pages, and whether they lie in a mapping of a file, which may hold copies of our own."""
    for mapping in procfs.read_mappings(os.getpid()):
        of_file = mapping.inode != 0 and not mapping.path.startswith(_SHARED_MEMORY)
        if not _is_ours(mapping, of_file):
            continue
        batch: list[int] = []
        for start, length in pagemap.present(mapping.start, mapping.end):
            for first in range(start, start + length, _AT_ONCE * PAGE):
                batch += range(first, min(first + _AT_ONCE * PAGE, start + length), PAGE)
                if len(batch) >= _AT_ONCE:
                    yield batch, of_file
                    batch = []
        if batch:
            yield batch, of_file


def _is_ours(mapping: procfs.Mapping, of_file: bool) -> bool:
    """Memory that the process's policy governs: no reserved addresses, devices, shared files, kernel's own pages."""
    if mapping.permissions.startswith("---") or mapping.path.startswith(("[v", "[uprobes", "[sigpage")):
        return False
    if of_file and (mapping.permissions[3] == "s" or mapping.path.startswith("/dev/")):
        return False
    try:
        return syscalls.get_mempolicy_at(mapping.start)[0] == "default"
    except OSError as error:
        if error.errno == errno.EFAULT:
            return False  # unmapped meanwhile
        raise
