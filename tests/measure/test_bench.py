"""Readings on this machine: figures that agree with each other, and reasons where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.measure.alone import DISTURBED
from numawise.measure.bench import COUNTED, Bench, Taken, summed_up
from numawise.measure.registry import How, parts
from numawise.measure.run import Run
from numawise.measure.values import LoadedPoint, Reading
from numawise.measure.wanted import Wanted
from numawise.native.table import kernel_names

REFUSE = Path(__file__).parents[1] / "programs/refuse.py"
TOPOLOGY = read(devices=False)
NODE = TOPOLOGY.allowed.nodes[0]
CPUS = tuple(TOPOLOGY.allowed.cpus)
SMALL_KIB = 4 << 10


def take(bench: Bench, wanted: Wanted, how: How, seconds: float) -> Taken:
    """A reading, or a skip where others leave these CPUs no time: there is no figure then, as there should be."""
    taken = bench.take(wanted, how, seconds)
    inner = taken.reading.latency if isinstance(taken.reading, LoadedPoint) else taken.reading
    if inner.why.startswith("other programs took"):
        pytest.skip(inner.why)
    return taken


def chase(**changes: object) -> Wanted:
    fields: dict[str, object] = {"cpu_node": NODE, "memory": (NODE,), "buffer_kib": SMALL_KIB} | changes
    return Wanted("chase", CPUS[:1], **fields)  # type: ignore[arg-type]


def test_a_reading_says_how_it_was_taken():
    with Bench(TOPOLOGY) as bench:
        taken = take(bench, chase(), "chase", 0.1)
    reading = taken.reading
    assert isinstance(reading, Reading)
    assert taken.gap in ("", DISTURBED)
    assert reading.figure is not None
    assert 0.5 < reading.figure.best <= reading.figure.median < 10_000
    assert reading.figure.repeats >= 3
    assert (reading.cpus, reading.memory, reading.buffer_kib) == (CPUSet(CPUS[:1]), (NODE,), SMALL_KIB)
    assert reading.on_target == 1.0
    assert reading.sampled_pages >= 1000
    assert reading.page_kib is not None


def test_a_buffer_that_caches_hold_is_faster_and_marked():
    """The same ring in 64 KiB and in 64 MiB: if these did not differ, no latency of memory would be measured."""
    with Bench(TOPOLOGY, buffer_kib=64) as bench:
        small = take(bench, chase(buffer_kib=64 << 10), "chase", 0.1)
    with Bench(TOPOLOGY) as bench:
        large = take(bench, chase(buffer_kib=64 << 10), "chase", 0.3)
    assert isinstance(small.reading, Reading)
    assert isinstance(large.reading, Reading)
    assert small.reading.figure is not None
    assert large.reading.figure is not None
    assert small.reading.figure.best < large.reading.figure.best / 2
    assert "--buffer" in small.gap
    assert small.gap in small.reading.note
    assert large.gap in ("", DISTURBED)


@pytest.mark.parametrize("kernel", [name for name in COUNTED if name in kernel_names()])
def test_every_kernel_that_is_counted_runs(kernel: str):
    with Bench(TOPOLOGY) as bench:
        wanted = Wanted(kernel, CPUS, NODE, (NODE,), buffer_kib=SMALL_KIB)
        reading = take(bench, wanted, "stream", 0.05).reading
    assert isinstance(reading, Reading)
    assert reading.figure is not None, reading.why
    assert reading.figure.best >= reading.figure.median > 0.05
    assert reading.bytes_counted


def test_what_is_drawn_meanwhile_is_told():
    if len(CPUS) < 2:
        pytest.skip("one CPU: nobody to draw bandwidth")
    with Bench(TOPOLOGY) as bench:
        drawn = []
        for pause in (100_000, 0):
            wanted = chase(injectors=CPUS[1:2], pause=pause, buffer_kib=16 << 10)
            point = take(bench, wanted, "loaded", 0.2).reading
            assert isinstance(point, LoadedPoint)
            assert point.latency.figure is not None, point.latency.why
            drawn.append(point.gb_per_s)
    assert 0 < drawn[0] < drawn[1] / 3


def test_cores_to_core():
    if len(CPUS) < 2:
        pytest.skip("one CPU: no pair")
    with Bench(TOPOLOGY) as bench:
        reading = take(bench, Wanted("core_to_core", CPUS[:2], NODE, ()), "core to core", 0.05).reading
    assert isinstance(reading, Reading)
    assert reading.figure is not None, reading.why
    assert 1 < reading.figure.best < 1e6


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (chase(why="node 9: a reason"), "node 9: a reason"),
        (chase(memory=(900,)), "no room"),
        (Wanted("chase", (4095,), NODE, (NODE,), buffer_kib=64), "CPU 4095 went offline"),
        (Wanted("no such", CPUS[:1], NODE, (NODE,), buffer_kib=64), "no such"),
    ],
)
def test_what_cannot_be_had_has_a_reason(wanted: Wanted, words: str):
    with Bench(TOPOLOGY) as bench:
        taken = take(bench, wanted, "stream" if wanted.kernel == "no such" else "chase", 0.05)
    assert isinstance(taken.reading, Reading)
    assert taken.reading.figure is None
    assert words in taken.reading.why
    assert taken.gap == taken.reading.why


def test_threads_that_cannot_be_pinned_give_no_figure():
    code = (
        "from numawise.machine import read\n"
        "from numawise.measure.bench import Bench\n"
        "from numawise.measure.wanted import Wanted\n"
        "with Bench(read()) as bench:\n"
        f"    taken = bench.take(Wanted('read', {CPUS[:1]}, {NODE}, ({NODE},), buffer_kib=1024), 'stream', 0.1)\n"
        "print(taken.reading.figure, taken.reading.why)\n"
    )
    command = [sys.executable, str(REFUSE), "sched_setaffinity", "--", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("None cannot run a thread on CPU"), done.stderr
    assert "EPERM" in done.stdout


def test_threads_that_others_keep_waiting_give_no_figure():
    """Four programs on the CPU of the chaser: what it would tell is how the scheduler shares a CPU."""
    spin = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])]); print(flush=True)\nwhile True: pass"
    hogs = [
        subprocess.Popen([sys.executable, "-c", spin, str(CPUS[0])], stdout=subprocess.PIPE) for _ in range(4)
    ]
    try:
        for hog in hogs:
            assert hog.stdout
            hog.stdout.readline()
        with Bench(TOPOLOGY) as bench:
            taken = bench.take(chase(), "chase", 1.0)
    finally:
        for hog in hogs:
            hog.kill()
            hog.communicate()
    assert isinstance(taken.reading, Reading)
    assert taken.reading.figure is None
    assert "other programs took" in taken.reading.why
    assert taken.gap == taken.reading.why


def test_summed_up():
    figure = summed_up([5.0, 1.0, 9.0], lower_is_better=False)
    assert (figure.best, figure.median, figure.mad, figure.repeats) == (9.0, 5.0, 4.0, 3)


class TestRun:
    def test_nothing_is_measured_before_it_goes(self):
        found = Run(TOPOLOGY, "latency").measurements()
        assert (found.latency, found.taken, found.incomplete) == ((), {}, ())

    def test_parts_of_what_was_asked_for_and_no_others(self):
        run = Run(TOPOLOGY, "latency", seconds=1, buffer_kib=1024)
        seen: list[str] = []
        run.go(lambda part, _: seen.append(part))
        found = run.measurements()
        wanted = {part.name for part in parts() if part.group == "latency"}
        assert set(found.taken) == wanted
        assert set(seen) <= wanted
        assert [(one.cpu_node, one.memory) for one in found.latency] == [(NODE, (NODE,))]
        assert not found.bandwidth
        assert all(part in wanted for line in found.incomplete for part in line.split(":")[0].split(", "))

    def test_an_interrupt_leaves_what_there_is(self):
        run = Run(TOPOLOGY, "bandwidth", seconds=5, buffer_kib=1024)

        def stop(part: str, _: object) -> None:
            if part == "aggregate":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run.go(stop)
        found = run.measurements()
        assert found.bandwidth
        assert len(found.aggregate) == 1
        assert "scaling" not in found.taken
        assert any("aggregate: interrupted after 1 of" in line for line in found.incomplete)

    def test_out_of_time_is_told_and_not_silently_left_out(self):
        run = Run(TOPOLOGY, "bandwidth", seconds=0.01, buffer_kib=1024)
        run.go()
        found = run.measurements()
        late = [one for one in (*found.bandwidth, *found.aggregate) if one.figure is None]
        assert late
        assert "--seconds" in late[-1].why
        assert found.incomplete

    def test_affinity_narrows_what_is_used(self):
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, CPUS[:1])
        try:
            run = Run(read(devices=False), "loaded", seconds=1)
            run.go()
        finally:
            os.sched_setaffinity(0, mine)
        assert "one core only" in run.measurements().incomplete[0]
