"""Memory where it is wanted, in pages of the size wanted, and looked at before anything is said about it."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from numawise.errors import NotPermittedError
from numawise.linux import syscalls
from numawise.linux.container import how_to_allow
from numawise.linux.numa_maps import read_numa_maps
from numawise.linux.smaps import mapping_at
from numawise.measure.room import NoRoom, look
from numawise.native.buffers import exported

ENOUGH_ON_TARGET = 0.99
"""Less of a buffer where it should be, and there is no figure."""
_UNEVEN = 0.05
"""How far a node's share of interleaved memory may be off: 1 000 sampled pages are 3 points off at worst."""
_ALL_HUGE = 0.99
_SAMPLE = 1000
_HUGE = 2 << 20
_CHUNK = 64 << 20
_LOOK_EVERY = 256 << 20
_MADV_POPULATE_WRITE, _MADV_COLLAPSE = 23, 25  # include/uapi/asm-generic/mman-common.h, Linux 5.14 and 6.1
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)


class Seen(NamedTuple):
    """Where a buffer's pages were, and how large."""

    on_target: float
    sampled_pages: int
    page_kib: int | None
    """None: pages of several sizes, or unknown."""
    note: str = ""


class Placed:
    """Memory on the nodes it was asked for. Use it in a `with`; nothing may use its slices after that."""

    def __init__(
        self, nodes: Sequence[int], kib: int, *, huge: bool, interleaved: bool = False, cpu: int | None = None
    ) -> None:
        """Map, bind and touch `kib` KiB.

        Args:
            nodes: where it shall be; several only when interleaved.
            kib: how much, rounded up to whole pages of 2 MiB.
            huge: whether huge pages are asked for, or refused.
            interleaved: page by page over the nodes in turn.
            cpu: the CPU of the thread that touches it first; where binding memory is refused (a container's seccomp
                profile), memory follows this thread, so it should be near the node.

        Raises NoRoom when the memory is not there, NotPermittedError when it may not be placed.
        """
        self.nodes, self.huge, self.interleaved = tuple(nodes), huge, interleaved
        self.length = -(-kib * 1024 // _HUGE) * _HUGE
        self.steps: tuple[str, ...] = ()
        """What was done otherwise than asked, and why."""
        try:
            # Room at both ends: to begin on a huge page, and to lie in a mapping of its own, which the kernel's
            # listings show by itself (what is marked below has other flags than its neighbours).
            self._map = mmap.mmap(-1, self.length + 2 * _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise NoRoom(
                f"no room: {self.length >> 20} MiB to measure in were refused "
                f"({errno.errorcode.get(error.errno or 0)}); is there a limit (ulimit -v)?"
            ) from None
        try:
            with exported(self._map, writable=True) as (base, _):
                self._offset = -(-(base + mmap.PAGESIZE) // _HUGE) * _HUGE - base
                self.address = base + self._offset
            self._advise(mmap.MADV_DONTDUMP)
            self._advise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
            self._bind(cpu)
            self._touch(cpu)
            if huge and not self._is_huge():
                self._advise(_MADV_COLLAPSE)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Placed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()

    def slice(self, offset: int, length: int) -> ctypes.Array[ctypes.c_char]:
        """`length` bytes from `offset` on, for a kernel."""
        if not 0 <= offset <= offset + length <= self.length:
            raise ValueError(f"{length} bytes at {offset} of {self.length}")
        # A view would keep the mapping from being closed for as long as anybody holds it.
        return (ctypes.c_char * length).from_address(self.address + offset)

    def look(self) -> Seen:
        """Where the pages are now, and how large. Raises NotPermittedError when the system does not tell."""
        shares, sampled = self._shares()
        on_target = sum(shares.get(node, 0.0) for node in self.nodes)
        uneven = max(abs(shares.get(node, 0.0) - 1 / len(self.nodes)) for node in self.nodes)
        page_kib, note = self._page_size()
        if self.interleaved and uneven > _UNEVEN and on_target >= ENOUGH_ON_TARGET:
            seen = ", ".join(f"{share:.0%} on node {node}" for node, share in sorted(shares.items()))
            raise NotPermittedError(f"memory was not interleaved evenly: {seen}; free some memory there")
        return Seen(on_target, sampled, page_kib, "; ".join(filter(None, (*self.steps, note))))

    def _advise(self, advice: int) -> bool:
        try:
            self._map.madvise(advice, self._offset, self.length)
        except OSError:  # a kernel without huge pages, or too old for the advice: what was given is looked at
            return False
        return True

    def _bind(self, cpu: int | None) -> None:
        mode = "interleave" if self.interleaved else "bind"
        nodes = ", ".join(map(str, self.nodes))
        try:
            syscalls.mbind(self.address, self.length, mode, self.nodes)
        except OSError as error:
            answer = f"mbind answered {errno.errorcode.get(error.errno or 0, '?')}"
            if error.errno not in _REFUSALS:
                raise NotPermittedError(
                    f"memory cannot be put on node {nodes}: {answer}; does the cpuset still allow the node?"
                ) from None
            if self.interleaved or cpu is None:
                raise NotPermittedError(
                    f"memory cannot be put on node {nodes}: {answer}, and no thread can touch it first there; "
                    f"{how_to_allow('mbind', error.errno or 0)}"
                ) from None
            self.steps = (f"{answer}: placed by the first touch of a thread on CPU {cpu}",)

    def _touch(self, cpu: int | None) -> None:
        stop = threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                if cpu is not None:
                    with suppress(OSError):  # bound memory does not care; first touch is looked at afterwards
                        os.sched_setaffinity(0, [cpu])
                self._populate(stop.is_set)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                failed.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            worker.join()
        finally:
            stop.set()  # Ctrl-C: nobody may be touching when the memory is given back
            worker.join()
        if failed:
            raise failed[0]

    def _populate(self, stopped: Callable[[], bool]) -> None:
        by_kernel = True
        for done in range(0, self.length, _CHUNK):
            if stopped():
                return
            if done and done % _LOOK_EVERY == 0 and look().most_kib(self.nodes) <= 0:
                raise NoRoom(
                    f"no room: node {', '.join(map(str, self.nodes))} ran short of memory while "
                    f"{self.length >> 20} MiB were taken; free some memory there"
                )
            part = min(_CHUNK, self.length - done)
            if by_kernel:
                try:
                    self._map.madvise(_MADV_POPULATE_WRITE, self._offset + done, part)
                    continue
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise NoRoom(
                            f"no room: touching {part >> 20} MiB answered "
                            f"{errno.errorcode.get(error.errno or 0)}; free some memory"
                        ) from None
                    by_kernel = False
            ctypes.memset(self.address + done, 1, part)

    def _shares(self) -> tuple[dict[int, float], int]:
        """The share of each node, and how many pages were looked at."""
        from numawise.observe import residency_of_range

        try:
            seen = residency_of_range(self.address, self.length, pages=_SAMPLE)
            return {node: share.share for node, share in seen.residency.items()}, seen.sampled_pages
        except NotPermittedError as refused:
            try:
                every = read_numa_maps(os.getpid())
            except OSError:
                raise refused from None
            mine = next((m for m in every if m.start == self.address), None)
            if mine is None:
                raise refused from None
            total = sum(mine.pages.values())
            return {node: pages / total for node, pages in mine.pages.items()}, total

    def _is_huge(self) -> bool:
        mapping = mapping_at(self.address)
        return mapping is not None and mapping.huge_kib >= _ALL_HUGE * mapping.resident_kib

    def _page_size(self) -> tuple[int | None, str]:
        try:
            mapping = mapping_at(self.address)
        except OSError:
            mapping = None
        if mapping is None or not mapping.resident_kib:
            return None, "the size of its pages is not known"
        share = mapping.huge_kib / mapping.resident_kib
        if share >= _ALL_HUGE:
            return _huge_kib(), ""
        if share > 1 - _ALL_HUGE:
            return None, f"{share:.0%} in huge pages, the rest in pages of {mapping.page_kib} KiB"
        return mapping.page_kib, "huge pages were asked for and not given" if self.huge else ""


def _huge_kib() -> int:
    """Size of a transparent huge page: 2 MiB with pages of 4 KiB, 512 MiB on some ARM kernels."""
    from numawise.linux.procfs import read_text

    try:
        return int(read_text("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")) >> 10
    except (OSError, ValueError):
        return _HUGE >> 10
