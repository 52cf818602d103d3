"""The machine as the model sees it: bandwidth and latency from every node's CPUs to every node's memory."""

from __future__ import annotations

import math
import statistics
from typing import Literal

import msgspec

from numawise.experiment.predict.parameters import Parameters
from numawise.machine import published
from numawise.machine.published import Published
from numawise.machine.topology import Topology
from numawise.measure.values import Measurements

_MEASURED_SIGMA = 0.05
"""Of a figure measured on the machine itself: from run to run, and from kernel to program."""
_PUBLISHED_SIGMA = 0.15
"""Of a published one: another board, other memory."""
_CACHE_LINE = 64


class Machine(msgspec.Struct, frozen=True):
    """What the model needs to know. Nodes are keyed by OS id: first the one with the CPUs, then that of the memory."""

    topology: Topology
    gb_per_s: dict[int, dict[int, float]]
    """What all cores of a node draw from a node's memory, in 10**9 bytes a second."""
    latency_ns: dict[int, dict[int, float]]
    core_gb_per_s: float
    """What one core draws from its own node's memory."""
    gflops_per_core: float
    local_sigma: float
    """Standard deviation of the log of figures of a node's own memory ..."""
    remote_sigma: float
    """... and of the ratio of those of another node's to them."""
    core_sigma: float
    origin: Literal["measured", "published", "prior"]
    small_pages: float | None = None
    """Latency in ordinary pages over that in huge ones, where it was measured."""
    missing: tuple[str, ...] = ()
    """In words, what a prior stands in for."""

    @property
    def memory_nodes(self) -> tuple[int, ...]:
        """The nodes with memory that programs may use."""
        return tuple(n.id for n in self.topology.nodes if n.memory_kib and n.kind != "gpu")


def from_measurements(
    topology: Topology, measured: Measurements, parameters: Parameters | None = None
) -> Machine:
    """The machine by its own measurements; priors where a reading is missing, named in `missing`."""
    base = from_priors(topology, parameters)
    bandwidth: dict[int, dict[int, float]] = {}
    latency: dict[int, dict[int, float]] = {}
    missing = []
    for cpu, row in base.gb_per_s.items():
        for memory in row:
            found = measured.gb_per_s(cpu, memory)
            wait = measured.latency_ns(cpu, memory)
            bandwidth.setdefault(cpu, {})[memory] = found or base.gb_per_s[cpu][memory]
            latency.setdefault(cpu, {})[memory] = wait or base.latency_ns[cpu][memory]
            if found is None or wait is None:
                missing.append(f"node {cpu} to memory of node {memory}")
    one_core = [
        reading.figure.median
        for reading in measured.scaling
        if reading.figure is not None and len(reading.cpus) == 1
    ]
    pages = {
        reading.page_kib: reading.figure.median
        for reading in measured.pages
        if reading.figure is not None and reading.page_kib
    }
    own = _MEASURED_SIGMA if not missing else base.local_sigma
    core = statistics.median(one_core) if one_core else _core(latency, parameters or Parameters())
    return msgspec.structs.replace(
        base,
        gb_per_s=bandwidth,
        latency_ns=latency,
        core_gb_per_s=core,
        core_sigma=_MEASURED_SIGMA if one_core else base.core_sigma,
        local_sigma=own,
        remote_sigma=own if not missing else base.remote_sigma,
        origin="measured",
        small_pages=max(1.0, pages[min(pages)] / pages[max(pages)]) if len(pages) > 1 else None,
        missing=tuple(missing),
    )


