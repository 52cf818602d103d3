"""Memory that outlives its users and keeps a policy of its own: System V segments, files of tmpfs and hugetlbfs.

A policy set on a mapping of either is kept with the object itself, for whoever maps it next (numa(7), "shared
policy"). mbind on any other file's mapping answers success and does nothing, so those are refused here.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from numawise.errors import UsageError

IPC_CREAT, IPC_EXCL, IPC_STAT, SHM_HUGETLB = 0o1000, 0o2000, 2, 0o4000
_KEEPS_POLICY = {0x01021994: "tmpfs", 0x958458F6: "hugetlbfs"}  # include/uapi/linux/magic.h
_FAILED = ctypes.c_void_p(-1).value
_MADV_POPULATE_READ = 22  # Linux 5.14
_SIZE_OFFSET = 48  # of shm_segsz in struct shmid_ds: after struct ipc_perm, on x86-64 and aarch64 alike

_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p
_libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_libc.shmdt.argtypes = (ctypes.c_void_p,)
_libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Segment(NamedTuple):
    """Memory mapped here: `length` bytes at `address`, in pages of `page` bytes."""

    address: int
    length: int
    page: int


def key_of(path: str, number: int) -> int:
    """The key that ftok(3) makes of a file and a number (0-255). Raises OSError."""
    state = os.stat(path)  # noqa: PTH116 - pathlib starts slowly
    key = (number & 0xFF) << 24 | (state.st_dev & 0xFF) << 16 | state.st_ino & 0xFFFF
    return ctypes.c_int(key).value


def find_segment(key: int) -> tuple[int, int] | None:
    """The id and the length in bytes of the System V segment with `key`; None when there is none. Raises OSError."""
    try:
        found = _checked("shmget", _libc.shmget(key, 0, 0))
    except FileNotFoundError:
        return None
    state = (ctypes.c_char * 256)()
    _checked("shmctl", _libc.shmctl(found, IPC_STAT, state))
    return found, ctypes.c_size_t.from_buffer(state, _SIZE_OFFSET).value


def create_segment(key: int, length: int, mode: int, *, huge: bool) -> int:
    """Create a System V segment of `length` bytes; returns its id. Raises OSError, FileExistsError for a known key."""
    flags = IPC_CREAT | IPC_EXCL | (SHM_HUGETLB if huge else 0) | mode
    return _checked("shmget", _libc.shmget(key, length, flags))


@contextmanager
def attached(segment: int, length: int, page: int = mmap.PAGESIZE) -> Iterator[Segment]:
    """A System V segment, mapped here. Raises OSError."""
    ctypes.set_errno(0)
    address = _libc.shmat(segment, None, 0)
    if address == _FAILED:
        raise _error("shmat")
    try:
        yield Segment(address, length, page)
    finally:
        _libc.shmdt(address)


@contextmanager
def mapped(descriptor: int, length: int) -> Iterator[Segment]:
    """The first `length` bytes of a file that keeps policies, mapped shared. Raises OSError."""
    ctypes.set_errno(0)
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    address = _libc.mmap(None, length, protection, mmap.MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        raise _error("mmap")
    try:
        yield Segment(address, length, page_size(descriptor))
    finally:
        _libc.munmap(address, length)


def check_keeps_policy(descriptor: int, path: str) -> None:
    """Raise UsageError unless the file lies in a file system that keeps memory policies."""
    kind = _statfs(descriptor)[0]
    if kind not in _KEEPS_POLICY:
        raise UsageError(
            f"{path} is in no tmpfs or hugetlbfs: the kernel would accept a memory policy for it and ignore it; "
            "put it under /dev/shm, for one"
        )


def page_size(descriptor: int) -> int:
    """Bytes a page of the file's file system: that of hugetlbfs is its block size."""
    kind, block = _statfs(descriptor)
    return block if _KEEPS_POLICY.get(kind) == "hugetlbfs" else mmap.PAGESIZE


def touch(segment: Segment, offset: int, length: int) -> None:
    """Have every page of a range exist, by reading it: nothing that is there changes. Raises OSError."""
    ctypes.set_errno(0)
    if _libc.madvise(segment.address + offset, length, _MADV_POPULATE_READ) == 0:
        return
    if ctypes.get_errno() != errno.EINVAL:
        raise _error("madvise")
    view = memoryview((ctypes.c_char * length).from_address(segment.address + offset)).cast("B")
    bytes(view[:: segment.page])  # an older kernel: one byte of each page


def _statfs(descriptor: int) -> tuple[int, int]:
    """Type and block size of a file's file system: the first two words of struct statfs."""
    state = (ctypes.c_long * 32)()
    _checked("fstatfs", _libc.fstatfs(descriptor, state))
    return state[0] & 0xFFFFFFFF, state[1]


def _checked(name: str, result: int) -> int:
    if result < 0:
        raise _error(name)
    return result


def _error(name: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{name}: {os.strerror(code)}")
