"""Parts of an SVG drawing that know their size: wrapped into rows, or set in columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

GAP = 8
"""Between things in a grid."""

Draw = Callable[[float, float, float, float], list[str]]


class Placed(NamedTuple):
    """Something with a size, to be drawn at a place and stretched to a larger size."""

    width: float
    height: float
    draw: Draw


def _rows(items: Sequence[Placed], limit: float, gap: float) -> list[list[Placed]]:
    """Left to right, in as many rows as needed."""
    rows: list[list[Placed]] = [[]]
    for item in items:
        used = sum(one.width + gap for one in rows[-1])
        if rows[-1] and used + item.width > limit + 0.5:
            rows.append([])
        rows[-1].append(item)
    return rows


def flow(items: Sequence[Placed], limit: float, gap: float) -> Placed:
    """As words in a paragraph."""
    rows = _rows(items, limit, gap)
    width = max(sum(item.width + gap for item in row) - gap for row in rows)
    height = sum(max(item.height for item in row) + gap for row in rows) - gap

    def paint(x: float, y: float, w: float, h: float) -> list[str]:
        out = []
        for row in rows:
            at = x
            for item in row:
                out += item.draw(at, y, item.width, item.height)
                at += item.width + gap
            y += max(item.height for item in row) + gap
        return out

    return Placed(width, height, paint)


def grid(items: Sequence[Placed], limit: float) -> Placed:
    """In columns of one width, rows as equal as can be, filled out to the width given."""
    count = max(len(row) for row in _rows(items, limit, GAP))
    columns = -(-len(items) // -(-len(items) // count))
    while columns > 1 and columns * (max(item.width for item in items) + GAP) - GAP > limit + 0.5:
        columns -= 1
    rows = [items[i : i + columns] for i in range(0, len(items), columns)]
    heights = [max(item.height for item in row) for row in rows]
    width = columns * (max(item.width for item in items) + GAP) - GAP

    def paint(x: float, y: float, w: float, h: float) -> list[str]:
        out = []
        each = (w + GAP) / columns - GAP
        for row, height in zip(rows, heights, strict=True):
            for i, item in enumerate(row):
                out += item.draw(x + i * (each + GAP), y, each, height)
            y += height + GAP
        return out

    return Placed(width, sum(heights) + GAP * (len(rows) - 1), paint)


def text_width(words: str, per_letter: float) -> float:
    """How wide words are, roughly: nothing here knows the reader's font."""
    return len(words) * per_letter


def rect(x: float, y: float, w: float, h: float, style: str, *, radius: int = 3) -> str:
    """A rectangle in the styles named."""
    return f'<rect {classes(style)} x="{x:.5g}" y="{y:.5g}" width="{w:.5g}" height="{h:.5g}" rx="{radius}"/>'


def text(x: float, y: float, words: str, style: str = "") -> str:
    """A line of text from `x` on, its baseline at `y`."""
    return f'<text {classes(style)} x="{x:.5g}" y="{y:.5g}">{escape(words)}</text>'


def classes(style: str) -> str:
    """The class attribute, each class marked as ours: the page around the drawing may have a `.node` too."""
    return f'class="{" ".join(f"nwm-{word}" for word in style.split() or ["plain"])}"'
