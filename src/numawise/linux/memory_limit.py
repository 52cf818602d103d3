"""How much more memory the control groups of this process let it have (cgroups(7), memory controller)."""

from __future__ import annotations

from typing import NamedTuple

from numawise.linux.cgroup import groups
from numawise.linux.cpu_quota import Read
from numawise.linux.procfs import read_text

# File names of version 2 and 1: the limit, what is used, and in `memory.stat` the cache that is given up first.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_NO_LIMIT = 1 << 60  # version 1 writes a number near 2**63 for "none"


class Limit(NamedTuple):
    """The limit that leaves the least room, in KiB."""

    limit_kib: int
    room_kib: int
    """Until it is reached. Page cache that the kernel gives up when the limit is near counts as room."""


def memory_limit(read: Read) -> Limit | None:
    """The nearest limit of the process's own group or one above it; None: no limit is known.

    What cannot be read sets no limit here; the kernel's own answer still stands when the memory is asked for.
    """
    mounts, own = read("/proc/mounts") or read("/proc/self/mounts"), read("/proc/self/cgroup")
    limits = [
        _limit(read, folder, _V2 if kind == "cgroup2" else _V1)
        for kind, folders in groups(mounts or "", own or "", "memory")
        for folder in folders
    ]
    return min((limit for limit in limits if limit), key=lambda limit: limit.room_kib, default=None)


def room_kib(root: str = "") -> int | None:
    """KiB until the nearest limit (`memory_limit`); None: no limit is known.

    Args:
        root: folder that stands for `/`, for trees of other machines.
    """
    found = memory_limit(lambda path: _text(root + path))
    return found.room_kib if found else None


def _limit(read: Read, folder: str, names: tuple[str, str, str]) -> Limit | None:
    limit_file, used_file, cache = names
    limit, used = ((read(f"{folder}/{name}") or "").strip() for name in (limit_file, used_file))
    if not limit.isdecimal() or int(limit) >= _NO_LIMIT or not used.isdecimal():
        return None
    lines = (read(f"{folder}/memory.stat") or "").splitlines()
    given_up = next((line.split()[1] for line in lines if line.startswith(f"{cache} ")), "0")
    return Limit(int(limit) >> 10, max(0, int(limit) - int(used) + int(given_up)) >> 10)


def _text(path: str) -> str | None:
    try:
        return read_text(path)
    except OSError:
        return None  # no such controller or group here: it limits nothing that we could know of
