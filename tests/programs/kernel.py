"""The few system calls the test programs make, in raw numbers; no code shared with numawise."""

from __future__ import annotations

import ctypes
import mmap
import os

NUMBERS = {
    "x86_64": {"mbind": 237, "move_pages": 279, "getcpu": 309},
    "aarch64": {"mbind": 235, "move_pages": 239, "getcpu": 168},
}[os.uname().machine]
PAGE = mmap.PAGESIZE
MPOL_BIND, MPOL_INTERLEAVE = 2, 3

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(name: str, *arguments: object) -> int:
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(NUMBERS[name]), *words)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def address_of(area: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(area))


def touch(address: int, length: int) -> None:
    ctypes.memset(address, 1, length)


def set_range_policy(address: int, length: int, mode: int, nodes: list[int]) -> None:
    mask = ctypes.c_ulong(sum(1 << node for node in nodes))
    call("mbind", address, length, mode, ctypes.byref(mask), 64, 0)


def nodes_of_pages(addresses: list[int]) -> list[int]:
    """The node of each page of this process, or a negative errno."""
    count = len(addresses)
    status = (ctypes.c_int * count)()
    call("move_pages", 0, count, (ctypes.c_void_p * count)(*addresses), None, status, 0)
    return list(status)


def cpu_and_node() -> tuple[int, int]:
    """The CPU this thread is on now, and its node."""
    cpu, node = ctypes.c_uint(), ctypes.c_uint()
    call("getcpu", ctypes.byref(cpu), ctypes.byref(node), None)
    return cpu.value, node.value
