"""CPUs, cores, sockets, L3 domains and core kinds, from `/sys/devices/system/cpu`.

What is shared is read once per core, not once per CPU: on 1 024 CPUs that is the difference one notices.
Sources: Documentation/admin-guide/cputopology.rst and Documentation/ABI/testing/sysfs-devices-system-cpu in
the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from numawise.errors import SnapshotError
from numawise.linux.cpuset import CPUSet
from numawise.linux.sysfs import parse_int, parse_list, parse_map, parse_size_kib, processor_ids
from numawise.machine.root import Root
from numawise.machine.topology import CPUKind, L3Domain, Socket

CPU = "sys/devices/system/cpu"

# Cores of one kind differ a little (favoured cores clock up to 5% higher), kinds differ a lot (24% and more
# on every hybrid processor sold so far).
_KIND_RATIO = 1.15

_CoreId = tuple[str, str]


class Processors(NamedTuple):
    """All that is known about CPUs, before nodes."""

    online: frozenset[int]
    offline: frozenset[int]
    cores: tuple[CPUSet, ...]
    sockets: tuple[Socket, ...]
    l3_domains: tuple[L3Domain, ...]
    kinds: tuple[CPUKind, ...]
    notes: tuple[str, ...]


def read_cpus(root: Root) -> Processors:
    """Everything about CPUs in one pass. Raises SnapshotError when the tree names no CPU at all."""
    online, offline = _online(root)
    cores = _cores(root, online)
    firsts = [min(core) for core in cores]
    return Processors(
        online=online,
        offline=offline,
        cores=tuple(CPUSet(core) for core in cores),
        sockets=_sockets(root, cores),
        l3_domains=_l3_domains(root, firsts, online),
        kinds=_kinds(root, cores, online),
        notes=_doubts(cores, online),
    )


class CPUFile:
    """A set of CPUs that kernels have spelled in several ways; the spelling that last answered is tried
    first.
    """

    def __init__(self, root: Root, *, lists: tuple[str, ...], maps: tuple[str, ...]) -> None:
        self._root = root
        self._forms = [*((name, parse_list) for name in lists), *((name, parse_map) for name in maps)]

    def read(self, folder: str) -> frozenset[int]:
        """The CPUs that `folder` names; empty when no spelling is there."""
        for i, (name, parse) in enumerate(self._forms):
            ids = parse(self._root.read(f"{folder}/{name}"))
            if ids:
                if i:
                    self._forms.insert(0, self._forms.pop(i))
                return ids
        return frozenset()


def _online(root: Root) -> tuple[frozenset[int], frozenset[int]]:
    ids = numbered(root.names(CPU, "cpu"), "cpu")
    online = parse_list(root.read(f"{CPU}/online"))
    if not online:
        online = _online_one_by_one(root, ids)
    if not online:
        blocks = processor_ids(root.read("proc/cpuinfo"))
        online = frozenset(int(block["processor"]) for block in blocks)
    if not online:
        online = frozenset(
            int(n) for n in re.findall(r"^cpu(\d+) ", root.read("proc/stat") or "", re.MULTILINE)
        )
    if not online:
        raise SnapshotError(
            f"{root.name}: names no CPU, neither in {CPU} nor in proc/cpuinfo{_escaped(root)}"
        )
    present = parse_list(root.read(f"{CPU}/present")) or frozenset(ids)
    return online, present - online


def _online_one_by_one(root: Root, ids: list[int]) -> frozenset[int]:
    """For kernels before 2.6.26, which have no `online` list. CPU 0 often has no switch of its own."""
    up = [i for i in ids if root.read(f"{CPU}/cpu{i}/online") != "0"]
    # An offline CPU has no topology folder; where no CPU has one, its absence says nothing.
    known = [i for i in up if root.names(f"{CPU}/cpu{i}/topology")]
    return frozenset(known or up)


def _cores(root: Root, online: frozenset[int]) -> list[frozenset[int]]:
    siblings = CPUFile(
        root, lists=("thread_siblings_list", "core_cpus_list"), maps=("thread_siblings", "core_cpus")
    )
    free, cores = set(online), []
    told = False
    for cpu in sorted(online):
        if cpu in free:
            named = siblings.read(f"{CPU}/cpu{cpu}/topology")
            told = told or bool(named)
            core = (named & free) | {cpu}
            free -= core
            cores.append(core)
    if not told:
        return _cores_by_id(_ids_of_sysfs(root, online) or _ids_of_cpuinfo(root, online)) or cores
    # AMD's compute units (Bulldozer and its kin) are called siblings by the kernel, and are two cores with an
    # id each.
    pair = next((core for core in cores if len(core) > 1), None)
    if pair and len({root.read(f"{CPU}/cpu{cpu}/topology/core_id") for cpu in pair}) > 1:
        ids = _ids_of_sysfs(root, online)
        return sorted((part for core in cores for part in _split(core, ids)), key=min)
    return cores


def _split(core: frozenset[int], ids: dict[int, _CoreId]) -> list[frozenset[int]]:
    return _cores_by_id({cpu: ids[cpu] for cpu in core if cpu in ids}) or [core]


def _cores_by_id(ids: dict[int, _CoreId]) -> list[frozenset[int]]:
    """CPUs grouped by package and core id: core ids alone repeat from package to package."""
    cores: dict[_CoreId, set[int]] = {}
    for cpu, key in ids.items():
        cores.setdefault(key, set()).add(cpu)
    return sorted((frozenset(core) for core in cores.values()), key=min)


def _ids_of_sysfs(root: Root, online: frozenset[int]) -> dict[int, _CoreId]:
    ids = {}
    for cpu in online:
        core = root.read(f"{CPU}/cpu{cpu}/topology/core_id")
        if core is None or parse_int(core) in (None, -1):
            return {}
        ids[cpu] = (root.read(f"{CPU}/cpu{cpu}/topology/physical_package_id") or "", core)
    return ids


def _ids_of_cpuinfo(root: Root, online: frozenset[int]) -> dict[int, _CoreId]:
    """For trees whose /sys has no topology."""
    blocks = processor_ids(root.read("proc/cpuinfo"))
    ids = {int(b["processor"]): (b.get("physical id", ""), b["core id"]) for b in blocks if "core id" in b}
    return ids if ids.keys() == online else {}


def _sockets(root: Root, cores: list[frozenset[int]]) -> tuple[Socket, ...]:
    """By package id, not by the list of siblings, which some firmware fills per node (cluster on die)."""
    by_id: dict[tuple[int, ...], set[int]] = {}
    first = f"{CPU}/cpu{min(cores[0])}/topology"
    # s390 counts its sockets anew in every book, and its books in every drawer.
    above = [name for name in ("drawer_id", "book_id") if root.read(f"{first}/{name}") is not None]
    for core in cores:
        folder = f"{CPU}/cpu{min(core)}/topology"
        number = parse_int(root.read(f"{folder}/physical_package_id"))
        if number is not None and number >= 0:  # -1: the firmware does not say
            outer = (parse_int(root.read(f"{folder}/{name}")) or 0 for name in above)
            by_id.setdefault((*outer, number), set()).update(core)
    return tuple(Socket(id=key[-1], cpus=CPUSet(cpus)) for key, cpus in sorted(by_id.items()))


def _l3_domains(root: Root, firsts: list[int], online: frozenset[int]) -> tuple[L3Domain, ...]:
    shared = CPUFile(root, lists=("shared_cpu_list",), maps=("shared_cpu_map",))
    covered: set[int] = set()
    domains = []
    for cpu in firsts:
        if cpu in covered:
            continue
        folder = _l3_folder(root, f"{CPU}/cpu{cpu}/cache")
        cpus = (shared.read(folder) & online) - covered if folder else frozenset()
        if folder and cpu in cpus:
            covered |= cpus
            domains.append(L3Domain(cpus=CPUSet(cpus), size_kib=parse_size_kib(root.read(f"{folder}/size"))))
    return tuple(domains)


def _l3_folder(root: Root, cache: str) -> str | None:
    if root.read(f"{cache}/index3/level") == "3":  # where it is on most machines: spares the listing
        return f"{cache}/index3"
    for index in root.names(cache, "index"):
        if root.read(f"{cache}/{index}/level") == "3" and root.read(f"{cache}/{index}/type") != "Instruction":
            return f"{cache}/{index}"
    return None


def _kinds(root: Root, cores: list[frozenset[int]], online: frozenset[int]) -> tuple[CPUKind, ...]:
    """Kinds of cores, fastest first; empty when all are alike.

    Intel's hybrid processors have one performance counter unit a kind; elsewhere the scheduler's
    `cpu_capacity` (Arm) or the top frequency tells. The base frequency comes last: speed-select servers raise
    it on some of their cores, which are all of one kind.
    """
    units = (("performance", "cpu_core"), ("efficiency", "cpu_atom"), ("low-power", "cpu_lowpower"))
    by_unit = [(name, parse_list(root.read(f"sys/devices/{unit}/cpus"))) for name, unit in units]
    named = [CPUKind(name=name, cpus=CPUSet(ids & online)) for name, ids in by_unit if ids and ids & online]
    if len(named) > 1:
        return tuple(named)
    for file in ("cpu_capacity", "cpufreq/cpuinfo_max_freq", "cpufreq/base_frequency"):
        rates: dict[int, set[int]] = {}
        for core in cores:
            rate = parse_int(root.read(f"{CPU}/cpu{min(core)}/{file}"))
            if rate is None or rate <= 0:
                break
            rates.setdefault(rate, set()).update(core)
        else:
            return _name_kinds(_by_rate(rates))
    return ()


def _by_rate(rates: dict[int, set[int]]) -> list[set[int]]:
    groups: list[set[int]] = []
    last = 0.0
    for rate in sorted(rates, reverse=True):
        if groups and last / rate < _KIND_RATIO:
            groups[-1] |= rates[rate]
        else:
            groups.append(set(rates[rate]))
        last = rate
    return groups


def _name_kinds(groups: list[set[int]]) -> tuple[CPUKind, ...]:
    if len(groups) < 2:
        return ()
    middle = (
        [f"middle-{i}" for i in range(1, len(groups) - 1)]
        if len(groups) > 3
        else ["middle"] * (len(groups) - 2)
    )
    names = ["performance", *middle, "efficiency"]
    return tuple(CPUKind(name=name, cpus=CPUSet(cpus)) for name, cpus in zip(names, groups, strict=True))


def _doubts(cores: list[frozenset[int]], online: frozenset[int]) -> tuple[str, ...]:
    if len(online) > 8 and len(cores) == 1:
        return (f"all {len(online)} CPUs are said to be threads of one core",)
    return ()


def numbered(names: Iterable[str], stem: str) -> list[int]:
    """The numbers of `stem0`, `stem12`... among names, ascending; other names are passed over."""
    tails = (name[len(stem) :] for name in names if name.startswith(stem))
    return sorted(int(tail) for tail in tails if tail.isascii() and tail.isdigit() and len(tail) < 7)


def _escaped(root: Root) -> str:
    return f" (links out of the tree are not followed: {root.escapes[0]})" if root.escapes else ""
