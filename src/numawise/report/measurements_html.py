"""One page about what was measured on one machine (`page` says what every page is)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numawise.linux.files import write_file
from numawise.machine.topology import Topology
from numawise.measure.claims import Claim
from numawise.measure.values import Measurements, Reading
from numawise.report import machine_svg
from numawise.report.machine_boxes import plural
from numawise.report.measurements_charts import (
    key,
    loaded_chart,
    loaded_name,
    name,
    scaling_chart,
)
from numawise.report.measurements_claims import groups
from numawise.report.measurements_devices import link_matrix
from numawise.report.measurements_maps import core_map, device_maps, node_maps
from numawise.report.measurements_rows import every_row, rows
from numawise.report.measurements_view import (
    conditions,
    core_groups,
    curves,
    distance_words,
    loaded_curves,
    matrices,
    number,
    reasons,
)
from numawise.report.page import render_page, svg


def write(path: Path, measurements: Measurements, topology: Topology, claims: Sequence[Claim] = ()) -> Path:
    """Render and write the page, whole or not at all. Raises NumawiseError when it cannot be written."""
    write_file(path, render(measurements, topology, claims).encode("utf-8", "replace"))
    return path


def render(measurements: Measurements, topology: Topology, claims: Sequence[Claim] = ()) -> str:
    """The page.

    Args:
        measurements: what was measured; parts that are empty are left out.
        topology: the machine it was measured on.
        claims: what firmware and publications say of the same quantities (`measure.claims.claims`).
    """
    return render_page(
        "measurements.html.j2",
        styles=("page.css", "measurements.css"),
        **_content(measurements, topology, claims),
    )


def _content(m: Measurements, topology: Topology, claims: Sequence[Claim]) -> dict[str, Any]:
    listed = every_row(m)
    headline, *summary = _summary(m)
    scaled, loaded = curves(m.scaling), loaded_curves(m.loaded)
    return {
        "kind": "measure",
        "version": m.numawise_version,
        "m": m,
        "date": time.strftime("%Y-%m-%d %H:%M", time.localtime(m.created)),
        "headline": headline,
        "summary": summary,
        "tiles": _tiles(m),
        "machine": svg(machine_svg.draw(topology)),
        "facts": _facts(m, topology),
        "latency": _how(m, "latency") | {"maps": node_maps(m.latency, claims, "latency")},
        "bandwidth": _how(m, "bandwidth", counted=False)
        | {"maps": node_maps(m.bandwidth, claims, "bandwidth")},
        "claims_latency": groups(claims, "latency"),
        "claims_bandwidth": groups(claims, "bandwidth"),
        **{part: _how(m, part) | {"rows": rows(m, part)} for part in ("aggregate", "smt", "pages")},
        "scaling": _how(m, "scaling")
        | {
            "chart": svg(scaling_chart(scaled)),
            "legend": [(svg(key(i)), name(curve)) for i, curve in enumerate(scaled)],
            "words": [f"{name(curve)}: {curve.words}" for curve in scaled],
        },
        "loaded": _how(m, "loaded")
        | {
            "chart": svg(loaded_chart(loaded)),
            "legend": [(svg(key(i)), loaded_name(curve)) for i, curve in enumerate(loaded)],
            "words": [f"{loaded_name(curve)}: {curve.words}" for curve in loaded],
        },
        "cores": _how(m, "core_to_core") | {"map": core_map(m.core_to_core), "groups": _groups(m, topology)},
        "devices": device_maps(m.device),
        "links": link_matrix(m.links) if m.links else None,
        "nvlink_versions": ", ".join(
            sorted({link.nvlink_version for link in m.links if link.nvlink_version})
        ),
        "readings": listed,
        "without": sum(1 for row in listed if not row.repeats),
    }


def _summary(m: Measurements) -> list[str]:
    """The headline, and what stands under it."""
    parts = (("latency", "Latency", "ns"), ("bandwidth", "Bandwidth", "GB/s"))
    said = []
    for part, word, unit in parts:
        for matrix in matrices(getattr(m, part))[:1]:
            if words := distance_words(matrix, unit):
                said.append(f"{word} of other nodes' memory: {words}")
    farthest = [
        figure.median / own.figure.median
        for matrix in matrices(m.latency)[:1]
        for (row, column), figure in matrix.figures.items()
        if row != column and (own := matrix.cells.get((row, row))) and own.figure and own.figure.median
    ]
    if farthest:
        ends = dict.fromkeys(f"{ratio:.2f}" for ratio in (min(farthest), max(farthest)))
        return [f"Other nodes' memory is {' to '.join(ends)} times as far", *said]
    nodes = len(m.machine.nodes)
    if nodes == 1:
        return ["One node: all memory is equally near", *said]
    return [f"{nodes} nodes, of which no distance was measured in full", *said]


def _tiles(m: Measurements) -> list[tuple[str, str]]:
    """The figures that people ask for first, medians over nodes."""
    tiles = []
    for part, unit, near, far in (
        ("latency", "ns", "own memory", "another node's memory"),
        ("bandwidth", "GB/s", "a node from its own memory", "from another node's"),
    ):
        for matrix in matrices(getattr(m, part))[:1]:
            figures = matrix.figures.items()
            for words, values in (
                (near, [f.median for (row, column), f in figures if row == column]),
                (far, [f.median for (row, column), f in figures if row != column]),
            ):
                if values:
                    ends = dict.fromkeys((number(min(values)), number(max(values))))
                    tiles.append((f"{' to '.join(ends)} {unit}", words))
    whole = [reading for reading in m.aggregate if reading.figure is not None]
    if whole and whole[0].figure is not None:
        cores = len(whole[0].cpus)
        tiles.append((f"{number(whole[0].figure.median)} GB/s", f"all {cores} cores, {whole[0].kernel}"))
    return tiles


def _facts(m: Measurements, topology: Topology) -> list[tuple[str, str]]:
    memory = sum(node.memory_kib for node in topology.nodes) / 2**20
    return [
        ("Processor", " ".join(m.model_name.split()) or topology.architecture or "unknown"),
        (
            "CPUs",
            f"{len(topology.cpus)} on {plural(topology.cores, 'core')}, {plural(len(topology.sockets) or 1, 'socket')}",
        ),
        ("Nodes", f"{len(topology.nodes)} with {memory:.4g} GiB"),
        *((("GPUs", "; ".join(said)),) if (said := m.notes.get("device")) else ()),
        *m.settings.items(),
        *(("Note", note) for note in topology.notes),
    ]


def _how(m: Measurements, part: str, *, counted: bool = True) -> dict[str, Any]:
    readings: Sequence[Reading] = (
        [point.latency for point in m.loaded] if part == "loaded" else getattr(m, part)
    )
    words = conditions(readings, counted=counted)
    return {
        "conditions": words[:1].upper() + words[1:],
        "notes": list(dict.fromkeys([*m.notes.get(part, ()), *(r.note for r in readings if r.note)])),
        "reasons": reasons(readings),
    }


def _groups(m: Measurements, topology: Topology) -> list[dict[str, Any]]:
    return [
        {
            "relation": group.relation,
            "pairs": group.pairs,
            "lowest": number(group.lowest),
            "median": number(group.median),
            "highest": number(group.highest),
        }
        for group in core_groups(m, topology)
    ]
