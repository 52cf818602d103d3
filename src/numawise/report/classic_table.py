"""Tables by node in numastat's layout: labels, a column a node and their total, folded where lines are narrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from numawise.observe.node_statistics import Row, Table

_WIDE, _COMPACT_LABEL, _CUT_LABEL, _NARROWEST = 15, 15, 16, 32
_COUNTER = 16


class Style(NamedTuple):
    """How to lay out."""

    width: int | None = None
    """Characters a line; None: one line a row, however long."""
    compact: bool = False
    """Whole numbers, and columns as narrow as they can be."""
    skip_zeros: bool = False
    """Leave out rows and columns that hold nothing but zeros."""
    sort: bool = False
    """Largest first, by the total or by `sort_node`."""
    sort_node: int | None = None


def lines(table: Table, style: Style) -> Iterator[str]:
    """The table's lines, after an empty one and its title."""
    yield ""
    yield table.title
    rows = _ordered(table, style)
    columns = [_column(table, index, style) for index in range(len(table.nodes) + 1)]
    if style.skip_zeros:
        rows = [row for row in rows if any(row.values)]
        columns = [
            column for column, index in zip(columns, range(len(columns)), strict=True) if _holds(table, index)
        ]
    if not rows or not columns:
        yield "Table has no non-zero data."
        return
    label = _label_width(table, style)
    for number, part in enumerate(_folded(columns, label, style.width)):
        if number:
            yield ""
        yield from _block(table, rows, part, label, style)


def counter_lines(counters: Mapping[int, Mapping[str, int]], width: int | None) -> Iterator[str]:
    """Numastat's oldest form, that of no options at all: pages by node, without a total."""
    nodes = list(counters)
    names = dict.fromkeys(name for of_node in counters.values() for name in of_node)
    at_once = len(nodes) if width is None else max(1, (width - _COUNTER) // _COUNTER)
    for start in range(0, len(nodes), at_once):
        part = nodes[start : start + at_once]
        if start:
            yield ""
        yield " " * _COUNTER + "".join(f"node{node}".rjust(_COUNTER) for node in part)
        for name in names:
            yield name.ljust(_COUNTER) + "".join(
                str(counters[node].get(name, 0)).rjust(_COUNTER) for node in part
            )


class _Column(NamedTuple):
    place: int
    """Which of the nodes; one past the last is the total."""
    head: str
    width: int


def _block(table: Table, rows: list[Row], columns: list[_Column], label: int, style: Style) -> Iterator[str]:
    def line(name: str, cells: list[str]) -> str:
        placed = (cell.rjust(column.width) for cell, column in zip(cells, columns, strict=True))
        return f"{name:<{label}}  {' '.join(placed)}"

    rule = ["-" * column.width for column in columns]
    yield line(table.corner, [column.head for column in columns])
    yield line("-" * label if table.corner else "", rule)
    for row in rows:
        name = row.label[:_CUT_LABEL] if style.compact else row.label
        cells = [_text(_value(row, column.place), style) for column in columns]
        # A name that fills the gap after the labels takes one of its two blanks, as it always did.
        yield (
            line(name, cells) if len(name) <= label else f"{name:<{label + 2}}{line('', cells)[label + 2 :]}"
        )
    if table.sum_row:
        yield line("-" * label, rule)
        yield line("Total", [_text(_value(table.sum_row, column.place), style) for column in columns])


def _ordered(table: Table, style: Style) -> list[Row]:
    if not style.sort:
        return list(table.rows)
    by = table.nodes.index(style.sort_node) if style.sort_node in table.nodes else len(table.nodes)
    return sorted(table.rows, key=lambda row: -_value(row, by))


def _column(table: Table, index: int, style: Style) -> _Column:
    head = f"Node {table.nodes[index]}" if index < len(table.nodes) else "Total"
    if not style.compact:
        return _Column(index, head, _WIDE)
    rows = (*table.rows, table.sum_row) if table.sum_row else table.rows
    return _Column(index, head, max(len(head), *(len(_text(_value(row, index), style)) for row in rows)))


def _label_width(table: Table, style: Style) -> int:
    longest = max(len(label) for label in (table.corner, "Total", *(row.label for row in table.rows)))
    return min(_COMPACT_LABEL, longest) if style.compact else max(table.min_label, longest)


def _folded(columns: list[_Column], label: int, width: int | None) -> Iterator[list[_Column]]:
    part: list[_Column] = []
    used = label + 1
    for column in columns:
        if part and width is not None and used + 1 + column.width > max(width, _NARROWEST):
            yield part
            part, used = [], label + 1
        part.append(column)
        used += 1 + column.width
    yield part


def _holds(table: Table, index: int) -> bool:
    return any(_value(row, index) for row in table.rows)


def _value(row: Row, index: int) -> float:
    return row.values[index] if index < len(row.values) else row.total


def _text(value: float, style: Style) -> str:
    return f"{value:.0f}" if style.compact else f"{value:.2f}"
