"""Raw system calls through ctypes, of NUMA and of counting: no libnuma, no numactl binary.

Numbers differ by architecture and never change on one: x86-64 from `arch/x86/entry/syscalls/syscall_64.tbl`,
aarch64 from `include/uapi/asm-generic/unistd.h`. All functions raise OSError with the call's name in its message.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Sequence

_NUMBERS = {
    "x86_64": {
        "mbind": 237,
        "set_mempolicy": 238,
        "get_mempolicy": 239,
        "migrate_pages": 256,
        "move_pages": 279,
        "perf_event_open": 298,
    },
    "aarch64": {
        "mbind": 235,
        "get_mempolicy": 236,
        "set_mempolicy": 237,
        "migrate_pages": 238,
        "move_pages": 239,
        "perf_event_open": 241,
    },
}

MODES = {
    "default": 0,
    "preferred": 1,
    "bind": 2,
    "interleave": 3,
    "local": 4,
    "preferred-many": 5,
    "weighted-interleave": 6,
}
"""Memory policy modes, from `include/uapi/linux/mempolicy.h`."""

MPOL_F_NODE, MPOL_F_ADDR, MPOL_F_MEMS_ALLOWED = 1, 2, 4
MPOL_F_NUMA_BALANCING = 1 << 13  # a flag of the mode: Linux 5.12 for bind, 6.9 for preferred-many
MPOL_MF_STRICT, MPOL_MF_MOVE, MPOL_MF_MOVE_ALL = 1, 2, 4
_MODE_MASK = 0x0FFF  # the upper bits of the mode's word are flags (MPOL_F_STATIC_NODES and its kin)

_MAX_NODES = 1024  # CONFIG_NODES_SHIFT is at most 10
_WORD = 8 * ctypes.sizeof(ctypes.c_ulong)
_NodeMask = ctypes.c_ulong * (_MAX_NODES // _WORD)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def set_mempolicy(mode: str, nodes: Iterable[int] = (), *, flags: int = 0) -> None:
    """Set the calling thread's memory policy; children and exec inherit it (set_mempolicy(2)).

    flags: of the mode, such as MPOL_F_NUMA_BALANCING.
    """
    mask, maxnode = _node_mask(nodes)
    _call("set_mempolicy", MODES[mode] | flags, mask, maxnode)


def refused_policy_call() -> OSError | None:
    """What stands in the way of set_mempolicy here, or None: containers refuse it while get_mempolicy works.

    Asks for a mode that no kernel has. The kernel itself answers EINVAL and changes nothing; seccomp answers EPERM.
    """
    try:
        _call("set_mempolicy", _MODE_MASK, None, 0)
    except OSError as error:
        return None if error.errno == errno.EINVAL else error
    return None


def get_mempolicy() -> tuple[str, tuple[int, ...]]:
    """The calling thread's memory policy: mode and nodes."""
    mode, mask = ctypes.c_int(), _NodeMask()
    _call("get_mempolicy", ctypes.byref(mode), mask, _MAX_NODES + 1, 0, 0)
    return _mode_name(mode.value), _nodes_in(mask)


def get_mempolicy_at(address: int) -> tuple[str, tuple[int, ...]]:
    """The memory policy that governs the page at `address` of this process."""
    mode, mask = ctypes.c_int(), _NodeMask()
    _call("get_mempolicy", ctypes.byref(mode), mask, _MAX_NODES + 1, address, MPOL_F_ADDR)
    return _mode_name(mode.value), _nodes_in(mask)


def mempolicy_flags() -> int:
    """The flags of the calling thread's memory policy, such as MPOL_F_NUMA_BALANCING."""
    mode = ctypes.c_int()
    _call("get_mempolicy", ctypes.byref(mode), None, 0, 0, 0)
    return mode.value & ~_MODE_MASK


def next_interleave_node() -> int:
    """Where an interleaving policy of the calling thread puts its next page. OSError (EINVAL) under any other."""
    node = ctypes.c_int()
    _call("get_mempolicy", ctypes.byref(node), None, 0, 0, MPOL_F_NODE)
    return node.value


def mems_allowed() -> tuple[int, ...]:
    """The nodes this thread's cpuset lets it allocate on."""
    mask = _NodeMask()
    _call("get_mempolicy", None, mask, _MAX_NODES + 1, 0, MPOL_F_MEMS_ALLOWED)
    return _nodes_in(mask)


def mbind(address: int, length: int, mode: str, nodes: Iterable[int] = (), flags: int = 0) -> None:
    """Set the policy of a range (page-aligned address, length in bytes).

    Ignored without an error by mappings of regular files: look afterwards.
    """
    mask, maxnode = _node_mask(nodes)
    _call("mbind", address, length, MODES[mode], mask, maxnode, flags)


def move_pages(
    pid: int, addresses: Sequence[int], nodes: Sequence[int] | None = None, flags: int = 0
) -> list[int]:
    """The node of each page of `pid` (0: this process), or a negative errno; with `nodes`, move them there first.

    -ENOENT: not present (never touched, or swapped out); -EFAULT: nothing mapped there.
    """
    count = len(addresses)
    pages = (ctypes.c_void_p * count)(*addresses)
    status = (ctypes.c_int * count)(*([-errno.ENOENT] * count))
    targets = (ctypes.c_int * count)(*nodes) if nodes is not None else None
    _call("move_pages", pid, count, pages, targets, status, flags)
    return list(status)


def migrate_pages(pid: int, source: Iterable[int], target: Iterable[int]) -> int:
    """Move all pages of `pid` that are on `source` nodes to `target` nodes; returns how many could not move."""
    old, maxnode = _node_mask(source)
    new, _ = _node_mask(target)
    return _call("migrate_pages", pid, maxnode, old, new)


def perf_event_open(attributes: object, pid: int, cpu: int, group: int, flags: int) -> int:
    """A descriptor that counts (perf_event_open(2)); `attributes` points to a struct perf_event_attr."""
    return _call("perf_event_open", attributes, pid, cpu, group, flags)


def _call(name: str, *args: object) -> int:
    machine = os.uname().machine
    if machine not in _NUMBERS:
        raise OSError(errno.ENOSYS, f"{name}: numawise knows x86-64 and aarch64, this is {machine}")
    # A bare Python int would travel as 32 bits through the variable arguments of syscall().
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    ctypes.set_errno(0)
    result: int = _libc.syscall(ctypes.c_long(_NUMBERS[machine][name]), *words)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def _node_mask(nodes: Iterable[int]) -> tuple[ctypes.Array[ctypes.c_ulong] | None, int]:
    ids = list(nodes)
    if not ids:
        return None, 0
    mask = _NodeMask()
    for node in ids:
        if not 0 <= node < _MAX_NODES:
            raise OSError(errno.EINVAL, f"node {node} cannot be named to the kernel (0-{_MAX_NODES - 1})")
        mask[node // _WORD] |= 1 << node % _WORD
    # One more than the number of bits: the kernel drops the last (mm/mempolicy.c, get_nodes).
    return mask, _MAX_NODES + 1


def _nodes_in(mask: ctypes.Array[ctypes.c_ulong]) -> tuple[int, ...]:
    return tuple(w * _WORD + b for w, word in enumerate(mask) for b in range(_WORD) if word >> b & 1)


def _mode_name(mode: int) -> str:
    bare = mode & _MODE_MASK
    return next((name for name, number in MODES.items() if number == bare), f"mode {bare}")
