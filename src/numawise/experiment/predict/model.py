"""The time of a work at its places. Formulas and their limits are in docs/prediction.md."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from numawise.experiment.predict.machine import Machine
from numawise.experiment.predict.places import Place
from numawise.experiment.predict.work import Work

_NEVER = 1e-12
"""Cores: as good as none."""
_SHORTEST_S = 1e-60
"""Far below the time of a single byte: only ratios count, so a floor that times reach would make all of them equal."""


class Beliefs(msgspec.Struct, frozen=True):
    """The uncertain inputs at one point: what is varied to see how much each matters."""

    smt_compute: float
    smt_latency: float
    crowding: float
    stray: float
    far_device: float
    small_pages: float
    core: float = 1.0
    """Factors on the machine's figures: bandwidth of one core, of far memory, latency of far memory."""
    remote_bandwidth: float = 1.0
    remote_latency: float = 1.0
    local_bandwidth: float = 1.0


class Times(msgspec.Struct, frozen=True):
    """Seconds by what they go to. Bytes and operations overlap, so the longer of the two counts."""

    bandwidth: float
    compute: float
    latency: float
    device: float
    fixed: float
    limit: str
    """In words, what the bandwidth is limited by."""

    @property
    def total(self) -> float:
        """Seconds in all."""
        return max(max(self.bandwidth, self.compute) + self.latency + self.device + self.fixed, _SHORTEST_S)


def times(work: Work, machine: Machine, processes: Sequence[Place], beliefs: Beliefs) -> Times:
    """Seconds of one unit of work, shared equally by the processes, which run side by side."""
    share = 1.0 / len(processes)
    streamed, limit = _bandwidth(work, machine, processes, beliefs)
    crowd = max(_crowding(work, place, beliefs) for place in processes)
    return Times(
        bandwidth=streamed * crowd,
        compute=max(share * work.core_s / _capacity(work, p, beliefs.smt_compute) for p in processes) * crowd,
        latency=max(share * _waits(work, machine, p, beliefs) for p in processes) * crowd,
        device=max(_device(work, p, beliefs) for p in processes),
        fixed=work.fixed_s,
        limit=limit,
    )


def _active(work: Work, place: Place) -> float:
    """Threads that run on average: of each worker 1 / (serial + (1 - serial) / threads), by Amdahl."""
    each = max(place.threads / place.workers, 1.0)
    return place.workers / (work.serial + (1 - work.serial) / each)


def _capacity(work: Work, place: Place, smt: float) -> float:
    """What its running threads get done, in cores: a second thread of a core adds `smt` - 1.

    At most what the process's CPUs give to the threads that run on average, and at most what its workers reach by
    Amdahl, each with its threads to itself.
    """
    each = _in_cores(min(place.threads / place.workers, place.cpus), place, smt)
    alone = place.workers / (work.serial + (1 - work.serial) / each)
    return min(alone, _in_cores(min(_active(work, place), place.cpus), place, smt))


def _in_cores(threads: float, place: Place, smt: float) -> float:
    if threads <= place.cores or place.cpus <= place.cores:
        return max(min(threads, place.cores), _NEVER)
    siblings = place.cpus - place.cores
    return place.cores + (threads - place.cores) * (smt - 1) * place.cores / siblings


def _crowding(work: Work, place: Place, beliefs: Beliefs) -> float:
    waiting = max(_active(work, place) / place.cpus - 1.0, 0.0)
    return 1.0 + beliefs.crowding * waiting


def _bandwidth(
    work: Work, machine: Machine, processes: Sequence[Place], beliefs: Beliefs
) -> tuple[float, str]:
    """The slowest of: each node's memory, each link into a node's CPUs, the cores themselves; and its name."""
    share = work.gigabytes / len(processes)
    drawn: dict[int, float] = {}
    crossing: dict[tuple[int, int], float] = {}
    core = machine.core_gb_per_s * beliefs.core
    by_cores = alone = 0.0
    workers = sum(place.workers for place in processes)
    for place in processes:
        cost = 0.0  # seconds one core of this process takes for a gigabyte, over all its pages
        for cpu, on in place.on.items():
            for memory, part in place.pages[cpu].items():
                moved = share * on * part
                drawn[memory] = drawn.get(memory, 0.0) + moved
                if memory != cpu:
                    crossing[cpu, memory] = crossing.get((cpu, memory), 0.0) + moved
                cost += on * part * _stretch(machine, cpu, memory, beliefs) / core
        busy = min(place.threads, place.cores)
        by_cores = max(by_cores, share * cost / busy)
        alone = max(alone, cost)
    slowest, limit = by_cores, "what the cores can draw"
    for memory, moved in drawn.items():
        most = max(row.get(memory, 0.0) for row in machine.gb_per_s.values()) * beliefs.local_bandwidth
        if moved / most > slowest:
            slowest, limit = moved / most, f"bandwidth of node {memory}'s memory"
    for (cpu, memory), moved in crossing.items():
        width = machine.gb_per_s[cpu].get(memory, 1.0) * beliefs.local_bandwidth * beliefs.remote_bandwidth
        if moved / width > slowest:
            slowest, limit = moved / width, f"the way from node {cpu} to the memory of node {memory}"
    cores = sum(place.cores for place in processes)
    serial = work.gigabytes * alone / max(min(workers, cores), 1)
    return (1 - work.serial) * slowest + work.serial * max(serial, slowest), limit


def _stretch(machine: Machine, cpu: int, memory: int, beliefs: Beliefs) -> float:
    """How much longer a line takes than from the node's own memory: a core has only so many on their way."""
    row = machine.latency_ns[cpu]
    own = row.get(cpu, min(row.values()))
    far = row.get(memory, own) / own
    return far * beliefs.remote_latency if memory != cpu and far > 1 else far


def _waits(work: Work, machine: Machine, place: Place, beliefs: Beliefs) -> float:
    wait = 0.0
    for cpu, on in place.on.items():
        row = machine.latency_ns[cpu]
        own = row.get(cpu, min(row.values()))
        for memory, part in place.pages[cpu].items():
            wait += on * part * own * _stretch(machine, cpu, memory, beliefs)
    if not place.huge:
        wait *= beliefs.small_pages
    return work.loads * wait / _capacity(work, place, beliefs.smt_latency)


def _device(work: Work, place: Place, beliefs: Beliefs) -> float:
    """Copies go over the link between sockets for those pages that are not beside the device."""
    if not work.device_s or work.device_node is None:
        return work.device_s
    beside = min(place.on) if work.device_node == "own" else work.device_node
    far = sum(
        on * part
        for cpu, on in place.on.items()
        for memory, part in place.pages[cpu].items()
        if memory != beside
    )
    return work.device_s * (1 - far + far / beliefs.far_device)
