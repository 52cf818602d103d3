"""What others say of the same quantities, beside the measured ones: SLIT, HMAT, published machines of this kind.

Pure: nothing is measured or read from the system here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from numawise.machine.published import normal
from numawise.machine.topology import Topology
from numawise.measure.values import Measurements

_GB_PER_MIB = 2**20 / 1e9

Source = Literal["SLIT", "HMAT", "published"]
Unit = Literal["ns", "GB/s", "of own"]
"""`of own`: against the same quantity in the memory of the CPUs' own node."""


class Claim(msgspec.Struct, frozen=True):
    """One measured quantity, and what a source says of it."""

    source: Source
    quantity: Literal["latency", "bandwidth"]
    cpu_node: int
    memory_node: int
    unit: Unit
    measured: float
    low: float
    """What is claimed, or the least of what was published."""
    high: float
    """The same, or the most."""
    text: str


def claims(measurements: Measurements, topology: Topology) -> tuple[Claim, ...]:
    """Every claim that can be held against a figure of `measurements`; none for what was not measured."""
    return (
        *_slit(measurements, topology),
        *_hmat(measurements, topology),
        *_published(measurements, topology),
    )


def ratio(measurements: Measurements, quantity: str, cpu_node: int, memory_node: int) -> float | None:
    """Latency, or read bandwidth, of a node's memory against that of the CPUs' own node; None when not measured."""
    look = measurements.latency_ns if quantity == "latency" else measurements.gb_per_s
    far, own = look(cpu_node, memory_node), look(cpu_node, cpu_node)
    return far / own if far and own else None


def _slit(measurements: Measurements, topology: Topology) -> Iterator[Claim]:
    for one, other in _pairs(measurements):
        row = (topology.distances or {}).get(one, {})
        measured = ratio(measurements, "latency", one, other)
        if one == other or measured is None or not row.get(one) or not row.get(other):
            continue
        said = row[other] / row[one]
        text = f"latency of node {other} from node {one} is {measured:.2f} times that of its own; SLIT says {said:.2f}"
        yield Claim("SLIT", "latency", one, other, "of own", measured, said, said, text)


def _hmat(measurements: Measurements, topology: Topology) -> Iterator[Claim]:
    for node in topology.nodes:
        access = node.access
        for initiator in access.initiators if access is not None else ():
            latency, said = (
                measurements.latency_ns(initiator, node.id),
                access.read_latency_ns if access else None,
            )
            where = f"node {node.id} from node {initiator}"
            if latency and said:
                text = f"latency of {where} is {latency:.0f} ns; HMAT says {said}"
                yield Claim("HMAT", "latency", initiator, node.id, "ns", latency, said, said, text)
            drawn, mib = (
                measurements.gb_per_s(initiator, node.id),
                access.read_bandwidth_mib_s if access else None,
            )
            if drawn and mib:
                claimed = mib * _GB_PER_MIB
                text = f"read bandwidth of {where} is {drawn:.1f} GB/s; HMAT says {claimed:.1f}"
                yield Claim("HMAT", "bandwidth", initiator, node.id, "GB/s", drawn, claimed, claimed, text)


def _published(measurements: Measurements, topology: Topology) -> Iterator[Claim]:
    known = normal(topology)
    if known is None:
        return
    socket = {cpu: each.id for each in topology.sockets for cpu in each.cpus}
    sockets = {node.id: {socket.get(cpu) for cpu in node.cpus} for node in topology.nodes}
    for one, other in _pairs(measurements):
        if one == other:
            yield from _published_own(measurements, one, known.local_latency_ns, known.local_gb_per_s)
        elif sockets.get(one) and sockets.get(other) and not sockets[one] & sockets[other]:
            yield from _published_far(measurements, one, other, known.latency_ratio, known.bandwidth_ratio)


def _published_own(
    measurements: Measurements,
    node: int,
    latency: tuple[float, float] | None,
    bandwidth: tuple[float, float] | None,
) -> Iterator[Claim]:
    measured, drawn = measurements.latency_ns(node, node), measurements.gb_per_s(node, node)
    if measured and latency:
        text = (
            f"latency of node {node}'s own memory is {measured:.0f} ns; machines of this kind: "
            f"{_span(latency, '.0f')} ns"
        )
        yield Claim("published", "latency", node, node, "ns", measured, *latency, text)
    if drawn and bandwidth:
        text = (
            f"node {node} reads its own memory at {drawn:.1f} GB/s; machines of this kind: "
            f"{_span(bandwidth, '.0f')} GB/s"
        )
        yield Claim("published", "bandwidth", node, node, "GB/s", drawn, *bandwidth, text)


def _published_far(
    measurements: Measurements,
    one: int,
    other: int,
    latency: tuple[float, float] | None,
    bandwidth: tuple[float, float] | None,
) -> Iterator[Claim]:
    slower, share = (ratio(measurements, what, one, other) for what in ("latency", "bandwidth"))
    if slower and latency:
        text = (
            f"latency of node {other} from node {one} is {slower:.2f} times that of its own; machines of this "
            f"kind: {_span(latency, '.2f')}"
        )
        yield Claim("published", "latency", one, other, "of own", slower, *latency, text)
    if share and bandwidth:
        text = (
            f"read bandwidth of node {other} from node {one} is {share:.0%} of its own; machines of this kind: "
            f"{_span((100 * bandwidth[0], 100 * bandwidth[1]), '.0f')}%"
        )
        yield Claim("published", "bandwidth", one, other, "of own", share, *bandwidth, text)


def _pairs(measurements: Measurements) -> list[tuple[int, int]]:
    """CPU node and memory node of every reading of a single pair, each once, in their order."""
    readings = (*measurements.latency, *measurements.bandwidth)
    return list(
        dict.fromkeys(
            (r.cpu_node, r.memory[0]) for r in readings if r.cpu_node is not None and len(r.memory) == 1
        )
    )


def _span(values: tuple[float, float], form: str) -> str:
    low, high = (format(value, form) for value in values)
    return low if low == high else f"{low}-{high}"
