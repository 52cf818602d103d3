"""Measurements as they come from machines that somebody published.

Latency and bandwidth between nodes are the published figures (`numawise.machine.published`, with their sources);
everything else follows from them by a rule written here, with a little noise from a seed. Nothing was measured.
"""

from __future__ import annotations

import random

import msgspec

from numawise.linux.cpuset import CPUSet
from numawise.machine.identity import machine_facts, topology_key
from numawise.machine.published import Published, get
from numawise.machine.topology import Device, Topology
from numawise.measure.values import (
    DeviceLink,
    DeviceReading,
    Figure,
    LoadedPoint,
    Measurements,
    Reading,
)

STARTED = 1_760_000_000.0
KERNELS = {"read": (1.0, "read"), "write_nt": (0.62, "written"), "copy": (0.82, "read + written")}
GPUS = ("0000:17:00.0", "0000:65:00.0", "0000:b1:00.0", "0000:e3:00.0")


class Maker:
    """Makes readings of one machine."""

    def __init__(self, machine: Published, topology: Topology, seed: int) -> None:
        self.machine, self.topology, self.random = machine, topology, random.Random(seed)
        self.cores = {
            node.id: [min(core) for core in topology.smt_siblings if core <= node.cpus]
            for node in topology.nodes
        }

    def figure(self, middle: float, *, lower: bool, noise: float = 0.004) -> Figure:
        value = middle * self.random.gauss(1, noise / 2)
        best = value * (1 - noise if lower else 1 + noise)
        return Figure(best, value, abs(value * noise * self.random.uniform(0.5, 1.2)), 9)

    def link(self, cpu: int, memory: int, fallback: str = "socket") -> tuple[float, float]:
        link = self.machine.link(self.machine.relation(cpu, memory)) or self.machine.link("socket")
        local = self.machine.link("local")
        assert local is not None
        link = link or local
        latency = link.latency_ns or local.latency_ns or (115.0, 115.0)
        return sum(latency) / 2, link.gb_per_s or (local.gb_per_s or 0) * 0.5

    def reading(self, cpus: list[int], node: int | None, memory: tuple[int, ...], **more: object) -> Reading:
        usual: dict[str, object] = {
            "buffer_kib": 1 << 20,
            "page_kib": 2048,
            "on_target": 1.0,
            "sampled_pages": 1000,
            **more,
        }
        return Reading(CPUSet(cpus), node, memory, **usual)  # type: ignore[arg-type]


def measured(
    name: str, *, seed: int = 5, nodes_per_socket: int | None = None, sockets: int | None = None
) -> tuple[Measurements, Topology]:
    """A published machine, measured in full; `nodes_per_socket` and `sockets`: other than published."""
    machine = get(name)
    if sockets is not None:
        machine = msgspec.structs.replace(machine, sockets=sockets)
    if nodes_per_socket is not None:
        machine = msgspec.structs.replace(machine, nodes_per_socket=nodes_per_socket, extra_nodes=())
    topology = machine.topology()
    make = Maker(machine, topology, seed)
    with_cpus = [node.id for node in topology.nodes if node.cpus]
    with_memory = [node.id for node in topology.nodes]
    first = with_cpus[0]
    latency = [
        make.reading(
            make.cores[a][:1],
            a,
            (b,),
            figure=make.figure(make.link(a, b)[0], lower=True),
            kernel="chase",
            bytes_counted="",
        )
        for a in with_cpus
        for b in with_memory
    ]
    bandwidth = [
        make.reading(
            make.cores[a],
            a,
            (b,),
            figure=make.figure(make.link(a, b)[1] * share, lower=False, noise=0.012),
            kernel=kernel,
            bytes_counted=counted,
        )
        for kernel, (share, counted) in KERNELS.items()
        for a in with_cpus
        for b in with_memory
    ]
    idle, most = make.link(first, first)
    measurements = Measurements(
        topology_key=topology_key(topology),
        machine=machine_facts(topology),
        created=STARTED,
        numawise_version="0.1.0",
        model_name=machine.model_name,
        settings={"kernel": "6.8.0", "governor": "performance", "NUMA balancing": "0", "THP": "madvise"},
        latency=tuple(latency),
        bandwidth=tuple(bandwidth),
        aggregate=tuple(_aggregate(make, with_cpus)),
        scaling=tuple(_scaling(make, with_cpus)),
        loaded=tuple(_loaded(make, first, idle, most)),
        pages=tuple(_pages(make, first, idle)),
        smt=tuple(_smt(make, with_cpus)),
        core_to_core=tuple(_core_to_core(make)),
    )
    return measurements, topology


def _aggregate(make: Maker, nodes: list[int]) -> list[Reading]:
    every = [core for node in nodes for core in make.cores[node]]
    total = sum(make.link(node, node)[1] for node in nodes)
    return [
        make.reading(
            every,
            None,
            tuple(nodes),
            figure=make.figure(total * share, lower=False, noise=0.01),
            kernel="read",
            bytes_counted="read",
            layout=layout,
        )
        for layout, share in (("own", 0.97), ("interleaved", 0.71))
    ]


