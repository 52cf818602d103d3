"""Which pages of a process are present, from `/proc/PID/pagemap` and the page tables behind it.

Only the flag bits are used: the owner of a process may read them, page frame numbers need CAP_SYS_ADMIN
(Documentation/admin-guide/mm/pagemap.rst). All functions raise OSError.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator

PAGE = os.sysconf("SC_PAGE_SIZE")

# struct pm_scan_arg and its ioctl, include/uapi/linux/fs.h (Linux 6.7)
_SCAN = struct.Struct("=12Q")
_PAGEMAP_SCAN = 3 << 30 | _SCAN.size << 16 | ord("f") << 8 | 16
_IS_PRESENT, _IS_ZERO_PAGE = 1 << 3, 1 << 5
_REGIONS = 1024
# One call holds the target's memory lock while it walks: so many present pages take about 0.1 ms.
_PAGES_A_CALL = 16384

# Bits of an entry's highest byte: 63 present, 61 file page or shared memory.
_PRESENT_BYTE, _FILE_BYTE = 0x80, 0x20
_TOP_BYTE = slice(7, None, 8) if struct.pack("=H", 1) == b"\1\0" else slice(0, None, 8)
_FLAG_PRESENT = bytes(bool(byte & _PRESENT_BYTE) for byte in range(256))
_ENTRIES_A_READ = 4096


class Pagemap:
    """The page tables of a process (0: this one); to be used in a `with`."""

    def __init__(self, pid: int) -> None:
        self._fd = os.open(f"/proc/{pid or 'self'}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self._can_scan = True

    def __enter__(self) -> Pagemap:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def is_anonymous(self, address: int) -> bool:
        """Whether the page is neither of a file nor shared memory. False if not present."""
        entry = os.pread(self._fd, 8, address // PAGE * 8)
        return len(entry) == 8 and entry[_TOP_BYTE][0] & (_PRESENT_BYTE | _FILE_BYTE) == _PRESENT_BYTE

    def scans(self) -> bool:
        """Whether the kernel finds present pages itself (PAGEMAP_SCAN, Linux 6.7), quick over holes."""
        try:
            self._scan_once(0, PAGE, (ctypes.c_uint64 * 3)())
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                raise
            self._can_scan = False
        return self._can_scan

    def present(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of present pages between two page-aligned addresses, as (address, bytes).

        Leaves the shared page of zeros out where the kernel tells (PAGEMAP_SCAN).
        """
        return self.scan(start, end) if self._can_scan else self.read(start, end)

    def scan(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """As `present`, by PAGEMAP_SCAN."""
        regions = (ctypes.c_uint64 * (3 * _REGIONS))()
        while start < end:
            count, start = self._scan_once(start, end, regions)
            for i in range(0, 3 * count, 3):
                yield regions[i], regions[i + 1] - regions[i]

    def _scan_once(self, start: int, end: int, regions: ctypes.Array[ctypes.c_uint64]) -> tuple[int, int]:
        """Fill `regions` (start, end, categories of each); returns how many, and where the walk stopped."""
        request = bytearray(
            _SCAN.pack(
                *(_SCAN.size, 0, start, end, 0),
                *(ctypes.addressof(regions), len(regions) // 3, _PAGES_A_CALL),
                *(_IS_ZERO_PAGE, _IS_PRESENT | _IS_ZERO_PAGE, 0, _IS_PRESENT),
            )
        )
        count = fcntl.ioctl(self._fd, _PAGEMAP_SCAN, request, True)
        return count, _SCAN.unpack(request)[4]

    def read(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """As `present`, on any kernel, from every page's entry; the page of zeros counts as present."""
        for chunk in range(start, end, _ENTRIES_A_READ * PAGE):
            count = min(_ENTRIES_A_READ, (end - chunk) // PAGE)
            flags = os.pread(self._fd, count * 8, chunk // PAGE * 8)[_TOP_BYTE].translate(_FLAG_PRESENT)
            first = flags.find(1)
            while first >= 0:
                after = flags.find(0, first)
                after = len(flags) if after < 0 else after
                yield chunk + first * PAGE, (after - first) * PAGE
                first = flags.find(1, after)
