"""The model behind predictions: what must hold on any machine, and what others published."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from machines import GIB, one_node, two_sockets

from numawise.errors import UsageError
from numawise.experiment.predict import (
    Machine,
    Work,
    expectations,
    from_measurements,
    from_priors,
    from_published,
    from_run,
)
from numawise.experiment.predict.profile import single_node
from numawise.experiment.predict.work import from_roofline, from_shares, with_copies
from numawise.experiment.records import Candidate, Expectation
from numawise.linux.cpuset import CPUSet
from numawise.machine import published
from numawise.machine.identity import machine_facts, topology_key
from numawise.measure.figure import Figure
from numawise.measure.values import Measurements, Reading
from numawise.placement.plan import plan
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy, Plan

XEON = from_published(published.get("2x-xeon-8358"))
DEFAULT = Request()
ONE_NODE = Request(nodes=(0,))
FAR = Request(cpu_nodes=(0,), memory=MemoryPolicy("bind", (1,)))
NEAR = Request(cpu_nodes=(0,), memory=MemoryPolicy("bind", (0,)))
INTERLEAVE = Request(memory=MemoryPolicy("interleave", (0, 1)))


def ratio(work: Work, before: Request, after: Request, machine: Machine = XEON) -> float:
    plans = [plan(machine.topology, request) for request in (before, after)]
    return expectations(work, machine, plans[0], plans[1:])[0].ratio


def _benchmark(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


class TestPublishedResults:
    bench = _benchmark("predict_published")
    rows = bench.rows()

    def test_ranks_agree(self):
        rank = self.bench.spearman([row.predicted for row in self.rows], [row.published for row in self.rows])
        assert rank >= 0.8

    @pytest.mark.parametrize("row", rows, ids=lambda row: row.name)
    def test_the_direction_is_right(self, row):
        assert row.right, (row.predicted, row.published)

    def test_rank_correlation_is_spearmans(self):
        assert self.bench.spearman([1, 2, 3], [10, 20, 15]) == pytest.approx(0.5)
        assert self.bench.spearman([1, 2, 2, 3], [1, 3, 3, 9]) == pytest.approx(1.0)


class TestBandwidth:
    work = from_shares(XEON, bandwidth=1.0, first_touch="one", serial=0.0, sigma=0.1)

    def test_far_memory_costs_what_the_link_is_narrower(self):
        local, far = XEON.gb_per_s[0][0], XEON.gb_per_s[0][1]
        assert ratio(self.work, NEAR, FAR) == pytest.approx(local / far)

    def test_interleaving_helps_where_one_thread_touched_everything(self):
        assert ratio(self.work, DEFAULT, INTERLEAVE) < 0.9

    def test_own_pages_on_each_node_beat_interleaving_where_the_link_is_the_limit(self):
        narrow = from_published(published.get("2x-xeon-8360y"))
        assert ratio(self.work, INTERLEAVE, Request(per="node"), narrow) < 0.9
        assert ratio(self.work, INTERLEAVE, Request(per="node"), XEON) == pytest.approx(1.0)

    def test_a_few_cores_cannot_saturate_a_node_and_many_need_not_be_more(self):
        few = ratio(self.work, NEAR, Request(nodes=(0,), threads=2))
        most = ratio(self.work, NEAR, Request(nodes=(0,), threads=24))
        assert few > 5
        assert most == pytest.approx(1.0, abs=0.02)


def test_far_memory_costs_waiting_loads_what_it_takes_longer():
    work = from_shares(XEON, latency=1.0, serial=0.0)
    assert ratio(work, NEAR, FAR) == pytest.approx(140 / 89, rel=0.01)


def test_computing_does_not_care_where_memory_is():
    work = from_shares(XEON, compute=1.0)
    assert ratio(work, NEAR, FAR) == pytest.approx(1.0)


def test_time_that_nothing_changes_dilutes_everything():
    pure = from_shares(XEON, latency=1.0, serial=0.0)
    diluted = from_shares(XEON, latency=0.1, fixed=0.9, serial=0.0)
    assert 1 < ratio(diluted, NEAR, FAR) < 1 + 0.11 * (ratio(pure, NEAR, FAR) - 1)


def test_twice_the_cores_halve_what_is_parallel_and_no_more():
    parallel = from_shares(XEON, compute=1.0, serial=0.0)
    serial = msgspec.structs.replace(parallel, serial=0.5)
    cores = Request(nodes=(0,), smt=False)
    assert ratio(parallel, cores, Request(smt=False)) == pytest.approx(0.5)
    assert 0.9 < ratio(serial, cores, Request(smt=False)) < 1


def test_workers_overlap_what_one_program_does_alone():
    work = from_shares(XEON, compute=1.0, serial=0.5)
    assert ratio(work, Request(told_workers=1, threads=16), Request(told_workers=4, threads=4)) < 0.5


def test_crowded_cpus_lose():
    work = from_shares(XEON, compute=1.0, serial=0.0)
    made = plan(XEON.topology, DEFAULT)
    crowded = Plan(tuple(msgspec.structs.replace(p, workers=512, threads=1) for p in made.placements))
    fitting = Plan(tuple(msgspec.structs.replace(p, workers=128, threads=1) for p in made.placements))
    assert expectations(work, XEON, fitting, [crowded])[0].ratio > 1.3


def test_copies_are_slower_from_the_other_socket():
    work = with_copies(Work(core_s=1.0, first_touch="near"), XEON, 0.5, 1)
    assert ratio(work, Request(nodes=(1,)), ONE_NODE) > 1.3


def test_what_does_not_fit_goes_to_the_other_node():
    machine = from_priors(two_sockets(memory_kib=64 * GIB))
    fits = from_shares(machine, bandwidth=1.0, first_touch="one", footprint_kib=32 * GIB)
    spills = msgspec.structs.replace(fits, footprint_kib=120 * GIB)
    default, everywhere = Request(cpu_nodes=(0,)), INTERLEAVE
    # The default then crosses the link as well, so spreading over all nodes gains more on it.
    assert ratio(spills, default, everywhere, machine) < 0.9 * ratio(fits, default, everywhere, machine)


def test_huge_pages_help_waiting_loads_only():
    machine = from_priors(two_sockets(thp="always"))
    without = Request(thp="never")
    assert ratio(from_shares(machine, latency=1.0), DEFAULT, without, machine) > 1.1
    assert ratio(from_shares(machine, compute=1.0), DEFAULT, without, machine) == pytest.approx(1.0)


class TestErrors:
    def test_the_same_placement_is_equal_for_sure(self):
        made = plan(XEON.topology, NEAR)
        found = expectations(from_shares(XEON, bandwidth=1.0, first_touch="own"), XEON, made, [made])[0]
        assert (found.ratio, found.sigma) == (1.0, 0.0)

    def test_what_was_not_measured_is_less_sure(self):
        sure = msgspec.structs.replace(XEON, local_sigma=0.03, remote_sigma=0.03, core_sigma=0.03)
        work = from_shares(XEON, bandwidth=1.0, first_touch="own", sigma=0.1)
        plans = [plan(XEON.topology, request) for request in (NEAR, FAR)]
        sigmas = [
            expectations(work, machine, plans[0], plans[1:])[0].sigma
            for machine in (sure, XEON, msgspec.structs.replace(XEON, remote_sigma=0.4))
        ]
        assert sigmas == sorted(sigmas) and sigmas[0] < sigmas[-1]

    def test_not_knowing_who_touches_first_widens_the_bar(self):
        work = from_shares(XEON, bandwidth=1.0, first_touch="one")
        plans = [plan(XEON.topology, request) for request in (DEFAULT, INTERLEAVE)]
        known, unknown = (
            expectations(each, XEON, plans[0], plans[1:])[0].sigma
            for each in (work, msgspec.structs.replace(work, first_touch=None))
        )
        assert unknown > known

    def test_the_bar_is_the_95_percent_interval_of_the_logarithm(self):
        plans = [plan(XEON.topology, request) for request in (NEAR, FAR)]
        found = expectations(from_shares(XEON, bandwidth=1.0), XEON, plans[0], plans[1:])[0]
        assert math.log(found.high / found.ratio) == pytest.approx(1.96 * found.sigma)
        assert found.expectation == Expectation(found.ratio, found.sigma)


class TestMeasurements:
    topology = two_sockets()

    def measured(self, *, whole: bool = True) -> Measurements:
        def reading(cpu: int, memory: int, value: float, kernel: str) -> Reading:
            figure = Figure(best=value, median=value, mad=0.0, repeats=5)
            return Reading(CPUSet([cpu]), cpu, (memory,), figure, kernel=kernel)

        pairs = [(0, 0), (0, 1), (1, 0), (1, 1)] if whole else [(0, 0)]
        return Measurements(
            topology_key=topology_key(self.topology),
            machine=machine_facts(self.topology),
            created=0.0,
            latency=tuple(reading(c, m, 80.0 if c == m else 160.0, "chase") for c, m in pairs),
            bandwidth=tuple(reading(c, m, 90.0 if c == m else 30.0, "read") for c, m in pairs),
            scaling=(reading(0, 0, 11.0, "read"),),
        )

    def test_take_the_place_of_priors(self):
        machine = from_measurements(self.topology, self.measured())
        assert machine.gb_per_s == {0: {0: 90.0, 1: 30.0}, 1: {0: 30.0, 1: 90.0}}
        assert machine.core_gb_per_s == 11.0 and machine.missing == ()
        work = from_shares(machine, bandwidth=1.0, serial=0.0, first_touch="own")
        assert ratio(work, NEAR, FAR, machine) == pytest.approx(88 / 30)  # eight cores draw 88

    def test_leave_priors_where_there_is_none_and_say_so(self):
        machine = from_measurements(self.topology, self.measured(whole=False))
        assert len(machine.missing) == 3
        assert machine.remote_sigma == from_priors(self.topology).remote_sigma


@pytest.mark.parametrize("name", published.names())
def test_every_published_machine_can_be_predicted_for(name: str):
    machine = from_published(published.get(name))
    requests = [DEFAULT, ONE_NODE, Request(per="node"), Request(memory=MemoryPolicy("interleave"))]
    plans = [plan(machine.topology, request) for request in requests]
    for found in expectations(
        from_shares(machine, bandwidth=0.6, compute=0.2, latency=0.2), machine, plans[0], plans
    ):
        assert 0.01 < found.low <= found.ratio <= found.high < 100


class TestWhatARunShows:
    machine = from_priors(one_node(cpus=8))

    def test_one_busy_cpu_means_that_threads_do_not_help(self):
        work = from_run(self.machine, seconds=1.0, busy=1.0, cpus=8)
        assert work.serial == 1.0
        assert ratio(work, DEFAULT, Request(threads=2), self.machine) == pytest.approx(1.0)

    def test_all_cpus_busy_means_that_they_do(self):
        work = from_run(self.machine, seconds=1.0, busy=8.0, cpus=8, gigabytes=0.1)
        assert ratio(work, DEFAULT, Request(threads=4), self.machine) > 1.5

    def test_idle_time_is_nothing_that_placement_changes_unless_others_took_the_cpus(self):
        slept = from_run(self.machine, seconds=1.0, busy=0.2, cpus=8, idle=7.8)
        kept_waiting = from_run(self.machine, seconds=1.0, busy=0.2, cpus=8, idle=0.0)
        assert slept.fixed_s == pytest.approx(0.8) and kept_waiting.fixed_s == 0

    def test_a_program_that_says_what_it_moves_is_believed(self):
        told = from_run(self.machine, seconds=1.0, busy=8.0, cpus=8, gigabytes=30.0)
        assert (
            told.gigabytes == 30.0
            and told.sigma < from_run(self.machine, seconds=1.0, busy=8.0, cpus=8).sigma
        )


def test_bytes_and_operations_overlap():
    moved = from_roofline(XEON, gigabytes=100, gflop=1)
    both = from_roofline(XEON, gigabytes=100, gflop=1000)
    assert ratio(moved, NEAR, FAR) == pytest.approx(ratio(both, NEAR, FAR))


@pytest.mark.parametrize("shares", [{}, {"compute": -1.0}, {"bandwidth": 0.0}])
def test_shares_that_cannot_be_are_refused(shares: dict[str, float]):
    with pytest.raises(UsageError):
        from_shares(XEON, **shares)


def test_the_best_of_each_node_is_always_tried():
    def candidate(name: str, request: Request, expected: float) -> Candidate:
        return Candidate(name, plan(XEON.topology, request), expected=Expectation(expected, 0.1))

    one = candidate("bind:0", ONE_NODE, 1.5)
    few = candidate("bind:0 1 thread", Request(nodes=(0,), threads=1), 9.0)
    other = candidate("bind:1", Request(nodes=(1,)), 1.5)
    assert single_node((few, one, other, candidate("interleave", INTERLEAVE, 0.5))) == (one, other)
