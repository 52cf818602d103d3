"""The heat maps of a machine: nodes by nodes, cores by cores, devices by nodes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from markupsafe import Markup

from numawise.measure.claims import Claim
from numawise.measure.values import DeviceReading, Reading
from numawise.report.heatmap import Cell, heat_map
from numawise.report.measurements_claims import short_claim
from numawise.report.measurements_devices import device_matrices
from numawise.report.measurements_view import KERNELS, Matrix, matrices, number, place_text, spread
from numawise.report.page import svg

_ROOMY = 10
"""Up to so many columns, cells hold more than their figure."""
_WIDE_HEADS = 6


class Map(msgspec.Struct, frozen=True):
    """A drawn matrix, and what stands around it."""

    drawing: Markup
    least_width: int
    """In pixels; narrower pages scroll it."""
    title: str = ""
    kernel: str = ""
    counted: str = ""
    conditions: str = ""
    reasons: tuple[str, ...] = ()


def node_maps(readings: Sequence[Reading], claims: Sequence[Claim], quantity: str) -> list[Map]:
    """A map for each kernel; claims stand in the cells of the first, which they speak of."""
    unit, tone = ("ns", "far") if quantity == "latency" else ("GB/s", "fast")
    found = []
    for i, matrix in enumerate(matrices(readings)):
        about = claims if i == 0 else ()
        cells = {
            (matrix.rows.index(row), matrix.columns.index(column)): _node_cell(
                matrix, (row, column), unit, short_claim(about, quantity, row, column)
            )
            for row, column in matrix.cells
        }
        title = KERNELS.get(matrix.kernel, matrix.kernel)
        label = f"{quantity} by node, {unit}, {title}; {_extremes(matrix, unit)}"
        drawing = heat_map(
            label,
            [f"node {row}" for row in matrix.rows],
            [_column(column, len(matrix.columns)) for column in matrix.columns],
            cells,
            tone=tone,
            least_width=_least_width(len(matrix.columns)),
        )
        counted = next((cell.bytes_counted for cell in matrix.cells.values() if cell.bytes_counted), "")
        found.append(
            Map(
                svg(drawing),
                _least_width(len(matrix.columns)),
                title[:1].upper() + title[1:],
                matrix.kernel,
                counted,
            )
        )
    return found


def _node_cell(matrix: Matrix, place: tuple[int, int], unit: str, claim: str) -> Cell:
    row, column = place
    reading = matrix.cells[place]
    where = f"memory of node {column} from CPUs of node {row}"
    figure = reading.figure
    if figure is None:
        return Cell(None, ("none",), f"{where}: {reading.why or 'no reason given'}")
    median, mad = (
        f"{v:.{d}f}" for v, d in ((figure.median, matrix.decimals), (figure.mad, max(1, matrix.decimals)))
    )
    best = f"{figure.best:.{matrix.decimals}f}"
    own = matrix.figures.get((row, row))
    times = f"{figure.median / own.median:.2f}\u00d7 own" if own and own.median and row != column else ""
    told = f"{where}: {median} {unit} \u00b1 {mad}, best {best}, {figure.repeats} repeats"
    told += "".join(f"; {text}" for text in (times, f"claimed: {claim}" if claim else "") if text)
    if len(matrix.columns) > _ROOMY:
        return Cell(figure.median, (median,), told)
    # Of the claims, the ratio fits beside the ratio; what is published is in the table below.
    said = [
        part.replace("x", "\u00d7") for part in claim.split(", ") if part and not part.startswith("published")
    ]
    ratios = [times.removesuffix(" own"), *(part for part in said if part.endswith("\u00d7"))]
    below = [", ".join(filter(None, ratios)), ", ".join(part for part in said if not part.endswith("\u00d7"))]
    lines = (median, f"\u00b1 {mad}, best {best}", *filter(None, below))
    return Cell(figure.median, lines, told)


def _least_width(columns: int) -> int:
    return (104 if columns <= _ROOMY else 52) * columns + 100


def _column(node: int, columns: int) -> str:
    return f"memory of node {node}" if columns <= _WIDE_HEADS else f"node {node}"


def _extremes(matrix: Matrix, unit: str) -> str:
    figures = matrix.figures
    if not figures:
        return "no figures"
    low, high = (pick(figures, key=lambda place: figures[place].median) for pick in (min, max))
    return "; ".join(
        f"{word} {number(figures[place].median)} {unit}, {place_text(matrix.cells[place])}"
        for word, place in (("lowest", low), ("highest", high))
    )


def core_map(readings: Sequence[Reading]) -> Map | None:
    """Core by core; None where no pair has a figure."""
    pairs = {tuple(sorted(reading.cpus)): reading for reading in readings if len(reading.cpus) == 2}
    if not any(reading.figure for reading in pairs.values()):
        return None
    cpus = sorted({cpu for pair in pairs for cpu in pair})
    cells = {}
    for pair, reading in pairs.items():
        first, second = (cpus.index(cpu) for cpu in pair)
        cells[first, second] = cells[second, first] = _core_cell(pair, reading)
    names = [str(cpu) for cpu in cpus]
    values = [reading.figure.median for reading in pairs.values() if reading.figure]
    label = f"latency between {len(cpus)} CPUs, {number(min(values))} to {number(max(values))} ns"
    width = 42 * len(cpus) + 50
    return Map(svg(heat_map(label, names, names, cells, tone="near", least_width=width)), width)


def _core_cell(pair: tuple[int, ...], reading: Reading) -> Cell:
    where = f"CPUs {pair[0]} and {pair[1]}"
    if reading.figure is None:
        return Cell(None, ("none",), f"{where}: {reading.why or 'no reason given'}")
    figure = reading.figure
    told = f"{where}: {number(figure.median)} ns \u00b1 {spread(figure.mad)}, best {number(figure.best)}"
    return Cell(figure.median, (f"{figure.median:.0f}",), told)


def device_maps(readings: Sequence[DeviceReading]) -> list[Map]:
    """A map for each kind of device and direction."""
    found = []
    for matrix in device_matrices(readings):
        cells = {}
        for i, row in enumerate(matrix.rows):
            for j, figure in enumerate(row.cells):
                where = f"{row.device} and memory of node {matrix.nodes[j]}"
                if figure is None:
                    cells[i, j] = Cell(None, ("none",), where)
                    continue
                best = number(figure.best)
                told = f"{where}: {number(figure.median)} GB/s \u00b1 {spread(figure.mad)}, best {best}"
                beside = f"\u00b1 {spread(figure.mad)}, best {best}"
                lines = (
                    (f"{figure.median:.1f}", beside)
                    if len(matrix.nodes) <= _ROOMY
                    else (f"{figure.median:.1f}",)
                )
                cells[i, j] = Cell(figure.median, lines, told)
        words = matrix.direction.replace("-", " ")
        title = f"{matrix.name or 'Devices'}, {words}"
        rows = [f"{row.device.removeprefix('0000:')} ({_near(row.node)})" for row in matrix.rows]
        columns = [_column(node, len(matrix.nodes)) for node in matrix.nodes]
        width = _least_width(len(columns)) + 50
        drawing = heat_map(title, rows, columns, cells, tone="fast", least_width=width)
        how = matrix.conditions[:1].upper() + matrix.conditions[1:]
        found.append(Map(svg(drawing), width, title, conditions=how, reasons=matrix.reasons))
    return found


def _near(node: int | None) -> str:
    return "node ?" if node is None else f"node {node}"
