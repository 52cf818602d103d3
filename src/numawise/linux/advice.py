"""madvise(2) on memory of this process by address: what the mmap module cannot be asked for."""

from __future__ import annotations

import ctypes
import os

_POPULATE_READ = 22  # MADV_POPULATE_READ, include/uapi/asm-generic/mman-common.h, Linux 5.14

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def populate_read(address: int, length: int) -> None:
    """Read every page of a page-aligned range, as a program would; unlike a read, it survives a range that has gone.

    Raises OSError: ENOMEM where nothing is mapped (any more), EINVAL before Linux 5.14.
    """
    ctypes.set_errno(0)
    if _libc.madvise(address, length, _POPULATE_READ) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"madvise: {os.strerror(code)}")
