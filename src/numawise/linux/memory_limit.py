"""How much more memory the control groups of this process let it have (cgroups(7), memory controller)."""

from __future__ import annotations

import os

from numawise.linux.procfs import read_text

# File names of version 2 and 1: the limit, what is used, and in `memory.stat` the cache that is given up first.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_NO_LIMIT = 1 << 60  # version 1 writes a number near 2**63 for "none"


def room_kib(root: str = "") -> int | None:
    """KiB until the nearest limit of the process's own group or one above it; None: no limit is known.

    Page cache that the kernel gives up when the limit is near counts as room. What cannot be read sets no limit here;
    the kernel's own answer still stands when the memory is asked for.

    Args:
        root: folder that stands for `/`, for trees of other machines.
    """
    rooms = [_room(folder, names) for folder, names in _groups(root)]
    known = [room for room in rooms if room is not None]
    return max(0, min(known)) if known else None


def _groups(root: str) -> list[tuple[str, tuple[str, str, str]]]:
    """The folder of the process's group and of each above it, in every mounted hierarchy with a memory controller."""
    found: list[tuple[str, tuple[str, str, str]]] = []
    mounts, own = _text(f"{root}/proc/mounts"), _own_paths(_text(f"{root}/proc/self/cgroup"))
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point, kind, options = words[1], words[2], words[3].split(",")
        if kind == "cgroup2":
            path, names = own.get("", "/"), _V2
        elif kind == "cgroup" and "memory" in options:
            path, names = own.get("memory", "/"), _V1
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        found += [
            ("/".join((f"{root}{point}", *parts[:depth])), names) for depth in range(len(parts), -1, -1)
        ]
    return found


def _own_paths(cgroup: str) -> dict[str, str]:
    paths: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def _room(folder: str, names: tuple[str, str, str]) -> int | None:
    limit_file, used_file, cache = names
    limit, used = (_text(f"{folder}/{name}").strip() for name in (limit_file, used_file))
    if not limit.isdigit() or int(limit) >= _NO_LIMIT or not used.isdigit():
        return None
    stat = dict(line.split(" ", 1) for line in _text(f"{folder}/memory.stat").splitlines() if " " in line)
    return (int(limit) - int(used) + int(stat.get(cache, "0"))) >> 10


def _text(path: str) -> str:
    try:
        return read_text(os.fspath(path))
    except OSError:
        return ""  # no such controller or group here: it limits nothing that we could know of