def from_published(machine: Published, parameters: Parameters | None = None) -> Machine:
    """A published machine; priors for links that were not published, named in `missing`."""
    topology, base = machine.topology(), from_priors(machine.topology(), parameters)
    bandwidth: dict[int, dict[int, float]] = {}
    latency: dict[int, dict[int, float]] = {}
    missing = []
    for cpu, row in base.gb_per_s.items():
        for memory in row:
            relation = machine.relation(cpu, memory)
            link = machine.link(relation)
            wait = statistics.fmean(link.latency_ns) if link and link.latency_ns else None
            bandwidth.setdefault(cpu, {})[memory] = (
                link.gb_per_s if link and link.gb_per_s else base.gb_per_s[cpu][memory]
            )
            latency.setdefault(cpu, {})[memory] = wait or base.latency_ns[cpu][memory]
            if not (link and link.gb_per_s and wait):
                missing.append(f"{relation} memory")
    return Machine(
        topology=topology,
        gb_per_s=bandwidth,
        latency_ns=latency,
        core_gb_per_s=_core(latency, parameters or Parameters()),
        gflops_per_core=machine.ghz * machine.flops_per_cycle,
        local_sigma=_PUBLISHED_SIGMA,
        remote_sigma=_PUBLISHED_SIGMA if not missing else base.remote_sigma,
        core_sigma=base.core_sigma,
        origin="published",
        missing=tuple(dict.fromkeys(missing)),
    )


def from_priors(topology: Topology, parameters: Parameters | None = None) -> Machine:
    """A machine of which nothing was measured: what published machines of its kind are like, or all of them."""
    beliefs = parameters or Parameters()
    ratio, stretch, sigma = _remote(topology)
    cpu_nodes = [node for node in topology.nodes if node.cpus]
    cores = {
        node.id: max(1, sum(bool(core & node.cpus) for core in topology.smt_siblings) or len(node.cpus))
        for node in cpu_nodes
    }
    bandwidth: dict[int, dict[int, float]] = {}
    latency: dict[int, dict[int, float]] = {}
    for node in cpu_nodes:
        for other in topology.nodes:
            if not other.memory_kib or other.kind == "gpu":
                continue
            far = _farness(topology, node.id, other.id)
            own = beliefs.local_gb_per_s_per_core.value * cores.get(other.id, cores[node.id])
            bandwidth.setdefault(node.id, {})[other.id] = own * ratio**far
            latency.setdefault(node.id, {})[other.id] = beliefs.local_latency_ns.value * stretch**far
    return Machine(
        topology=topology,
        gb_per_s=bandwidth,
        latency_ns=latency,
        core_gb_per_s=_core(latency, beliefs),
        gflops_per_core=beliefs.gflops_per_core.value,
        local_sigma=beliefs.local_gb_per_s_per_core.sigma,
        remote_sigma=sigma,
        core_sigma=beliefs.lines_in_flight.sigma,
        origin="prior",
        missing=("bandwidth and latency of all memory",),
    )


def _remote(topology: Topology) -> tuple[float, float, float]:
    """Memory of another socket against a node's own, on published machines: bandwidth, latency, error of the log."""
    machines = published.similar(topology) or tuple(map(published.get, published.names()))
    pairs = [(m.link("local"), m.link("socket")) for m in machines]
    shares = [
        far.gb_per_s / near.gb_per_s for near, far in pairs if near and far and near.gb_per_s and far.gb_per_s
    ]
    stretches = [
        statistics.fmean(far.latency_ns) / statistics.fmean(near.latency_ns)
        for near, far in pairs
        if near and far and near.latency_ns and far.latency_ns
    ]
    if not shares or not stretches:
        return _remote_of_all()
    logs = statistics.stdev(map(math.log, shares)) if len(shares) > 1 else 0.4
    return statistics.median(shares), statistics.median(stretches), max(logs, 0.2)


def _remote_of_all() -> tuple[float, float, float]:
    return _remote(published.get("2x-xeon-8358").topology())


def _farness(topology: Topology, cpu_node: int, memory_node: int) -> float:
    """0 for a node's own memory, 1 for that of another socket, by the firmware's distances where it gives them."""
    if cpu_node == memory_node:
        return 0.0
    distances = topology.distances or {}
    distance = distances.get(cpu_node, {}).get(memory_node)
    # SLIT has 10 for a node's own memory and, by custom, about 21 for the other socket.
    return 1.0 if distance is None else min(max((distance - 10) / 11, 0.1), 2.0)


def _core(latency: dict[int, dict[int, float]], beliefs: Parameters) -> float:
    own = [row[node] for node, row in latency.items() if node in row]
    wait = statistics.median(own) if own else beliefs.local_latency_ns.value
    return beliefs.lines_in_flight.value * _CACHE_LINE / wait
