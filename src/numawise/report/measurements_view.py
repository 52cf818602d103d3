"""Measurements arranged for reading: matrices, curves and groups. One source for terminal and page."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from numawise.linux.cpuset import format_list
from numawise.machine.topology import Topology
from numawise.measure.values import Figure, LoadedPoint, Measurements, Reading
from numawise.report.machine_boxes import brief

T = TypeVar("T", int, float)

SATURATED = 0.95
"""A curve is saturated from where it reaches this share of its highest point."""
KNEE = 2.0
"""Loaded latency is past its knee where it is more than this many times the idle one."""

KERNELS = {
    "read": "reading",
    "write": "writing",
    "write_nt": "writing around the caches",
    "copy": "copying",
    "copy_nt": "copying, writes around the caches",
    "triad": "STREAM triad",
    "triad_nt": "STREAM triad, writes around the caches",
}
"""What the measuring kernels do, in words; others go by their names."""


class Matrix(msgspec.Struct, frozen=True):
    """Readings of one kernel, by the node of the CPUs (rows) and of the memory (columns), both OS ids."""

    kernel: str
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    cells: dict[tuple[int, int], Reading]

    @property
    def figures(self) -> dict[tuple[int, int], Figure]:
        """The cells that have a figure."""
        return {place: cell.figure for place, cell in self.cells.items() if cell.figure is not None}

    @property
    def decimals(self) -> int:
        """How many the least median needs for three digits."""
        least = min((figure.median for figure in self.figures.values()), default=0.0)
        return 0 if least >= 99.95 else 1 if least >= 9.995 else 2


class Curve(msgspec.Struct, frozen=True):
    """Bandwidth by number of cores, on one node and with one kernel."""

    node: int | None
    kernel: str
    points: tuple[tuple[int, Figure], ...]

    @property
    def saturates_at(self) -> int | None:
        """The least number of cores that draw nearly (`SATURATED`) all; None where only the last number does."""
        if len(self.points) < 2:
            return None
        most = max(figure.median for _, figure in self.points)
        first = next(count for count, figure in self.points if figure.median >= SATURATED * most)
        return first if first < self.points[-1][0] else None

    @property
    def words(self) -> str:
        """What the curve comes to, in a sentence."""
        if not self.points:
            return "nothing measured"
        count, last = self.points[-1]
        most = max(figure.median for _, figure in self.points)
        cores = f"{count} cores" if count > 1 else "1 core"
        if len(self.points) == 1:
            return f"{number(last.median)} GB/s with {cores}"
        if self.saturates_at is None:
            return f"not saturated by {cores}: {number(last.median)} GB/s and rising"
        few = f"{self.saturates_at} cores" if self.saturates_at > 1 else "one core"
        return f"saturates at {few} of {count}: more draw at most {number(most)} GB/s"


class LoadedCurve(msgspec.Struct, frozen=True):
    """Latency against the bandwidth drawn meanwhile, the least traffic first; GB/s and the latency in ns."""

    node: int | None
    memory: tuple[int, ...]
    points: tuple[tuple[float, Figure], ...]

    @property
    def knee(self) -> tuple[float, Figure] | None:
        """The most traffic at which latency is still under `KNEE` times the idle one; None if it never is more."""
        idle = self.points[0][1].median if self.points else 0.0
        before: list[tuple[float, Figure]] = []
        for point in self.points:
            if point[1].median > KNEE * idle:
                return before[-1] if before else None
            before.append(point)
        return None

    @property
    def words(self) -> str:
        """What the curve comes to, in a sentence."""
        if not self.points:
            return "nothing measured"
        idle, (most, at_most) = self.points[0][1], max(self.points, key=lambda point: point[0])
        text = f"{number(idle.median)} ns idle, {number(at_most.median)} ns at {number(most)} GB/s"
        if (knee := self.knee) is not None:
            return f"{text}; more than twice the idle latency beyond {number(knee[0])} GB/s"
        return f"{text}; never more than twice the idle latency"


class CoreGroup(msgspec.Struct, frozen=True):
    """Pairs of CPUs that stand in one relation, and what a cache line takes between them, in ns."""

    relation: str
    pairs: int
    lowest: float
    median: float
    highest: float


def matrices(readings: Iterable[Reading]) -> tuple[Matrix, ...]:
    """One matrix a kernel, in the order of first appearance; readings of several nodes at once are left out."""
    by_kernel: dict[str, dict[tuple[int, int], Reading]] = {}
    for reading in readings:
        if reading.cpu_node is not None and len(reading.memory) == 1:
            by_kernel.setdefault(reading.kernel, {})[reading.cpu_node, reading.memory[0]] = reading
    return tuple(
        Matrix(kernel, tuple(sorted({row for row, _ in cells})), tuple(sorted({c for _, c in cells})), cells)
        for kernel, cells in by_kernel.items()
    )


def curves(readings: Iterable[Reading]) -> tuple[Curve, ...]:
    """Bandwidth by number of cores, a curve for each node and kernel."""
    found: dict[tuple[int | None, str], dict[int, Figure]] = {}
    for reading in readings:
        points = found.setdefault((reading.cpu_node, reading.kernel), {})
        if reading.figure is not None:
            points[len(reading.cpus)] = reading.figure
    return tuple(
        Curve(node, kernel, tuple(sorted(points.items(), key=lambda point: point[0])))
        for (node, kernel), points in found.items()
    )


def loaded_curves(points: Iterable[LoadedPoint]) -> tuple[LoadedCurve, ...]:
    """Loaded latency, a curve for each node of the CPUs and of the memory."""
    found: dict[tuple[int | None, tuple[int, ...]], list[tuple[float, Figure]]] = {}
    for point in points:
        curve = found.setdefault((point.latency.cpu_node, point.latency.memory), [])
        if point.latency.figure is not None:
            curve.append((point.gb_per_s, point.latency.figure))
    return tuple(
        LoadedCurve(node, memory, tuple(sorted(curve, key=lambda point: point[0])))
        for (node, memory), curve in found.items()
    )


def core_groups(measurements: Measurements, topology: Topology | None) -> tuple[CoreGroup, ...]:
    """Core-to-core latencies by what the two CPUs share, the nearest first. L3 domains need the topology."""
    machine = measurements.machine
    domains = [domain.cpus for domain in topology.l3_domains] if topology else []
    relations = (
        ("SMT siblings", list(machine.cores)),
        ("one L3 domain", domains),
        ("one node", [node.cpus for node in machine.nodes]),
        ("one socket", list(machine.sockets)),
    )
    found: dict[str, list[float]] = {}
    for reading in measurements.core_to_core:
        if reading.figure is None:
            continue
        pair = frozenset(reading.cpus)
        held = (name for name, sets in relations if any(pair <= frozenset(cpus) for cpus in sets))
        far = "across sockets" if len(machine.sockets) > 1 else "elsewhere on the machine"
        found.setdefault(next(held, far), []).append(reading.figure.median)
    order = [*(name for name, _ in relations), "across sockets", "elsewhere on the machine"]
    return tuple(
        CoreGroup(name, len(ns), min(ns), statistics.median(ns), max(ns))
        for name, ns in sorted(found.items(), key=lambda item: order.index(item[0]))
    )


def reasons(readings: Iterable[Reading]) -> tuple[str, ...]:
    """Why figures are missing, each reason once with the places it is given for."""
    places: dict[str, list[str]] = {}
    for reading in readings:
        if reading.figure is None:
            places.setdefault(reading.why or "no reason given", []).append(place_text(reading))
    return tuple(f"{'; '.join(dict.fromkeys(where))}: {why}" for why, where in places.items())


def conditions(readings: Sequence[Reading], *, counted: bool = True) -> str:
    """How these readings were taken, in a line: bytes counted (if asked), pages, buffers, placement, repeats."""
    good = [reading for reading in readings if reading.figure is not None]
    if not good:
        return ""
    kinds = sorted({reading.bytes_counted for reading in good if reading.bytes_counted}) if counted else []
    pages = sorted({reading.page_kib for reading in good if reading.page_kib})
    buffers = [reading.buffer_kib for reading in good if reading.buffer_kib]
    shares = [reading.on_target for reading in good if reading.on_target is not None]
    repeats = [reading.figure.repeats for reading in good if reading.figure is not None]
    parts = [
        f"counted: {' or '.join(kinds)}" if kinds else "",
        f"pages {' and '.join(map(size_text, pages))}" if pages else "",
        f"buffers {_span(buffers, size_text)}" if buffers else "",
        f"{floor_percent(min(shares))} of the sampled pages on target" if shares else "",
        f"repeats {_span(repeats, str)}",
    ]
    return ", ".join(part for part in parts if part)


def distance_words(matrix: Matrix, unit: str) -> str:
    """How far memory of other nodes is, against a node's own: `1.61 times the own (143 ns against 88.7 ns)`.

    Empty where no node has both CPUs and memory, or there is no other memory.
    """
    own = {row: figure.median for (row, column), figure in matrix.figures.items() if row == column}
    others = [
        (figure.median, own[row])
        for (row, col), figure in matrix.figures.items()
        if row != col and row in own
    ]
    ratios = sorted(other / mine for other, mine in others if mine > 0)
    if not ratios:
        return ""
    ends = [f"{ratio:.2f}" for ratio in (ratios[0], ratios[-1])]
    far, near = [other for other, _ in others], list(own.values())
    return (
        f"{' to '.join(dict.fromkeys(ends))} times that of a node's own memory "
        f"({_span(far, number)} {unit} against {_span(near, number)} {unit})"
    )


def place_text(reading: Reading) -> str:
    """`node 0 from node 1`: whose memory, from whose CPUs."""
    cpus = f"node {reading.cpu_node}" if reading.cpu_node is not None else f"CPUs {brief(reading.cpus)}"
    if not reading.memory:
        return f"CPUs {brief(reading.cpus)}"
    return f"{'node' if len(reading.memory) == 1 else 'nodes'} {format_list(reading.memory)} from {cpus}"


def whole_text(reading: Reading) -> str:
    """A reading of all cores of the machine: `STREAM triad, 72 cores, each in its own node's memory`."""
    count, nodes = len(reading.cpus), format_list(reading.memory)
    where = {
        "own": "each in its own node's memory",
        "interleaved": f"interleaved over nodes {nodes}",
    }.get(reading.layout, f"memory of {'nodes' if len(reading.memory) > 1 else 'node'} {nodes}")
    kernel = KERNELS.get(reading.kernel, reading.kernel)
    return f"{kernel}, {count} core{'s' if count != 1 else ''}, {where}"


def number(value: float) -> str:
    """Three digits, never an exponent.

    >>> number(89.24), number(1234.5), number(0.4321)
    ('89.2', '1234', '0.432')
    """
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}" if abs(value) >= 0.001 else "0"


def spread(value: float) -> str:
    """A deviation in two digits.

    >>> spread(0.4321), spread(12.3), spread(0.0)
    ('0.43', '12', '0')
    """
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.2g}" if abs(value) >= 0.001 else "0"


def size_text(kib: int) -> str:
    """A size of a page or a buffer.

    >>> size_text(4), size_text(2048), size_text(1 << 20)
    ('4 KiB', '2 MiB', '1 GiB')
    """
    for unit, power in (("GiB", 20), ("MiB", 10)):
        if kib >= 1 << power:
            return f"{kib / (1 << power):.4g} {unit}"
    return f"{kib} KiB"


def _span(values: Sequence[T], text: Callable[[T], str]) -> str:
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} to {high}"


def floor_percent(share: float) -> str:
    """Rounded down: 99.97% must not read as all of them."""
    return f"{int(share * 1000) / 10:g}%" if share < 1 else "all"
