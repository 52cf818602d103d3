"""The charts, as SVG text: no script, no library, any width.

Positions are percentages and sizes are pixels, so a chart is as legible at 400 px as at 1280: nothing is
scaled, only moved. Colours are classes of the page's style sheet. Shapes differ as well as colours: the
default is a square, the placement in question a filled dot, all others rings, failures crosses.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from numawise.experiment.records import Outcome, Study, Trial
from numawise.report.estimates import Effect, Pair, arms, drift, measured
from numawise.report.words import clean, relative, value_text

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


class Scale:
    """A logarithmic axis from `low` to `high`, as percent of the chart's width or height."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self._origin, self._length = math.log(low), math.log(high) - math.log(low)

    def at(self, value: float) -> float:
        """Where a value lies, 0 to 100; beyond the ends it stays at the end."""
        share = (math.log(value) - self._origin) / self._length
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def ratio_ticks(self, most: int = 6) -> list[float]:
        """Round ratios to label, 1 among them."""
        for step in _STEPS:
            first, last = math.ceil((self.low - 1) / step), math.floor((self.high - 1) / step)
            if last - first < most:
                return self._apart([1 + i * step for i in range(first, last + 1)])
        return [1.0]

    def _apart(self, ticks: list[float]) -> list[float]:
        """Those that leave room for each other's labels on a narrow page; 1 always stays."""
        kept = [1.0]
        for tick in sorted(ticks, key=lambda tick: abs(math.log(tick)) if tick > 0 else math.inf):
            if tick > 0 and all(abs(self.at(tick) - self.at(other)) > 13 for other in kept):
                kept.append(tick)
        return sorted(kept)

    def value_ticks(self, most: int = 6) -> list[float]:
        """Round values to label."""
        unit = 10.0 ** math.floor(math.log10(self.high - self.low)) / 100
        for factor in (1, 2, 5, 10, 20, 50, 100, 200, 500):
            step = unit * factor
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            if last - first < most:
                return [i * step for i in range(first, last + 1)]
        return [self.low, self.high]


def ratio_scale(effects: Iterable[Effect], delta: float) -> Scale:
    """An axis for the candidates: wide enough for all that matter, not for the ten times slower."""
    known = [effect for effect in effects if effect.ratio is not None]
    ratios = [effect.ratio for effect in known if effect.ratio is not None]
    lows = [effect.low or effect.ratio or 1.0 for effect in known]
    highs = [effect.high or effect.ratio or 1.0 for effect in known]
    cap = max(1.6, 1.2 * statistics.median(ratios)) if ratios else 1.6
    low = max(0.2, min([1 / (1 + 2 * delta), *lows]))
    high = min(max([1 + 2 * delta, *highs]), cap)
    margin = (math.log(high) - math.log(low)) * 0.04
    return Scale(low * math.exp(-margin), high * math.exp(margin))


def ratio_axis(scale: Scale) -> str:
    """The ticks' labels, to stand above the rows."""
    labels = []
    for tick in scale.ratio_ticks():
        at = scale.at(tick)
        anchor = "start" if at < 8 else "end" if at > 92 else "middle"
        text = "same" if math.isclose(tick, 1) else _short(tick)
        labels.append(f'<text x="{at}%" y="14" text-anchor="{anchor}" class="tick">{text}</text>')
    return f'<svg class="axis" height="20" aria-hidden="true">{"".join(labels)}</svg>'


def whisker(effect: Effect, scale: Scale, delta: float, role: str) -> str:
    """One candidate's dot with its interval; `role` is `default`, `best` or `other`."""
    parts = [_zone(scale, delta)]
    parts += [
        f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>'
        for x in map(scale.at, scale.ratio_ticks())
    ]
    parts.append(f'<line class="zero" x1="{scale.at(1)}%" x2="{scale.at(1)}%" y1="0" y2="100%"/>')
    label = "no measurement"
    if effect.ratio is not None:
        label = f"{relative(effect.ratio)} against the default"
        if effect.low is not None and effect.high is not None:
            label += f", {relative(effect.low)} to {relative(effect.high)}"
            parts.append(
                f'<line class="whisker {role}" y1="50%" y2="50%"'
                f' x1="{scale.at(effect.low)}%" x2="{scale.at(effect.high)}%"/>'
            )
        beyond = effect.ratio > scale.high or effect.ratio < scale.low
        parts.append(_mark("beyond" if beyond else role, scale.at(effect.ratio), 50, radius=5))
    return _told("row", label, parts)


