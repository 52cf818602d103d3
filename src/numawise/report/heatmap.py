"""A matrix as a drawing: every cell coloured by its value, with the value written in it.

As in `charts`, positions across are percentages and text keeps its size; colours are classes of the page's style
sheet (`templates/measurements.css`), so that one drawing serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import msgspec

_HEAD = 26
_LINE = 15
_LETTER = 7
_PAD = 13
_LEAST_SPAN = 1.5
"""Values closer together than this factor do not use the whole range of colours: noise must not look like distance."""


class Cell(msgspec.Struct, frozen=True):
    """One cell. Without a value it is drawn empty, with the same words."""

    value: float | None
    lines: tuple[str, ...]
    """Written in it, the figure first."""
    title: str
    """Told when pointed at, and to those who do not see it."""


def heat_map(
    label: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[int, int], Cell],
    *,
    tone: str,
    least_width: int,
) -> str:
    """The drawing, as SVG text.

    Args:
        label: what it shows, in a sentence.
        rows: their names, from top to bottom.
        columns: their names, from left to right.
        cells: by position of row and column; a place without one stays blank.
        tone: class of its colour: `far`, `fast` or `near`.
        least_width: in pixels, what it will be given at least: the names of the rows get their part of it.
    """
    known = [cell.value for cell in cells.values() if cell.value is not None and cell.value > 0]
    height = _PAD + _LINE * max((len(cell.lines) for cell in cells.values()), default=1)
    left = 100 * _LETTER * (max(map(len, rows), default=0) + 1) / least_width
    wide = (100 - left) / max(1, len(columns))
    parts = [
        f'<text class="tick" x="{left + wide * (i + 0.5):.3f}%" y="17" text-anchor="middle">{escape(name)}</text>'
        for i, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        y = _HEAD + height * i
        parts.append(f'<text class="tick" x="0" y="{y + height / 2 + 4:.1f}">{escape(name)}</text>')
        for j in range(len(columns)):
            cell = cells.get((i, j))
            if cell is not None:
                place = f'x="{left + wide * j:.3f}%" y="{y}" width="{wide:.3f}%" height="{height}"'
                parts.append(f"<svg {place}>{_drawn(cell, known, height)}</svg>")
    size = f'height="{_HEAD + height * len(rows)}"'
    return f'<svg class="heat {tone}" {size} role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _drawn(cell: Cell, known: Sequence[float], height: int) -> str:
    told = f"<title>{escape(cell.title)}</title>"
    if cell.value is None:
        shape = '<rect class="cell none" width="100%" height="100%" rx="4"/>'
    else:
        shape = f'<rect class="cell" style="--v:{strength(cell.value, known):.3f}" width="100%" height="100%" rx="4"/>'
    top = (height - _LINE * len(cell.lines)) / 2
    texts = "".join(
        f'<text class="{"figure-in" if i == 0 else "beside-in"}" x="50%" y="{top + _LINE * (i + 0.78):.1f}" '
        f'text-anchor="middle">{escape(line)}</text>'
        for i, line in enumerate(cell.lines)
    )
    return told + shape + texts


def strength(value: float, known: Sequence[float]) -> float:
    """How strong the colour of a value is among those known, 0 to 1, by its logarithm.

    >>> strength(100, [100, 200]), strength(200, [100, 200]), strength(101, [101])
    (0.0, 1.0, 0.5)
    """
    if not known or value <= 0:
        return 0.0
    low, high = math.log(min(known)), math.log(max(known))
    span, middle = max(high - low, math.log(_LEAST_SPAN)), (low + high) / 2
    return round(min(1.0, max(0.0, 0.5 + (math.log(value) - middle) / span)), 6)
