"""The whole of a measurement: its parts in order, the time divided over their readings, figures as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numawise.errors import NumawiseError
from numawise.linux.settings import read_settings
from numawise.machine.identity import machine_facts, topology_key
from numawise.machine.topology import Topology
from numawise.measure.bench import Bench, Taken, with_why
from numawise.measure.kept import told
from numawise.measure.registry import Part, parts
from numawise.measure.values import LoadedPoint, Measurements, Reading
from numawise.measure.wanted import Plan, Wanted
from numawise.version import installed_version

WHAT = ("latency", "bandwidth", "loaded", "device", "all")
"""What can be asked for."""

_PER_WEIGHT_S, _QUICK_PER_WEIGHT_S = 1.2, 0.15
_LEAST_S, _MOST_S = 12.0, 100.0
_MANY_NODES_MOST_S = 900.0
_QUICK_LEAST_S, _QUICK_MOST_S = 8.0, 60.0
_OVER, _MOST_OVER_S = 0.5, 20.0
"""So much over the time given (a share of it, seconds at most), and what is not yet measured is left out."""
_READING_S = {"chase": (0.05, 2.0), "stream": (0.05, 1.0), "loaded": (0.05, 1.5), "core to core": (0.0, 0.3)}
"""The least and the most that one reading is given, setting up not counted."""
_QUICK_SHARE = 0.15
"""Of the most, when it shall be quick."""
_DEVICE_SHARE = 0.2

Progress = Callable[[str, "Reading | LoadedPoint"], None]


class _Turn(NamedTuple):
    part: Part
    wanted: Wanted


class Run:
    """One measurement of this machine. `measurements` tells what there is so far, also after Ctrl-C."""

    def __init__(
        self,
        topology: Topology,
        what: str = "all",
        *,
        seconds: float | None = None,
        quick: bool = False,
        buffer_kib: int | None = None,
    ) -> None:
        """Plan it; nothing is measured yet.

        Args:
            topology: this machine, as `numawise.machine.read()` gives it.
            what: one of `WHAT`.
            seconds: how long all of it may take, about; by the number of readings unless given.
            quick: less time for each reading, so larger spreads.
            buffer_kib: size of the buffers of one reading instead of what the caches ask for; figures are then marked.
        """
        self._topology = topology
        self._buffer_kib = buffer_kib
        self._share = _QUICK_SHARE if quick else 1.0
        self._plans: dict[str, Plan] = {}
        chosen = [part for part in parts() if what in ("all", part.group)]
        self._plans = {part.name: part.plan(topology) for part in chosen}
        self._turns = [_Turn(part, wanted) for part in chosen for wanted in self._plans[part.name].readings]
        self._devices = what in ("all", "device")
        self.seconds = seconds or default_seconds(topology, [t.wanted for t in self._turns], quick=quick)
        self._created = time.time()
        self._taken: dict[str, float] = {}
        self._readings: dict[str, list[Any]] = {}
        self._gaps: dict[str, list[str]] = {}
        self._notes: dict[str, list[str]] = {}

    def go(self, progress: Progress | None = None) -> None:
        """Measure; `progress` is told each reading as it comes. Ctrl-C leaves as KeyboardInterrupt."""
        began = time.monotonic()
        share = self.seconds * (_DEVICE_SHARE if self._devices and self._has_gpus() else 0.0)
        try:
            with Bench(self._topology, buffer_kib=self._buffer_kib) as bench:
                self._take_all(bench, began, self.seconds - share, progress)
            if self._devices:
                self._take_devices(max(share, self.seconds - (time.monotonic() - began)))
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def measurements(self) -> Measurements:
        """What was measured until now."""
        topology = self._topology
        gaps = {name: tuple(dict.fromkeys(lines)) for name, lines in self._gaps.items() if lines}
        lists: dict[str, Any] = {name: tuple(found) for name, found in self._readings.items()}
        return Measurements(
            topology_key=topology_key(topology),
            machine=machine_facts(topology),
            created=self._created,
            numawise_version=installed_version(),
            model_name=topology.model_name,
            settings=self._settings(),
            incomplete=told(gaps),
            gaps=gaps,
            notes={name: tuple(dict.fromkeys(lines)) for name, lines in self._notes.items() if lines},
            taken=dict(self._taken),
            **lists,
        )

    def _take_all(self, bench: Bench, began: float, seconds: float, progress: Progress | None) -> None:
        for name, plan in self._plans.items():
            if not plan.readings:
                self._begin(name)
        left = sum(turn.wanted.weight for turn in self._turns if not turn.wanted.why)
        overhead: dict[str, float] = {}
        for part, wanted in self._turns:
            self._begin(part.name)
            start = time.monotonic()
            if start > began + seconds + min(_OVER * seconds, _MOST_OVER_S) and not wanted.why:
                taken = Taken(*_out_of_time(part, wanted, seconds))
            else:
                given = (began + seconds - start) * wanted.weight / max(left, wanted.weight)
                given -= overhead.get(part.how, 0.0)
                least, most = _READING_S[part.how]
                given = min(max(given, least), most * self._share)
                taken = bench.take(wanted, part.how, given)
                if not wanted.why:
                    # What setting up costs is learned as it goes: a mean that forgets.
                    spent = max(0.0, time.monotonic() - start - given)
                    overhead[part.how] = 0.7 * overhead.get(part.how, spent) + 0.3 * spent
            if not wanted.why:
                left -= wanted.weight
            self._readings[part.name].append(taken.reading)
            if taken.gap:
                self._gaps[part.name].append(taken.gap)
            if progress is not None:
                progress(part.name, taken.reading)

    def _begin(self, name: str) -> None:
        if name in self._taken:
            return
        self._taken[name] = time.time()
        plan = self._plans.get(name, Plan(()))
        self._readings[name] = []
        self._gaps[name] = list(plan.gaps)
        self._notes[name] = list(plan.notes)

    def _take_devices(self, seconds: float) -> None:
        from numawise.measure.device import gpus, measure_devices, read_links

        self._begin("device")
        try:
            readings, lines = measure_devices(self._topology, seconds)
            self._readings["device"] = list(readings)
            links, more = read_links(self._topology)
        except (NumawiseError, OSError) as error:  # what memory gave is not lost for a driver's trouble
            self._gaps["device"].append(str(error))
            return
        self._readings["links"] = list(links)
        # Where there are GPUs, what is said of them is missing; else it is that there are none.
        (self._gaps if gpus(self._topology) else self._notes)["device"] += [*lines, *more]
        self._gaps["device"] += [reading.why for reading in readings if reading.figure is None]

    def _has_gpus(self) -> bool:
        from numawise.measure.device import gpus

        return bool(gpus(self._topology))

    def _interrupted(self) -> None:
        """Say where it stopped. Parts that were not begun are not in the result at all."""
        for name, found in self._readings.items():
            wanted = len(self._plans.get(name, Plan(())).readings)
            if len(found) < wanted:
                self._gaps[name].append(f"interrupted after {len(found)} of {wanted} readings")

    def _settings(self) -> dict[str, str]:
        found = read_settings()
        if self._topology.transparent_huge_pages:
            found["transparent huge pages"] = self._topology.transparent_huge_pages
        found["time given"] = f"{self.seconds:.0f} s"
        if self._buffer_kib:
            found["buffers asked for"] = f"{self._buffer_kib} KiB"
        return found


def default_seconds(topology: Topology, readings: Sequence[Wanted], *, quick: bool) -> float:
    """How long to measure: by the number of readings, at most 100 s where two nodes have CPUs."""
    possible = [wanted for wanted in readings if not wanted.why]
    weight, turns = sum(wanted.weight for wanted in possible), sum(map(_turns_s, possible))
    if quick:
        return min(max(_QUICK_LEAST_S, _QUICK_PER_WEIGHT_S * weight + turns), _QUICK_MOST_S)
    few = sum(1 for node in topology.nodes if node.cpus) <= 2
    return min(max(_LEAST_S, _PER_WEIGHT_S * weight, 1.5 * turns), _MOST_S if few else _MANY_NODES_MOST_S)


def _turns_s(wanted: Wanted) -> float:
    """About what the fewest turns around a ring of so many lines take, and laying it; the rest needs no such time."""
    lines = wanted.buffer_kib * 1024 / 64 / (2 if wanted.injectors else 1)
    return 4 * 150e-9 * lines if wanted.kernel == "chase" else 0.1


def _out_of_time(part: Part, wanted: Wanted, seconds: float) -> tuple[Reading | LoadedPoint, str]:
    from numawise.linux.cpuset import CPUSet

    why = f"no time left of {seconds:.0f} s; give more with --seconds, or measure this part by itself"
    blank = Reading(CPUSet(wanted.cpus), wanted.cpu_node, wanted.memory, None, kernel=wanted.kernel)
    return with_why(LoadedPoint(wanted.pause, 0.0, blank) if part.how == "loaded" else blank, why), why
