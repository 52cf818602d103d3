"""Measurements in a terminal of 80 columns: what is missing first, then the matrices and what explains them."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from numawise.linux.cpuset import format_list
from numawise.machine.topology import Topology
from numawise.measure.claims import Claim
from numawise.measure.values import Measurements, Reading
from numawise.report.measurements_claims import groups, sentence
from numawise.report.measurements_devices import device_matrices, link_matrix
from numawise.report.measurements_tables import GAP, WIDTH, flow, full, matrix_lines, with_mad, wrapped
from numawise.report.measurements_view import (
    KERNELS,
    conditions,
    core_groups,
    curves,
    distance_words,
    loaded_curves,
    matrices,
    number,
    reasons,
    size_text,
    spread,
    whole_text,
)
from numawise.report.terminal import Line, print_lines
from numawise.report.words import clean


def show(
    measurements: Measurements,
    topology: Topology | None = None,
    claims: Sequence[Claim] = (),
    *,
    file: TextIO | None = None,
) -> None:
    """Print them to `file` (standard output unless given), in colour where it is a terminal."""
    print_lines(lines(measurements, topology, claims), file or sys.stdout)


def lines(
    measurements: Measurements, topology: Topology | None = None, claims: Sequence[Claim] = ()
) -> Iterator[Line]:
    """The lines, each with the name of its style (`terminal.print_lines` knows them).

    Args:
        measurements: what was measured; parts that are empty say nothing.
        topology: the machine, for what measurements do not keep: L3 domains.
        claims: what firmware and publications say of the same quantities (`measure.claims.claims`).
    """
    for style, text in _lines(measurements, topology, claims):
        yield style, clean(text)  # files that people pass on hold whatever they hold


def _lines(measurements: Measurements, topology: Topology | None, claims: Sequence[Claim]) -> Iterator[Line]:
    yield from _title(measurements)
    for gap in measurements.incomplete:
        yield from wrapped("open", f"incomplete: {gap}", indent=12)
    for part in (_latency, _bandwidth, _aggregate, _scaling, _loaded, _pages, _smt):
        yield from part(measurements, claims)
    yield from _cores(measurements, topology)
    yield from _devices(measurements)
    yield from _links(measurements)
    if measurements.settings:
        yield "", ""
        told = ", ".join(f"{name} {value}" for name, value in measurements.settings.items())
        yield from wrapped("soft", f"the machine then: {told}")


def _title(measurements: Measurements) -> Iterator[Line]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(measurements.created))
    name = " ".join(measurements.model_name.split()) or measurements.machine.architecture or "this machine"
    nodes = len(measurements.machine.nodes)
    yield from wrapped("head", f"{name}, {nodes} node{'s' if nodes != 1 else ''}")
    yield (
        "soft",
        f"measured {when}" + (f" by numawise {v}" if (v := measurements.numawise_version) else ""),
    )
    for part, what, unit in (("latency", "latency", "ns"), ("bandwidth", "bandwidth", "GB/s")):
        for matrix in matrices(getattr(measurements, part))[:1]:
            if words := distance_words(matrix, unit):
                yield from wrapped("same", f"{what} of other nodes' memory: {words}", indent=2)


def _latency(measurements: Measurements, claims: Sequence[Claim]) -> Iterator[Line]:
    for matrix in matrices(measurements.latency):
        yield from matrix_lines("Latency, ns, of a dependent load", matrix)
    yield from _below(measurements, "latency", measurements.latency, claims)


def _bandwidth(measurements: Measurements, claims: Sequence[Claim]) -> Iterator[Line]:
    for matrix in matrices(measurements.bandwidth):
        yield from matrix_lines(f"Bandwidth, GB/s, {KERNELS.get(matrix.kernel, matrix.kernel)}", matrix)
        counted = next((cell.bytes_counted for cell in matrix.cells.values() if cell.bytes_counted), "")
        yield "soft", f"kernel {matrix.kernel}" + (f", counted: {counted}" if counted else "")
    yield from _below(measurements, "bandwidth", measurements.bandwidth, claims, counted=False)


def _aggregate(measurements: Measurements, claims: Sequence[Claim]) -> Iterator[Line]:
    yield from _listed(
        measurements, "aggregate", "All cores of the machine, GB/s: median +- MAD (best)", whole_text, claims
    )


def _pages(measurements: Measurements, claims: Sequence[Claim]) -> Iterator[Line]:
    yield from _listed(
        measurements, "pages", "Latency by size of page, ns: median +- MAD (best)", _page, claims
    )


def _page(reading: Reading) -> str:
    pages = f"pages of {size_text(reading.page_kib)}" if reading.page_kib else "pages"
    return f"{pages}, node {format_list(reading.memory)} from node {reading.cpu_node}"


def _smt(measurements: Measurements, claims: Sequence[Claim]) -> Iterator[Line]:
    by_node: dict[tuple[int | None, str], list[Reading]] = {}
    for reading in measurements.smt:
        by_node.setdefault((reading.cpu_node, reading.kernel), []).append(reading)
    if by_node:
        yield "", ""
        yield "head", "One thread a core, and all SMT siblings, GB/s: median +- MAD"
    for (node, kernel), readings in by_node.items():
        few, *more = sorted(readings, key=lambda reading: len(reading.cpus))
        text = f"node {node}, {kernel}: {_threads(few)}"
        for other in more:
            text += f"; {_threads(other)}"
            if few.figure and other.figure and few.figure.median:
                text += f" ({100 * (other.figure.median / few.figure.median - 1):+.1f}%)"
        yield from wrapped("", text, indent=2)
    yield from _below(measurements, "smt", measurements.smt, claims)


def _threads(reading: Reading) -> str:
    return (
        f"{'none' if reading.figure is None else with_mad(reading.figure)} with {len(reading.cpus)} threads"
    )


def _listed(
    measurements: Measurements, part: str, head: str, name: Callable[[Reading], str], claims: Sequence[Claim]
) -> Iterator[Line]:
    readings: tuple[Reading, ...] = getattr(measurements, part)
    if readings:
        yield "", ""
        yield "head", head
        names = [name(reading) for reading in readings]
        texts = ["none" if r.figure is None else full(r.figure) for r in readings]
        wide = min(max(map(len, names)), WIDTH - GAP - max(map(len, texts)))
        for label, text in zip(names, texts, strict=True):
            yield "", f"{textwrap.shorten(label, wide, placeholder='...').ljust(wide)}  {text}"
    yield from _below(measurements, part, readings, claims)


def _scaling(measurements: Measurements, claims: Sequence[Claim]) -> Iterator[Line]:
    found = curves(measurements.scaling)
    if found:
        yield "", ""
        yield "head", "Bandwidth by number of cores, GB/s: median +- MAD"
    for curve in found:
        yield from wrapped("", f"node {curve.node}, {curve.kernel}: {curve.words}", indent=2)
        if curve.points:
            cells = [
                (str(count), number(figure.median), spread(figure.mad)) for count, figure in curve.points
            ]
            yield from flow(("  cores", "  GB/s", "  +-"), cells)
    yield from _below(measurements, "scaling", measurements.scaling, claims)


def _loaded(measurements: Measurements, claims: Sequence[Claim]) -> Iterator[Line]:
    found = loaded_curves(measurements.loaded)
    if found:
        yield "", ""
        yield "head", "Latency while other cores draw bandwidth, ns"
    for curve in found:
        yield from wrapped(
            "", f"node {format_list(curve.memory)} from node {curve.node}: {curve.words}", indent=2
        )
        cells = [(number(drawn), number(figure.median), spread(figure.mad)) for drawn, figure in curve.points]
        yield from flow(("  GB/s", "  ns", "  +-"), cells)
    yield from _below(measurements, "loaded", [point.latency for point in measurements.loaded], claims)


def _cores(measurements: Measurements, topology: Topology | None) -> Iterator[Line]:
    groups = core_groups(measurements, topology)
    if groups:
        yield "", ""
        yield "head", "A cache line from core to core, ns: median (lowest to highest)"
        wide = max(len(group.relation) for group in groups)
        for group in groups:
            ends = f"({number(group.lowest)} to {number(group.highest)})"
            pairs = f"{group.pairs} pair{'s' if group.pairs != 1 else ''}"
            yield "", f"{group.relation.ljust(wide)}  {number(group.median):>5} {ends}, {pairs}"
    yield from _below(measurements, "core_to_core", measurements.core_to_core, ())


def _devices(measurements: Measurements) -> Iterator[Line]:
    for matrix in device_matrices(measurements.device):
        yield "", ""
        yield from wrapped("head", f"{matrix.name or 'Devices'}, {matrix.direction}, GB/s: median +- MAD")
        heads = [f"node {node}" for node in matrix.nodes]
        rows = [
            [f"{row.device} (node {'?' if row.node is None else row.node})"]
            + ["none" if figure is None else with_mad(figure) for figure in row.cells]
            for row in matrix.rows
        ]
        left = max(len(row[0]) for row in rows)
        width = max(len(text) for row in [heads, *(row[1:] for row in rows)] for text in row) + GAP
        each = max(1, (WIDTH - left) // width)
        for start in range(0, len(heads), each):
            part = slice(start, start + each)
            yield "soft", "device \\ memory".ljust(left) + "".join(head.rjust(width) for head in heads[part])
            for row in rows:
                yield "", row[0].ljust(left) + "".join(text.rjust(width) for text in row[1:][part])
        if matrix.conditions:
            yield from wrapped("soft", matrix.conditions)
        for why in matrix.reasons:
            yield from wrapped("open", why)
    if not measurements.device and measurements.notes.get("device"):
        yield "", ""
        yield from _below(measurements, "device", (), ())


def _links(measurements: Measurements) -> Iterator[Line]:
    if not measurements.links:
        return
    devices, cells = link_matrix(measurements.links)
    yield "", ""
    yield "head", "Links between devices, as nvidia-smi topo names them"
    yield "soft", " " * 17 + "".join(f"{i:>6}" for i in range(len(devices)))
    for i, (device, row) in enumerate(zip(devices, cells, strict=True)):
        yield "", f"{i:>3} {device:<13}" + "".join(cell.rjust(6) for cell in row)
    versions = sorted({link.nvlink_version for link in measurements.links if link.nvlink_version})
    if versions:
        yield "soft", f"NV: so many NVLinks ({', '.join(versions)}); without them the path on PCIe"


def _below(
    measurements: Measurements,
    part: str,
    readings: Sequence[Reading],
    claims: Sequence[Claim],
    *,
    counted: bool = True,
) -> Iterator[Line]:
    if how := conditions(readings, counted=counted):
        yield from wrapped("soft", how)
    for group in groups(claims, part) if part in ("latency", "bandwidth") else ():
        yield from wrapped("" if group.close else "same", sentence(group), indent=2)
    for note in dict.fromkeys([*measurements.notes.get(part, ()), *(r.note for r in readings if r.note)]):
        yield from wrapped("soft", f"note: {note}", indent=6)
    for why in reasons(readings):
        yield from wrapped("open", f"none: {why}", indent=6)
