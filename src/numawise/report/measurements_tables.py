"""Tables of measurements in a terminal: they fit, whatever the number of nodes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from enum import Enum

from numawise.measure.values import Figure
from numawise.report.measurements_view import Matrix, number, spread
from numawise.report.terminal import Line
from numawise.report.words import clean

WIDTH = 80
GAP = 2
_CORNER = "CPUs \\ memory"


def matrix_lines(head: str, matrix: Matrix) -> Iterator[Line]:
    """The fullest form of the cells that fits; else the medians alone, in as many blocks as it takes."""
    labels = [f"node {row}" for row in matrix.rows]
    heads = [f"node {column}" for column in matrix.columns]
    left = max(map(len, [_CORNER, *labels]))
    for form in Form:
        cells = {place: cell_text(matrix, place, form) for place in matrix.cells}
        width = max(map(len, [*heads, *cells.values()])) + GAP
        if left + width * len(heads) <= WIDTH:
            break
    each = max(1, (WIDTH - left) // width)
    yield "", ""
    yield from wrapped("head", f"{head}: {form.value}")
    for start in range(0, len(heads), each):
        part = slice(start, start + each)
        yield "soft", _CORNER.ljust(left) + "".join(head.rjust(width) for head in heads[part])
        for row, label in zip(matrix.rows, labels, strict=True):
            texts = (cells.get((row, column), "-").rjust(width) for column in matrix.columns[part])
            yield "", label.ljust(left) + "".join(texts)
    figures = [figure for figure in matrix.figures.values() if figure.median]
    if form is Form.MEDIAN and figures:
        wide = max(figure.mad / figure.median for figure in figures)
        yield "soft", f"the median absolute deviation is at most {100 * wide:.2g}% of each median"


class Form(Enum):
    """What a cell of a matrix shows, the fullest first."""

    FULL = "median +- MAD (best)"
    MAD = "median +- MAD"
    MEDIAN = "medians"


def cell_text(matrix: Matrix, place: tuple[int, int], form: Form) -> str:
    """A cell with as many decimals as the least figure of its matrix asks for, so that columns line up."""
    figure = matrix.cells[place].figure
    if figure is None:
        return "none"
    decimals = matrix.decimals
    text = f"{figure.median:.{decimals}f}"
    if form is not Form.MEDIAN:
        text += f" +-{figure.mad:.{max(1, decimals)}f}"
    return f"{text} ({figure.best:.{decimals}f})" if form is Form.FULL else text


def full(figure: Figure) -> str:
    return f"{with_mad(figure)} ({number(figure.best)})"


def with_mad(figure: Figure) -> str:
    return f"{number(figure.median)} +-{spread(figure.mad)}"


def flow(labels: Sequence[str], cells: Sequence[Sequence[str]]) -> Iterator[Line]:
    """Columns side by side under row labels, in as many blocks as it takes."""
    left = max(map(len, labels))
    width = max((len(text) for cell in cells for text in cell), default=0) + GAP
    each = max(1, (WIDTH - left) // width)
    for start in range(0, len(cells), each):
        for i, label in enumerate(labels):
            row = "".join(cell[i].rjust(width) for cell in cells[start : start + each])
            yield "soft" if i != 1 else "", label.ljust(left) + row


def wrapped(style: str, text: str, *, indent: int = 0) -> Iterator[Line]:
    for line in textwrap.wrap(clean(text), WIDTH, subsequent_indent=" " * indent) or [""]:
        yield style, line
