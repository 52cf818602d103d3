"""Curves of measurements, as SVG text: positions in percent, sizes in pixels, colours by class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

import msgspec

from numawise.report.measurements_view import Curve, LoadedCurve, number, spread

_COLOURS = 6
_LEFT, _RIGHT = 5.0, 98.0


class _Point(msgspec.Struct, frozen=True):
    x: float
    y: float
    title: str


class _Series(msgspec.Struct, frozen=True):
    points: Sequence[_Point]
    marked: float | None
    """The x of the point that is ringed."""
    words: str


def scaling_chart(curves: Sequence[Curve]) -> str:
    """GB/s by number of cores; a ring where a curve saturates."""
    series = [
        _Series(
            [
                _Point(
                    count,
                    figure.median,
                    f"{name(curve)}, {count} cores: {number(figure.median)} GB/s \u00b1 {spread(figure.mad)}",
                )
                for count, figure in curve.points
            ],
            curve.saturates_at,
            f"{name(curve)} {curve.words}",
        )
        for curve in curves
    ]
    return _chart(series, "cores", "GB/s")


def loaded_chart(curves: Sequence[LoadedCurve]) -> str:
    """Latency (ns) by GB/s drawn meanwhile; a ring at the last point under twice the idle latency."""
    series = [
        _Series(
            [
                _Point(
                    drawn,
                    figure.median,
                    f"{loaded_name(curve)}: {number(figure.median)} ns \u00b1 {spread(figure.mad)} "
                    f"at {number(drawn)} GB/s",
                )
                for drawn, figure in curve.points
            ],
            curve.knee[0] if curve.knee else None,
            f"{loaded_name(curve)}: {curve.words}",
        )
        for curve in curves
    ]
    return _chart(series, "GB/s", "ns")


def name(curve: Curve) -> str:
    """Whose curve it is."""
    return f"node {curve.node}" if curve.node is not None else "several nodes"


def loaded_name(curve: LoadedCurve) -> str:
    """Whose memory from whose CPUs."""
    return f"memory of node {' and '.join(map(str, curve.memory))} from node {curve.node}"


def key(index: int) -> str:
    """A piece of a curve, for the legend."""
    line = f'<line class="line c{index % _COLOURS}" x1="0" x2="20" y1="5" y2="5"/>'
    return f'<svg class="key" width="22" height="10" aria-hidden="true">{line}</svg>'


def _chart(series: Sequence[_Series], across: str, up: str) -> str:
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    right = max(point.x for point in points) or 1.0
    top = max(point.y for point in points) * 1.06 or 1.0
    parts = [_level(100 - 100 * tick / top, f"{number(tick)} {up}") for tick in _ticks(top)]
    parts += [_under(_x(tick, right), f"{number(tick)} {across}") for tick in _ticks(right, most=8)]
    for i, one in enumerate(series):
        parts += _drawn(one, f"c{i % _COLOURS}", right, top)
    label = "; ".join(one.words for one in series)
    return f'<svg class="plot curves" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _drawn(series: _Series, colour: str, right: float, top: float) -> Iterable[str]:
    places = [(_x(point.x, right), 100 - 100 * point.y / top, point) for point in series.points]
    line = " ".join(f"{x:.2f},{y:.2f}" for x, y, _ in places)
    yield (
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">'
        f'<polyline class="line {colour}" points="{line}"/></svg>'
    )
    for x, y, point in places:
        ring = '<circle class="ring" r="8"/>' if point.x == series.marked else ""
        yield (
            f'<svg class="at" x="{x:.3f}%" y="{y:.3f}%"><title>{escape(point.title)}</title>'
            f'{ring}<circle class="dot {colour}" r="3.5"/></svg>'
        )


def _x(value: float, right: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * value / right


def _level(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="0" x2="100%" y1="{y:.3f}%" y2="{y:.3f}%"/>'
        f'<text class="tick" x="0" y="{y:.3f}%" dy="-4">{escape(text)}</text>'
    )


def _under(x: float, text: str) -> str:
    anchor = "end" if x > 94 else "middle"
    return f'<text class="tick" x="{x:.3f}%" y="100%" dy="17" text-anchor="{anchor}">{escape(text)}</text>'


def _ticks(end: float, most: int = 6) -> list[float]:
    """Round numbers from 0 to `end`."""
    unit = 10.0 ** math.floor(math.log10(end)) / 10 if end > 0 else 1.0
    for factor in (1, 2, 5, 10, 20, 50):
        step = unit * factor
        if end / step < most:
            return [i * step for i in range(int(end / step) + 1)]
    return [0.0, end]