def _scaling(make: Maker, nodes: list[int]) -> list[Reading]:
    found = []
    for node in nodes:
        cores = make.cores[node]
        most, one = make.link(node, node)[1], 14.0
        counts = sorted({1, 2, 3, 4, *range(6, len(cores), max(2, len(cores) // 10)), len(cores)})
        for count in (count for count in counts if count <= len(cores)):
            ideal = one * count
            rate = ideal * most / (ideal**4 + most**4) ** 0.25
            found.append(
                make.reading(
                    cores[:count],
                    node,
                    (node,),
                    figure=make.figure(rate, lower=False, noise=0.01),
                    kernel="read",
                    bytes_counted="read",
                )
            )
    return found


def _loaded(make: Maker, node: int, idle: float, most: float) -> list[LoadedPoint]:
    points = []
    for pause in (20000, 5000, 2000, 1000, 500, 300, 200, 100, 50, 0):
        share = 0.97 / (1 + pause / 260)
        ns = idle * (1 + 0.12 * share / (1 - share) ** 1.05)
        points.append(
            LoadedPoint(
                pause,
                most * share,
                make.reading(
                    make.cores[node][:1], node, (node,), figure=make.figure(ns, lower=True), kernel="chase"
                ),
            )
        )
    return points


def _pages(make: Maker, node: int, idle: float) -> list[Reading]:
    return [
        make.reading(
            make.cores[node][:1],
            node,
            (node,),
            figure=make.figure(idle * factor, lower=True),
            kernel="chase",
            page_kib=page,
        )
        for page, factor in ((4, 1.42), (2048, 1.0))
    ]


def _smt(make: Maker, nodes: list[int]) -> list[Reading]:
    found = []
    for node in nodes:
        cpus = sorted(make.topology.node(node).cpus)
        for chosen, factor in ((make.cores[node], 1.0), (cpus, 0.985)):
            rate = make.figure(make.link(node, node)[1] * factor, lower=False, noise=0.01)
            found.append(
                make.reading(chosen, node, (node,), figure=rate, kernel="read", bytes_counted="read")
            )
    return found


def _core_to_core(make: Maker) -> list[Reading]:
    chosen = [core for cores in make.cores.values() for core in cores[:: max(1, len(cores) // 4)][:4]]
    found = []
    for i, a in enumerate(chosen):
        for b in chosen[i + 1 :]:
            together = any({a, b} <= set(domain.cpus) for domain in make.topology.l3_domains)
            socket = any({a, b} <= set(socket.cpus) for socket in make.topology.sockets)
            middle = 24 if together else 62 if socket else 121
            figure = make.figure(middle, lower=True, noise=0.03)
            node = make.topology.node_of_cpu(a)
            same = node == make.topology.node_of_cpu(b)
            found.append(
                make.reading([a, b], node if same else None, (node or 0,), figure=figure, kernel="ping")
            )
    return found


def with_gpus(measurements: Measurements, topology: Topology) -> tuple[Measurements, Topology]:
    """Four GPUs, two on each side, by NVLink across an NVSwitch: bandwidth as PCIe 4.0 x16 gives it."""
    devices = tuple(
        Device(address, "gpu", node=i // 2, vendor="0x10de", device="0x20b2", names=(f"card{i}",))
        for i, address in enumerate(GPUS)
    )
    noise = random.Random(11)
    readings = []
    for device in devices:
        for node in (node.id for node in topology.nodes):
            for direction, near, far in (("host-to-device", 26.1, 21.4), ("device-to-host", 26.3, 17.9)):
                value = (near if node == device.node else far) * noise.gauss(1, 0.003)
                readings.append(
                    DeviceReading(
                        device.address,
                        node,
                        direction,  # type: ignore[arg-type]
                        Figure(value * 1.004, value, value * 0.002, 12),
                        device_node=device.node,
                        name="NVIDIA A100-SXM4-80GB",
                        buffer_kib=512 << 10,
                        on_target=1.0,
                        sampled_pages=1000,
                        pcie_generation=4,
                        pcie_width=16,
                    )
                )
    links = tuple(
        DeviceLink(a, b, "node" if i // 2 == j // 2 else "system", 12, "3.0", through_switch=True)
        for i, a in enumerate(GPUS)
        for j, b in enumerate(GPUS)
        if i < j
    )
    return (
        msgspec.structs.replace(measurements, device=tuple(readings), links=links),
        msgspec.structs.replace(topology, devices=devices),
    )


def with_gaps(measurements: Measurements) -> Measurements:
    """The same after half of it was refused: no memory on the last node, no loaded latency, a sibling missing."""
    last = max(reading.memory[0] for reading in measurements.latency)
    why = f"node {last} has 0.4 GiB free, the buffer needs 1 GiB: free some, or measure on an idle machine"

    def torn(reading: Reading) -> Reading:
        if last not in reading.memory:
            return reading
        return msgspec.structs.replace(reading, figure=None, why=why, on_target=None, page_kib=None)

    parts = {
        name: tuple(torn(reading) for reading in getattr(measurements, name))
        for name in ("latency", "bandwidth", "aggregate", "scaling", "smt")
    }
    return msgspec.structs.replace(
        measurements,
        **parts,
        loaded=(),
        core_to_core=(),
        incomplete=(f"memory of {why}", "loaded latency: mbind refused (EPERM): run with CAP_SYS_NICE"),
    )


TWO = measured("2x-xeon-8360y")
MACHINES = {
    "two": TWO,
    "gpus": with_gpus(*TWO),
    "five": measured("2x-epyc-9224-cxl"),
    "eight": measured("2x-epyc-9224-cxl", nodes_per_socket=4),
    "sixteen": measured("2x-epyc-9224-cxl", nodes_per_socket=8),
    "single": measured("2x-skylake", sockets=1),
    "one": measured("gh200"),
    "gaps": (with_gaps(TWO[0]), TWO[1]),
}
