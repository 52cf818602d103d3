"""One figure as one line, for telling it as it comes."""

from __future__ import annotations

from numawise.linux.cpuset import format_list
from numawise.measure.values import LoadedPoint, Reading

_NS = ("latency", "pages", "core_to_core", "loaded")


def line(part: str, reading: Reading | LoadedPoint) -> str:
    """Such as `latency       node 0 from node 1: 141 ns`.

    >>> from numawise.linux.cpuset import CPUSet
    >>> line("smt", Reading(CPUSet([0, 1]), 0, (0,), None, "no room", "read"))
    'smt           node 0 from node 0, 2 CPUs, read: none, no room'
    """
    drawn = ""
    if isinstance(reading, LoadedPoint):
        drawn, reading = f" while {reading.gb_per_s:.1f} GB/s are drawn", reading.latency
    if reading.memory:
        cpus = (
            f"node {reading.cpu_node}"
            if reading.cpu_node is not None
            else f"CPUs {format_list(reading.cpus)}"
        )
        where = f"node {format_list(reading.memory)} from {cpus}"
    else:
        where = f"CPUs {format_list(reading.cpus)}"
    if part not in _NS:
        count = len(reading.cpus)
        where += f", {count} CPU{'s' if count != 1 else ''}, {reading.kernel}"
    elif part == "pages" and reading.page_kib:
        where += f", pages of {reading.page_kib} KiB"
    figure = reading.figure
    if figure is None:
        return f"{part:<12}  {where}: none, {reading.why}"
    unit = "ns" if part in _NS else "GB/s"
    return f"{part:<12}  {where}: {figure.median:.4g} {unit}{drawn}"
