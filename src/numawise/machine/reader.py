"""`read`: the whole machine as one value, from the live system, a folder or an archive by one code path."""

from __future__ import annotations

import os

import msgspec

from numawise.errors import SnapshotError
from numawise.linux.cpuset import CPUSet
from numawise.linux.sysfs import chosen, field, parse_int
from numawise.machine.allowed import read_allowed
from numawise.machine.cpus import read_cpus
from numawise.machine.devices import read_devices
from numawise.machine.nodes import read_nodes
from numawise.machine.root import Root, open_root
from numawise.machine.saved import load, looks_like_json, refuse_newer
from numawise.machine.topology import Topology

FACTS = "numawise.json"
"""In a saved machine: what no file of /sys or /proc says."""
FACTS_VERSION = 1
LIMITS = ("cpu_quota", "memory_limit_kib", "memory_room_kib")
"""Fields of `Allowed` that only control groups say."""


class Facts(msgspec.Struct):
    """The content of `numawise.json`."""

    version: int
    architecture: str = ""
    page_size_kib: int = 4
    cpu_quota: float | None = None
    memory_limit_kib: int | None = None
    memory_room_kib: int | None = None
    """These three as in `Allowed`: the control groups that say so are not in a saved machine."""


def read(root: str | os.PathLike[str] = "/", *, devices: bool = True) -> Topology:
    """What the machine behind `root` is, and what this process (or the one captured) may use of it.

    `root` is `/`, a folder or a `.tar.gz` with a copy of a machine's `/sys` and `/proc`, or a Topology as
    JSON. `devices=False` leaves the PCI devices out, which takes most of the time on a machine with many.

    Raises SnapshotError, naming the file, when nothing can be read there as a machine. What is merely strange
    (nodes that contradict each other, missing distances) is resolved, and told in `notes`.

    >>> read().cpus == read("/").cpus
    True
    """
    if looks_like_json(root):
        return load(root)
    return read_tree(open_root(root), devices=devices)


def read_tree(root: Root, *, devices: bool = True) -> Topology:
    """`read` for a tree that is already open."""
    facts = _facts(root)
    cpus = read_cpus(root)
    memory = read_nodes(root, cpus.online)
    nodes = tuple(node.id for node in memory.nodes)
    allowed, allowed_notes = read_allowed(root, cpus.online, nodes, one_for_all=memory.one_for_all)
    kept = {name: getattr(facts, name) for name in LIMITS if getattr(facts, name) is not None}
    allowed = msgspec.structs.replace(allowed, **kept)
    found, device_notes = (
        read_devices(root, memory.nodes, one_for_all=memory.one_for_all) if devices else ((), ())
    )
    return Topology(
        cpus=CPUSet(cpus.online),
        cores=len(cpus.cores),
        nodes=memory.nodes,
        distances=memory.distances,
        allowed=allowed,
        devices=found,
        smt_siblings=cpus.cores,
        sockets=cpus.sockets,
        l3_domains=cpus.l3_domains,
        cpu_kinds=cpus.kinds,
        offline_cpus=CPUSet(cpus.offline),
        page_size_kib=facts.page_size_kib,
        transparent_huge_pages=chosen(root.read("sys/kernel/mm/transparent_hugepage/enabled")),
        weighted_interleave="weighted_interleave"
        in root.names("sys/kernel/mm/mempolicy", "weighted_interleave"),
        architecture=facts.architecture,
        model_name=_model_name(root),
        notes=(*memory.notes, *cpus.notes, *allowed_notes, *device_notes, *_escapes(root)),
    )


def _facts(root: Root) -> Facts:
    if root.live:
        return Facts(FACTS_VERSION, os.uname().machine, os.sysconf("SC_PAGESIZE") >> 10)
    saved = root.read(FACTS)
    if saved is not None:
        try:
            facts = msgspec.json.decode(saved, type=Facts)
        except msgspec.DecodeError as error:
            raise SnapshotError(f"{root.name}: {FACTS}: {error}") from None
        refuse_newer(root.name, facts.version, FACTS_VERSION)
        return facts
    gathered = root.read("proc/hwloc-nofile-info")  # written by hwloc-gather-topology
    page_size = parse_int(field(gathered, "PageSize")) or 4096
    return Facts(FACTS_VERSION, field(gathered, "Architecture") or _guess_architecture(root), page_size >> 10)


def _guess_architecture(root: Root) -> str:
    said = root.read("proc/sys/kernel/arch")  # Linux 6.1
    if said:
        return said
    info = root.read("proc/cpuinfo", 4096)
    if field(info, "vendor_id") in ("GenuineIntel", "AuthenticAMD", "HygonGenuine"):
        return "x86_64"
    return "aarch64" if field(info, "CPU architecture") == "8" else ""


def _model_name(root: Root) -> str:
    # The head is enough, and cheap: the kernel formats no more CPUs than are asked for.
    info = root.read("proc/cpuinfo", 4096)
    return field(info, "model name") or field(info, "cpu") or field(info, "Processor") or ""


def _escapes(root: Root) -> tuple[str, ...]:
    links = sorted(set(root.escapes))
    return (
        (f"{len(links)} links lead out of the tree and were not followed, among them {links[0]}",)
        if links
        else ()
    )
