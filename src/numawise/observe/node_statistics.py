"""Figures of each node as the kernel counts them: memory, allocation counters, and the memory of processes.

What numastat shows. All amounts are in MB of 2^20 bytes, whatever unit the kernel's file has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from numawise.linux import procfs
from numawise.linux.node_figures import read_counters, read_meminfo
from numawise.linux.numa_maps import NumaMapping, read_numa_maps

_KIB_PER_MB = 1024


class Row(NamedTuple):
    """One figure of every node."""

    label: str
    values: tuple[float, ...]
    """By node, in the order of the table's nodes."""

    @property
    def total(self) -> float:
        """Over all nodes."""
        return sum(self.values)


class Table(NamedTuple):
    """Figures by node."""

    title: str
    nodes: tuple[int, ...]
    rows: tuple[Row, ...]
    corner: str = ""
    """What stands above the labels."""
    sum_row: Row | None = None
    """The last line, where adding up the rows makes sense."""
    min_label: int = 15
    """Width of the labels where they are shorter."""


def counter_table(nodes: Sequence[int]) -> Table:
    """The counters as amounts of memory. Raises OSError."""
    page_mb = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    files = [read_counters(node) for node in nodes]
    rows = (
        Row(_title_case(name), tuple(counters.get(name, 0) * page_mb for counters in files))
        for name in _names(files)
    )
    return Table("Per-node numastat info (in MBs):", tuple(nodes), tuple(rows))


def meminfo_table(nodes: Sequence[int]) -> Table:
    """The `meminfo` of every node; a line that some node lacks counts as 0 there. Raises OSError."""
    files = [read_meminfo(node) for node in nodes]
    rows = (Row(name, tuple(file.get(name, 0.0) for file in files)) for name in _names(files))
    return Table("Per-node system memory usage (in MBs):", tuple(nodes), tuple(rows))


def process_table(pid: int, nodes: Sequence[int]) -> Table:
    """Resident memory of one process by kind, from its `numa_maps`. Raises OSError (see `procfs.GONE`).

    Pages count with the size that the kernel gives for their own mapping, so huge pages of any size come out right.
    """
    rows = rows_by_kind(read_numa_maps(pid), nodes)
    title = f"Per-node process memory usage (in MBs) for {process_label(pid, 'PID {} ({})')}"
    return Table(title, tuple(nodes), rows, sum_row=_sum(rows, len(nodes)), min_label=16)


def rows_by_kind(mappings: Iterable[NumaMapping], nodes: Sequence[int]) -> tuple[Row, ...]:
    """A process's mappings added up: memory of hugetlbfs, the heap, the stacks, and all else ("Private")."""
    amounts = {kind: dict.fromkeys(nodes, 0.0) for kind in ("Huge", "Heap", "Stack", "Private")}
    for mapping in mappings:
        kind = "Huge" if mapping.huge else (mapping.kind or "private").capitalize()
        for node, pages in mapping.pages.items():
            amounts[kind][node] = amounts[kind].get(node, 0.0) + pages * mapping.page_kib / _KIB_PER_MB
    return tuple(Row(kind, tuple(by_node[node] for node in nodes)) for kind, by_node in amounts.items())


def processes_table(tables: dict[int, Table]) -> Table:
    """The last lines of several processes' tables, one under the other."""
    nodes = next(iter(tables.values())).nodes
    rows = tuple(Row(process_label(pid), _sum(tables[pid].rows, len(nodes)).values) for pid in sorted(tables))
    return Table(
        "Per-node process memory usage (in MBs)", nodes, rows, "PID", _sum(rows, len(nodes)), min_label=16
    )


def process_label(pid: int, form: str = "{} ({})") -> str:
    """Such as `12 (bash)`; a process that has just ended is nameless."""
    try:
        name = procfs.read_stat(pid).name
    except procfs.GONE:
        name = "?"
    return form.format(pid, name)


def processes_with(text: str) -> list[int]:
    """The processes whose command line, or name where there is none, contains `text`; never this one."""
    found = []
    for pid in procfs.processes():
        try:
            line = procfs.read_text(f"/proc/{pid}/cmdline").replace("\0", " ") or procfs.read_stat(pid).name
        except OSError:  # it has ended, or hides its command line (proc(5), hidepid)
            continue
        if text in line and pid != os.getpid():
            found.append(pid)
    return sorted(found)


def _sum(rows: Iterable[Row], count: int) -> Row:
    kept = [row.values for row in rows]
    return Row("Total", tuple(sum(values[i] for values in kept) for i in range(count)))


def _title_case(name: str) -> str:
    return "_".join(part.capitalize() for part in name.split("_"))


def _names(files: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for file in files for name in file))