def shares(residency: Mapping[int, float]) -> str:
    """Pages by node as one bar; the nodes' shares are also written beside it by the page."""
    label = ", ".join(f"node {node}: {share:.0%}" for node, share in residency.items()) or "not looked at"
    parts, x = [], 0.0
    for i, share in enumerate(residency.values()):
        parts.append(f'<rect class="share s{i % 6}" x="{x:.2f}%" width="{100 * share:.2f}%" height="100%"/>')
        x += 100 * share
    return _told("shares", label, parts)


def pair_chart(pairs: Sequence[Pair], delta: float) -> str:
    """Each pair's ratio in the order of running, with the interval as it stood after it."""
    ends = [p.ratio for p in pairs] + [end for p in pairs[-3:] for end in (p.low, p.high) if end is not None]
    ends += [1 + 2 * delta, 1 / (1 + 2 * delta)]
    low, high = max(min(ends), 0.1), min(max(ends), 10.0)
    margin = math.exp((math.log(high) - math.log(low)) * 0.08)
    scale = Scale(low / margin, high * margin)
    xs = [100 * (i + 0.5) / len(pairs) for i in range(len(pairs))]
    ys = [100 - scale.at(p.ratio) for p in pairs]
    parts = [
        f'<rect class="zone" x="0" width="100%" y="{100 - scale.at(1 + delta)}%" '
        f'height="{scale.at(1 + delta) - scale.at(1 / (1 + delta)):.3f}%"/>'
    ]
    for tick in scale.ratio_ticks():
        zero = math.isclose(tick, 1)
        parts.append(
            _level(100 - scale.at(tick), "no change" if zero else _short(tick), "zero" if zero else "grid")
        )
    band = [(x, p) for x, p in zip(xs, pairs, strict=True) if p.low is not None and p.high is not None]
    if len(band) > 1:
        upper = [f"{x:.2f},{100 - scale.at(p.high or 1):.2f}" for x, p in band]
        lower = [f"{x:.2f},{100 - scale.at(p.low or 1):.2f}" for x, p in reversed(band)]
        middle = [f"{x:.2f},{100 - scale.at(p.mean or 1):.2f}" for x, p in band]
        parts.append(
            _stretched(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
            + _stretched(f'<polyline class="trend" points="{" ".join(middle)}"/>')
        )
    for i, (x, y, pair) in enumerate(zip(xs, ys, pairs, strict=True)):
        title = (
            f"pair {i}: {relative(pair.ratio)}"
            if pair.counted
            else f"warm-up, not counted: {relative(pair.ratio)}"
        )
        parts.append(_mark("best" if pair.counted else "other", x, y, radius=4.5, title=title))
    counted = [p for p in pairs if p.counted]
    label = f"{len(counted)} pairs; the last interval "
    last = counted[-1] if counted else None
    bounded = last is not None and last.low is not None and last.high is not None
    label += (
        f"{relative(last.low or 1)} to {relative(last.high or 1)}" if last and bounded else "not yet bounded"
    )
    return _figure(label, parts)


def trial_chart(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> str:
    """Every trial where and when it fell, so that drift of the machine shows."""
    good = measured(trials)
    if not good:
        return ""
    values = [t.value for t in good if t.value is not None]
    low, high = min(values), max(values)
    margin = max(math.exp((math.log(high) - math.log(low)) * 0.1), 1.01)
    scale = Scale(low / margin, high * margin)
    first, last = min(t.started for t in trials), max(t.started + t.seconds for t in trials)

    def x_at(moment: float) -> float:
        return round(1 + 98 * (moment - first) / max(last - first, 1e-9), 3)

    met, unit = arms(study, trials, outcome), "" if study.metric else " s"
    parts = [_level(100 - scale.at(tick), f"{tick:g}{unit}", "grid") for tick in scale.value_ticks()]
    finals = [t.started for t in trials if t.phase == "final"]
    if finals and len(finals) < len(trials):
        x = x_at(min(finals)) - 0.4
        parts.append(f'<line class="phase" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>')
        anchor, shift = ("end", -6) if x > 50 else ("start", 6)
        parts.append(_text_at(x, 0, "final comparison", anchor=anchor, dx=shift, dy=14))
    pace = drift(study, trials)
    if len(pace) > 1:
        points = " ".join(f"{x_at(d.started):.2f},{100 - scale.at(d.value):.2f}" for d in pace)
        parts.append(_stretched(f'<polyline class="pace" points="{points}"/>'))
    ordered = sorted(trials, key=lambda t: (_role(t, study, met) != "other", t.number))
    for trial in ordered:
        role, x = _role(trial, study, met), x_at(trial.started)
        name = clean(trial.candidate)
        if trial.value is not None and trial.status == "ok" and trial.value > 0:
            title = f"trial {trial.number}, {name}: {value_text(trial.value, study)}"
            parts.append(_mark(role, x, 100 - scale.at(trial.value), radius=3.5, title=title))
        else:
            parts.append(
                _mark("failed", x, 97, radius=4, title=f"trial {trial.number}, {name}: {trial.status}")
            )
    minutes = (last - first) / 60
    label = f"{len(trials)} trials over {minutes:.0f} minutes" if minutes >= 2 else f"{len(trials)} trials"
    return _figure(label, parts)


def legend_mark(role: str) -> str:
    """A mark as it stands in the charts, for the legend."""
    return (
        f'<svg class="key" width="14" height="14" aria-hidden="true">{_mark(role, 50, 50, radius=4.5)}</svg>'
    )


def _role(trial: Trial, study: Study, met: tuple[str, str] | None) -> str:
    if trial.candidate == (met[0] if met else study.default):
        return "default"
    return "best" if met and trial.candidate == met[1] else "other"


def _told(kind: str, label: str, parts: Iterable[str]) -> str:
    """A small chart whose label also shows when pointed at."""
    said = escape(label)
    return f'<svg class="{kind}" role="img" aria-label="{said}"><title>{said}</title>{"".join(parts)}</svg>'


def _short(ratio: float) -> str:
    """A tick's label, with a real minus sign."""
    return relative(ratio).replace(".0%", "%").replace("-", "&#8722;")


def _figure(label: str, parts: Iterable[str]) -> str:
    return f'<svg class="plot" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _zone(scale: Scale, delta: float) -> str:
    low, high = scale.at(1 / (1 + delta)), scale.at(1 + delta)
    return f'<rect class="zone" x="{low}%" width="{high - low:.3f}%" y="0" height="100%"/>'


def _level(y: float, text: str, kind: str) -> str:
    return f'<line class="{kind}" x1="0" x2="100%" y1="{y:.3f}%" y2="{y:.3f}%"/>' + _text_at(
        0, y, text, dy=-4
    )


def _text_at(x: float, y: float, text: str, *, anchor: str = "start", dx: float = 2, dy: float = 0) -> str:
    place = f'x="{x:.3f}%" y="{y:.3f}%" dx="{dx}" dy="{dy}" text-anchor="{anchor}"'
    return f'<text class="tick" {place}>{text}</text>'


def _stretched(shape: str) -> str:
    """A shape in percent coordinates over the whole chart; its stroke keeps its width (style sheet)."""
    return f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">{shape}</svg>'


def _mark(role: str, x: float, y: float, *, radius: float, title: str = "") -> str:
    r = radius
    shape = {
        "default": f'<rect class="mark default" x="{-r}" y="{-r}" width="{2 * r}" height="{2 * r}"/>',
        "best": f'<circle class="mark best" r="{r}"/>',
        "beyond": f'<path class="mark beyond" d="M{-r},{-r} L{r},0 L{-r},{r} Z"/>',
        "failed": f'<path class="mark failed" d="M{-r},{-r} L{r},{r} M{-r},{r} L{r},{-r}"/>',
    }.get(role, f'<circle class="mark other" r="{r - 0.5}"/>')
    told = f"<title>{escape(title)}</title>" if title else ""
    return f'<svg class="at" x="{x:.3f}%" y="{y:.3f}%">{told}{shape}</svg>'
