"""What was measured, as values: each figure with how it was taken, or with the reason why there is none."""

from __future__ import annotations

import msgspec

from numawise.linux.cpuset import CPUSet
from numawise.machine.identity import MachineFacts
from numawise.measure.device_values import DeviceLink, DeviceReading
from numawise.measure.figure import Figure

__all__ = [
    "MEASUREMENTS_VERSION",
    "DeviceLink",
    "DeviceReading",
    "Figure",
    "LoadedPoint",
    "Measurements",
    "Reading",
]

MEASUREMENTS_VERSION = 1


class Reading(msgspec.Struct, frozen=True):
    """One quantity, measured by threads on `cpus` in memory of `memory`; or why it could not be had."""

    cpus: CPUSet
    """Where the threads were pinned, one each."""
    cpu_node: int | None
    """The node of all these CPUs; None when they belong to several."""
    memory: tuple[int, ...]
    """The nodes whose memory was used: one, or several when it was interleaved or each thread had its own."""
    figure: Figure | None
    why: str = ""
    """Why there is no figure, and what to do."""
    kernel: str = ""
    """The measuring kernel, such as `chase`, `read` or `copy_nt`."""
    buffer_kib: int = 0
    """Of all threads together."""
    bytes_counted: str = ""
    """What counts as traffic: `read`, `read + written`, and the like."""
    page_kib: int | None = None
    """Size of the pages that were really given."""
    on_target: float | None = None
    """Share of the sampled pages that lay on `memory` when it was measured; at least 0.99, or there is no figure."""
    sampled_pages: int = 0
    note: str = ""
    """What to bear in mind with the figure: a buffer that caches can hold, pages of mixed sizes."""
    layout: str = ""
    """Of several nodes: `own` (each thread's memory on the node of its CPU), or `interleaved`."""


class LoadedPoint(msgspec.Struct, frozen=True):
    """Latency while others draw bandwidth: one point of the curve."""

    pause: int
    """Steps of an empty loop that the injecting threads make after every 4 KiB; more is less traffic."""
    gb_per_s: float
    """What the injecting threads drew meanwhile."""
    latency: Reading
    """In ns."""


class Measurements(msgspec.Struct, frozen=True):
    """Everything measured on one machine. Parts that were not asked for are empty."""

    topology_key: str
    machine: MachineFacts
    created: float
    """Unix time when it began."""
    numawise_version: str = ""
    model_name: str = ""
    settings: dict[str, str] = {}
    """Of the machine, that sway figures: kernel, governor, NUMA balancing, huge pages."""
    latency: tuple[Reading, ...] = ()
    """ns of a dependent load, one thread; a reading for each node with CPUs and each node with memory."""
    bandwidth: tuple[Reading, ...] = ()
    """GB/s of all cores of a node; a reading for each node with CPUs, each node with memory, and each kernel."""
    aggregate: tuple[Reading, ...] = ()
    """GB/s of all cores of the machine: each from its own node (`memory` in the order of the nodes), interleaved."""
    scaling: tuple[Reading, ...] = ()
    """GB/s of 1, 2, ... cores of a node from that node's memory."""
    loaded: tuple[LoadedPoint, ...] = ()
    pages: tuple[Reading, ...] = ()
    """ns of a dependent load in ordinary and in huge pages."""
    smt: tuple[Reading, ...] = ()
    """GB/s of a node's cores with one thread each, and with all SMT siblings."""
    core_to_core: tuple[Reading, ...] = ()
    """ns for a cache line to go from one core to another and back, halved; `cpus` holds the two."""
    device: tuple[DeviceReading, ...] = ()
    """GB/s between pinned host memory and devices; a reading for each device, node with memory, and direction."""
    links: tuple[DeviceLink, ...] = ()
    """How each pair of devices is linked."""
    incomplete: tuple[str, ...] = ()
    """In words, what could not be measured (or not as it should be) and why, all parts together; empty when
    everything asked for is there."""
    gaps: dict[str, tuple[str, ...]] = {}
    """The same by part (`latency`, `bandwidth`, ...: the names of the lists above)."""
    notes: dict[str, tuple[str, ...]] = {}
    """What to know about a part, by its name: one node only, a sample of the pairs."""
    taken: dict[str, float] = {}
    """Unix time when each part was begun: parts measured at another time are kept together."""
    version: int = MEASUREMENTS_VERSION

    def latency_ns(self, cpu_node: int, memory_node: int) -> float | None:
        """Median latency of `memory_node`'s memory from `cpu_node`; None when it was not measured."""
        return _median(self.latency, cpu_node, memory_node, "chase")

    def gb_per_s(self, cpu_node: int, memory_node: int, kernel: str = "read") -> float | None:
        """Median bandwidth that all cores of `cpu_node` draw from `memory_node`; None when it was not measured."""
        return _median(self.bandwidth, cpu_node, memory_node, kernel)


def _median(readings: tuple[Reading, ...], cpu_node: int, memory_node: int, kernel: str) -> float | None:
    for reading in readings:
        same = (reading.cpu_node, reading.memory, reading.kernel) == (cpu_node, (memory_node,), kernel)
        if same and reading.figure is not None:
            return reading.figure.median
    return None
