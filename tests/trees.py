"""Machines as files: `/sys` and `/proc` trees as kernels write them, in a folder or a tar archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from numawise.linux.cpuset import CPUSet

CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"


class Tree:
    """Files by path, and symbolic links. Change `files` and `links` as the test needs, then write it out."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def folder(self, path: Path) -> str:
        """Write the tree as a folder."""
        for name, text in self.files.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for name, target in self.links.items():
            link = path / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        return str(path)

    def archive(self, path: Path, *, top: str = "./", form: int = tarfile.GNU_FORMAT) -> str:
        """Write the tree as a tar archive, gzipped if the name says so."""
        with tarfile.open(path, "w:gz" if path.name.endswith(("gz", "tgz")) else "w", format=form) as tar:
            for name, text in self.files.items():
                member = tarfile.TarInfo(top + name)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
            for name, target in self.links.items():
                member = tarfile.TarInfo(top + name)
                member.type, member.linkname = tarfile.SYMTYPE, target
                tar.addfile(member)
        return str(path)

    def node(
        self, number: int, cpus: Iterable[int], *, memory_kib: int = 1 << 20, free_kib: int = 1 << 19
    ) -> None:
        """One node directory."""
        folder = f"{NODE}/node{number}"
        self.files[f"{folder}/cpulist"] = f"{CPUSet(cpus)}\n"
        self.files[f"{folder}/meminfo"] = (
            f"Node {number} MemTotal:       {memory_kib} kB\nNode {number} MemFree:        {free_kib} kB\n"
        )

    def distances(self, rows: dict[int, Iterable[int]]) -> None:
        """The SLIT, row by row."""
        for number, row in rows.items():
            self.files[f"{NODE}/node{number}/distance"] = " ".join(map(str, row)) + "\n"

    def hmat(
        self, number: int, initiators: Iterable[int], *, latency: int, bandwidth: int, level: int = 0
    ) -> None:
        """What the firmware claims for one node's memory."""
        folder = f"{NODE}/node{number}/access{level}/initiators"
        for name, value in (("latency", latency), ("bandwidth", bandwidth)):
            self.files[f"{folder}/read_{name}"] = self.files[f"{folder}/write_{name}"] = f"{value}\n"
        for initiator in initiators:
            self.links[f"{folder}/node{initiator}"] = f"../../../node{initiator}"

    def device(
        self, address: str, class_code: int, vendor: int, device: int, node: int, **files: str
    ) -> None:
        """One PCI function. `files`: others of its folder, `/` written as two underscores."""
        folder = f"sys/bus/pci/devices/{address}"
        self.files[f"{folder}/class"] = f"0x{class_code:06x}\n"
        self.files[f"{folder}/vendor"] = f"0x{vendor:04x}\n"
        self.files[f"{folder}/device"] = f"0x{device:04x}\n"
        self.files[f"{folder}/numa_node"] = f"{node}\n"
        for name, text in files.items():
            self.files[f"{folder}/{name.replace('__', '/')}"] = text


def machine(
    *,
    nodes: int = 2,
    cores_per_node: int = 4,
    threads: int = 2,
    l3_cores: int | None = None,
    node_ids: tuple[int, ...] = (),
) -> Tree:
    """A healthy machine, a socket a node, numbered as usual: first threads of all cores, then siblings."""
    tree, ids = Tree(), node_ids or tuple(range(nodes))
    cores = nodes * cores_per_node
    l3_cores = l3_cores or cores_per_node
    for core in range(cores):
        siblings = CPUSet(core + cores * t for t in range(threads))
        first = core // l3_cores * l3_cores
        l3 = CPUSet(c + cores * t for c in range(first, first + l3_cores) for t in range(threads))
        package = core // cores_per_node
        package_first = package * cores_per_node
        package_cpus = CPUSet(
            c + cores * t
            for c in range(package_first, package_first + cores_per_node)
            for t in range(threads)
        )
        for cpu in siblings:
            topology, cache = f"{CPU}/cpu{cpu}/topology", f"{CPU}/cpu{cpu}/cache/index3"
            tree.files[f"{topology}/core_id"] = f"{core % cores_per_node}\n"
            tree.files[f"{topology}/physical_package_id"] = f"{package}\n"
            tree.files[f"{topology}/thread_siblings_list"] = f"{siblings}\n"
            tree.files[f"{topology}/core_siblings_list"] = f"{package_cpus}\n"
            tree.files[f"{cache}/level"] = "3\n"
            tree.files[f"{cache}/type"] = "Unified\n"
            tree.files[f"{cache}/size"] = "32768K\n"
            tree.files[f"{cache}/shared_cpu_list"] = f"{l3}\n"
    for name in ("online", "present", "possible"):
        tree.files[f"{CPU}/{name}"] = f"0-{cores * threads - 1}\n"
    for i, number in enumerate(ids):
        own = range(i * cores_per_node, (i + 1) * cores_per_node)
        tree.node(number, [c + cores * t for c in own for t in range(threads)])
    tree.files[f"{NODE}/online"] = f"{CPUSet(ids)}\n"
    tree.distances({a: [10 if a == b else 21 for b in ids] for a in ids})
    tree.files["proc/meminfo"] = f"MemTotal: {nodes << 20} kB\nMemFree: {nodes << 19} kB\n"
    tree.files["proc/cpuinfo"] = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Made Up CPU\n"
    return tree
