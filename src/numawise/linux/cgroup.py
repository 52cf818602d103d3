"""Where a process's limits are written down: cgroup v1, cgroup v2, or the older cpuset file system.

Parsers of `/proc/self/cgroup`, `/proc/self/cpuset` and `/proc/mounts` (cgroups(7), cpuset(7)). The files they
point to are read by whoever holds the root of the file system.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CPUSET_FILES = {
    # Effective sets first: the plain files may be empty (inherit) or name CPUs that have gone offline since.
    "cgroup2": ("cpuset.{}.effective",),
    "cgroup": ("cpuset.effective_{}", "cpuset.{}", "effective_{}", "{}"),
    "cpuset": ("effective_{}", "{}", "cpuset.{}"),
}


def cpuset_mounts(mounts: str) -> list[tuple[str, str]]:
    """File system type and mount point of every mounted hierarchy that can hold a cpuset.

    >>> cpuset_mounts("none /dev/cpuset cpuset rw 0 0")
    [('cpuset', '/dev/cpuset')]
    """
    found = []
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point, kind, options = words[1], words[2], words[3].split(",")
        if kind in ("cpuset", "cgroup2") or (kind == "cgroup" and "cpuset" in options):
            found.append((kind, _unescape(point)))
    return found


def own_paths(cgroup: str) -> dict[str, str]:
    r"""The process's path in the hierarchies that matter: `cgroup2` and, on version 1, `cpuset`.

    >>> own_paths("2:cpuset,cpu:/jobs/7\n0::/user.slice")
    {'cpuset': '/jobs/7', 'cgroup2': '/user.slice'}
    """
    paths = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths["cgroup2"] = path
        elif "cpuset" in controllers.split(","):
            paths["cpuset"] = path
    return paths


def candidate_files(mounts: str, cgroup: str | None, cpuset: str | None, what: str) -> Iterator[list[str]]:
    """Paths that may hold this process's allowed `what` (`cpus` or `mems`), one list per mounted hierarchy.

    Within a list the first file that exists and is not empty decides: the process's own group, then its
    ancestors, since a group where the controller is off, or a group that an inner namespace hides, obeys the
    one above.
    """
    paths = own_paths(cgroup or "")
    for kind, point in cpuset_mounts(mounts):
        key = "cgroup2" if kind == "cgroup2" else "cpuset"
        # Version 2 is listed for every process even where the cpuset controller is still on version 1; its
        # files are then absent, and the list is exhausted without harm.
        own = paths.get(key) or cpuset
        if own is None:
            continue
        yield [
            f"{folder}/{name.format(what)}" for folder in _upwards(point, own) for name in _CPUSET_FILES[kind]
        ]


def groups(mounts: str, cgroup: str, controller: str) -> list[tuple[str, list[str]]]:
    """For each mounted hierarchy that may hold `controller`: its file system type, and the folders of the process's
    own group and of every one above it, the own first. A limit at any of these levels holds.

    Inside a container the upper part of the path is often hidden: the container's own group is mounted as the top.
    Such folders are then not there, and the top is.

    >>> groups("cgroup /cg/cpu cgroup rw,cpu,cpuacct 0 0", "3:cpu,cpuacct:/a/b", "cpu")
    [('cgroup', ['/cg/cpu/a/b', '/cg/cpu/a', '/cg/cpu'])]
    """
    paths: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths.update(dict.fromkeys(controllers.split(","), path))
    found = []
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point, kind, options = _unescape(words[1]), words[2], words[3].split(",")
        if kind == "cgroup2":
            found.append((kind, _upwards(point, paths.get("", "/"))))
        elif kind == "cgroup" and controller in options:
            found.append((kind, _upwards(point, paths.get(controller, "/"))))
    return found


def _upwards(point: str, path: str) -> list[str]:
    """The folder of a group under its mount point, then those above it up to the mount point itself."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return ["/".join((point.rstrip("/"), *parts[:depth])) for depth in range(len(parts), -1, -1)]


def _unescape(word: str) -> str:
    r"""Undo the octal escapes of /proc/mounts (a blank is written \040)."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), word)
