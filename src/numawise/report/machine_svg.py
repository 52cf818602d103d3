"""The machine as a drawing: sockets, nodes, memory, L3 domains, cores, CPUs, devices and distances.

One SVG element that stands alone or inside an HTML page: its styles are confined to the class `nwm`, it has
no ids, and it follows the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Node, Topology
from numawise.report.machine_boxes import Box, Chip, machine_box, memory_text
from numawise.report.svg_layout import GAP, Placed, classes, flow, grid, rect, text, text_width

_WIDTH = 1180
_PAD, _HEAD = 10, 20
_PU_HEIGHT, _CORE_PAD, _CORE_GAP = 16, 2, 4
_MOST_DISTANCES = 16  # nodes; a larger matrix is told in words

_STYLE = """
.nwm{--bg:#fff;--ink:#1c2430;--soft:#5b6675;--line:#c3cad4;--machine:#f7f8fa;--socket:#eceff3;
--node:#fff;--l3:#f0f3f7;--memory:#dce8dd;--used:#b4d0b7;--core:#dfe5ec;--cpu:#d3e3f8;
--cpu-ink:#12335c;--eff:#e4dcf5;--off:#eceef1;--off-ink:#8b94a1;--hot:#c8500a;--hot-ink:#fff;
--gpu:#2c7a4b;--nic:#2560a8;--nvme:#7a5a12;--accelerator:#7b3fa0;--more:#5b6675;--tag-ink:#fff;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums}
@media (prefers-color-scheme:dark){.nwm{--bg:#12161c;--ink:#e6eaf0;--soft:#9aa5b4;--line:#3a4452;
--machine:#171c24;--socket:#1e252f;--node:#141920;--l3:#1d2530;--memory:#22352a;--used:#35573f;
--core:#2a3340;--cpu:#24426b;--cpu-ink:#dbe8fa;--eff:#43366b;--off:#20262e;--off-ink:#6f7a88;
--hot:#f0883e;--hot-ink:#1c1206;--gpu:#3f9c63;--nic:#4d86cf;--nvme:#a8822c;--accelerator:#a069c6;
--more:#6f7a88}}
.nwm text{fill:var(--ink);font-size:12px}
.nwm .nwm-t{font-weight:600}
.nwm .nwm-s{fill:var(--soft);font-size:11px}
.nwm .nwm-f{stroke:var(--line);stroke-width:1}
.nwm .nwm-machine{fill:var(--machine)}
.nwm .nwm-socket{fill:var(--socket)}
.nwm .nwm-node{fill:var(--node)}
.nwm .nwm-l3{fill:var(--l3)}
.nwm .nwm-stray{fill:var(--node);stroke-dasharray:4 3}
.nwm .nwm-memory{fill:var(--memory)}
.nwm .nwm-memory.nwm-x{fill:var(--off);stroke:var(--off-ink);stroke-dasharray:2 2}
.nwm .nwm-used{fill:var(--used)}
.nwm .nwm-core{fill:var(--core)}
.nwm .nwm-p{fill:var(--cpu)}
.nwm .nwm-p.nwm-e{fill:var(--eff)}
.nwm .nwm-p.nwm-x{fill:var(--off);stroke:var(--off-ink);stroke-dasharray:2 2}
.nwm .nwm-p.nwm-h{fill:var(--hot)}
.nwm .nwm-n{font-size:10px;text-anchor:middle;fill:var(--cpu-ink)}
.nwm .nwm-n.nwm-x{fill:var(--off-ink)}
.nwm .nwm-n.nwm-h{fill:var(--hot-ink);font-weight:600}
.nwm .nwm-chip{fill:var(--node)}
.nwm .nwm-g{font-size:10px;font-weight:600;fill:var(--tag-ink)}
.nwm .nwm-gpu{fill:var(--gpu)}
.nwm .nwm-nic{fill:var(--nic)}
.nwm .nwm-nvme{fill:var(--nvme)}
.nwm .nwm-accelerator{fill:var(--accelerator)}
.nwm .nwm-more{fill:var(--more)}
.nwm .nwm-d{font-size:10px;text-anchor:middle}
.nwm .nwm-heat{fill:var(--hot)}
"""

_NOTHING = CPUSet()


def draw(topology: Topology, *, highlight: CPUSet = _NOTHING) -> str:
    """The SVG element for a machine; CPUs in `highlight` (where something runs, say) stand out.

    CPUs that this process may not use are grey and dashed. Of the devices, GPUs, accelerators, NICs and NVMe
    disks are drawn, at their node.

    >>> from numawise.machine import read
    >>> draw(read()).startswith("<svg")
    True
    """
    paint = _Painter(topology, highlight)
    machine = paint.box(machine_box(topology), _WIDTH)
    below = [part for part in (paint.distances(), paint.legend()) if part]
    width = max([machine.width, *(part.width + 2 * _PAD for part in below)])
    height = machine.height + sum(part.height + GAP for part in below) + (_PAD if below else 0)
    body = machine.draw(0, 0, width, machine.height)
    y = machine.height + GAP
    for part in below:
        body += part.draw(_PAD, y, width, part.height)
        y += part.height + GAP
    label = escape(
        f"{len(topology.nodes)} nodes, {topology.cores} cores, {len(topology.cpus)} CPUs", quote=True
    )
    w, h = f"{width + 2:.0f}", f"{height + 2:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nwm" role="img" aria-label="The machine: {label}" '
        f'viewBox="-1 -1 {w} {h}" width="{w}" height="{h}" style="max-width:100%;height:auto">'
        f"<title>The machine: {label}</title><style>{_STYLE}</style>"
        f'<rect x="-1" y="-1" width="{w}" height="{h}" style="fill:var(--bg)"/>' + "".join(body) + "</svg>\n"
    )


class _Painter:
    def __init__(self, topology: Topology, highlight: CPUSet) -> None:
        self._topology = topology
        self._highlight = highlight
        slow = topology.cpu_kinds[1:]
        self._efficient = {cpu for kind in slow for cpu in kind.cpus}
        digits = len(str(max(topology.cpus, default=0)))
        self._pu_width = {1: 20, 2: 20, 3: 26}.get(digits, 32)

    def box(self, box: Box, limit: float) -> Placed:
        """A frame, its heading, and everything in it, no wider than `limit` if that can be."""
        inner = limit - 2 * _PAD
        parts: list[Placed] = []
        if box.memory is not None:
            parts.append(_memory(box.memory, allowed=box.memory.id in self._topology.allowed.nodes))
        if box.cores:
            parts.append(self._cores(box.cores, inner))
        if box.inside:
            parts.append(grid(self._inside(box.inside, inner), inner))
        if box.chips:
            parts.append(flow([_chip(chip) for chip in box.chips], inner, 6))
        heading = text_width(box.title, 8) + text_width(box.note, 6.2) + 8
        width = max([heading, *(part.width for part in parts)]) + 2 * _PAD
        height = _HEAD + sum(part.height + GAP for part in parts) + _PAD

        def paint(x: float, y: float, w: float, h: float) -> list[str]:
            title = f"<tspan {classes('t')}>{escape(box.title)}</tspan>"
            note = f'<tspan {classes("s")} dx="8">{escape(box.note)}</tspan>' if box.note else ""
            out = [rect(x, y, w, h, f"f {box.style}", radius=6)]
            out.append(f'<text x="{x + _PAD:.5g}" y="{y + 16:.5g}">{title}{note}</text>')
            top = y + _HEAD + 4
            for part in parts:
                out += part.draw(x + _PAD, top, w - 2 * _PAD, part.height)
                top += part.height + GAP
            return out

        return Placed(width, height, paint)

    def _inside(self, boxes: Sequence[Box], inner: float) -> list[Placed]:
        # Large boxes stand two in a row, small ones as many as fit.
        return [self.box(box, (inner - GAP) / 2 if len(boxes) > 1 else inner) for box in boxes]

    def _cores(self, cores: Sequence[CPUSet], inner: float) -> Placed:
        cells = [self._core(core) for core in cores]
        widest = max(cell.width for cell in cells)
        fit = max(1, int((inner + _CORE_GAP) // (widest + _CORE_GAP)))
        # Rows of one length where the number of cores allows it, else as near as can be.
        even = [columns for columns in range(fit // 2, fit + 1) if columns and len(cells) % columns == 0]
        columns = max(even) if even else -(-len(cells) // -(-len(cells) // fit))
        return flow(cells, columns * (widest + _CORE_GAP), _CORE_GAP)

    def _core(self, core: CPUSet) -> Placed:
        """One core: its CPUs stacked, four high at most."""
        cpus = list(core)
        rows = min(len(cpus), 4)
        columns = -(-len(cpus) // rows)
        width = columns * (self._pu_width + 1) - 1 + 2 * _CORE_PAD
        height = rows * (_PU_HEIGHT + 1) - 1 + 2 * _CORE_PAD

        def paint(x: float, y: float, w: float, h: float) -> list[str]:
            out = [rect(x, y, w, h, "core")]
            for i, cpu in enumerate(cpus):
                px = x + _CORE_PAD + (i // rows) * (self._pu_width + 1)
                py = y + _CORE_PAD + (i % rows) * (_PU_HEIGHT + 1)
                state = self._state(cpu)
                out.append(rect(px, py, self._pu_width, _PU_HEIGHT, f"p{state}", radius=2))
                out.append(text(px + self._pu_width / 2, py + 12, str(cpu), f"n{state}"))
            return out

        return Placed(width, height, paint)

    def _state(self, cpu: int) -> str:
        if cpu in self._highlight:
            return " h"
        if cpu not in self._topology.allowed.cpus:
            return " x"
        return " e" if cpu in self._efficient else ""

    def legend(self) -> Placed | None:
        """What the colours mean, as far as they occur."""
        topology = self._topology
        kinds = [kind.name for kind in topology.cpu_kinds]
        entries = [
            (" h", "highlighted", bool(self._highlight & topology.cpus)),
            (" x", "not allowed to this process", bool(topology.cpus - topology.allowed.cpus)),
            ("", f"{kinds[0]} core" if kinds else "", bool(kinds)),
            (" e", f"{' or '.join(kinds[1:])} core", bool(kinds)),
        ]
        shown = [_swatch(f"p{style}", words) for style, words, occurs in entries if occurs]
        return flow(shown, _WIDTH, 18) if shown else None

    def distances(self) -> Placed | None:
        """The SLIT as a small matrix, darker for farther."""
        table = self._topology.distances
        if not table:
            return None
        ids = sorted(table)
        if len(ids) > _MOST_DISTANCES:
            others = sorted({d for a, row in table.items() for b, d in row.items() if a != b})
            local = table[ids[0]][ids[0]]
            words = f"Distances between nodes: {', '.join(map(str, others[:12]))}; within a node {local}"
            return Placed(text_width(words, 6.4), 18, lambda x, y, w, h: [text(x, y + 13, words, "s")])
        return _matrix(ids, table)


def _matrix(ids: list[int], table: dict[int, dict[int, int]]) -> Placed:
    cell_w, cell_h, left, top = 34, 18, 62, 38
    low = min(d for row in table.values() for d in row.values())
    high = max(d for row in table.values() for d in row.values())

    def paint(x: float, y: float, w: float, h: float) -> list[str]:
        out = [
            text(x, y + 14, "Distance", "t"),
            text(x + 62, y + 14, "from node (row) to node (column), SLIT", "s"),
        ]
        for j, b in enumerate(ids):
            out.append(text(x + left + j * cell_w + cell_w / 2, y + top - 5, str(b), "s d"))
        for i, a in enumerate(ids):
            line = y + top + i * cell_h
            out.append(text(x, line + 13, f"Node {a}", "s"))
            for j, b in enumerate(ids):
                share = (table[a][b] - low) / (high - low) if high > low else 0
                at = x + left + j * cell_w
                shade = rect(at, line, cell_w - 1, cell_h - 1, "heat", radius=2)
                out.append(f'<g fill-opacity="{0.04 + 0.5 * share:.2f}">{shade}</g>')
                out.append(text(at + (cell_w - 1) / 2, line + 12.5, str(table[a][b]), "d"))
        return out

    return Placed(max(300, left + len(ids) * cell_w), top + len(ids) * cell_h, paint)


def _memory(node: Node, *, allowed: bool) -> Placed:
    words = memory_text(node.memory_kib)
    if node.free_kib is not None and node.memory_kib:
        words += f", {memory_text(node.free_kib)} free" if node.free_kib else ", none free"
    for cache in node.memory_side_caches:
        words += f", cache of {memory_text(cache.size_kib)} in front"
    if not allowed:
        words += ", not allowed"

    def paint(x: float, y: float, w: float, h: float) -> list[str]:
        out = [rect(x, y, w, h, "memory" if allowed else "memory x")]
        if allowed and node.memory_kib and node.free_kib is not None:
            used = w * max(0.0, 1 - node.free_kib / node.memory_kib)
            if used >= 1:
                out.append(rect(x, y, used, h, "used"))
        out.append(text(x + 8, y + 14, words, "" if allowed else "s"))
        return out

    return Placed(text_width(words, 6.8) + 16, 20, paint)


def _chip(chip: Chip) -> Placed:
    tag = text_width(chip.tag, 7.7) + 10
    width = tag + text_width(chip.label, 6.6) + 14

    def paint(x: float, y: float, w: float, h: float) -> list[str]:
        return [
            f"<g><title>{escape(chip.title)}</title>",
            rect(x, y, width, h, "f chip"),
            rect(x, y, tag, h, chip.kind),
            text(x + 5, y + 13.5, chip.tag, "g"),
            text(x + tag + 6, y + 13.5, chip.label, "s"),
            "</g>",
        ]

    return Placed(width, 19, paint)


def _swatch(style: str, words: str) -> Placed:
    def paint(x: float, y: float, w: float, h: float) -> list[str]:
        return [rect(x, y + 1, 20, 14, style, radius=2), text(x + 26, y + 12, words, "s")]

    return Placed(26 + text_width(words, 6.1), 16, paint)
