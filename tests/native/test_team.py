"""Threads are pinned, start together, are timed apart from the interpreter, and always end."""

import _thread
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from numawise.errors import NumawiseError, UsageError
from numawise.native.pingpong import core_to_core
from numawise.native.table import kernel, kernel_names
from numawise.native.team import Task, TeamRun, run_team

CPUS = sorted(os.sched_getaffinity(0))
two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
MIB = 1 << 20


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def buffers(name: str, length: int) -> tuple[bytearray, ...]:
    return tuple(bytearray(length) for _ in range(kernel(name).buffers))


@pytest.mark.parametrize("name", kernel_names())
def test_every_kernel_runs_on_a_team(name: str) -> None:
    run = run_team([Task(name, buffers(name, 4096)), Task(name, buffers(name, 4096))], repeats=3, warmups=0)
    assert len(run.seconds) == len(run.gb_per_s) == len(run.ns_per_element) == 3
    for task in run.tasks:
        assert task.bytes == task.elements * run.passes * kernel(name).bytes_per_element
        assert len(task.started_ns) == len(task.ended_ns) == 3
        assert all(start < end for start, end in zip(task.started_ns, task.ended_ns, strict=True))
    if kernel(name).buffers:
        assert run.gb_per_s[0] == pytest.approx(sum(task.bytes for task in run.tasks) / run.seconds[0] / 1e9)


@two_cpus
def test_each_thread_is_where_it_was_pinned_and_only_there() -> None:
    run = run_team([Task("spin", cpu=cpu) for cpu in CPUS[::-1]], repeats=5)
    assert [task.cpu for task in run.tasks] == CPUS[::-1]
    assert sorted(os.sched_getaffinity(0)) == CPUS  # the caller is left alone


@two_cpus
def test_the_kernel_of_the_system_sees_the_pinning() -> None:
    seen: dict[str, str] = {}

    def look() -> None:
        time.sleep(0.1)
        for task in Path("/proc/self/task").iterdir():
            status = (task / "status").read_text()
            allowed = status.split("Cpus_allowed_list:")[1].split()[0]
            seen[task.name] = allowed

    looker = threading.Thread(target=look)
    looker.start()
    run_team([Task("spin", cpu=CPUS[0]), Task("spin", cpu=CPUS[1], background=True)], seconds=0.4)
    looker.join()
    assert {str(CPUS[0]), str(CPUS[1])} <= set(seen.values())


@two_cpus
def test_all_measured_threads_are_at_work_at_once_in_every_repeat() -> None:
    data = [bytearray(8 * MIB) for _ in range(2)]
    run = run_team(
        [Task("read", (part,), cpu=cpu) for part, cpu in zip(data, CPUS, strict=False)], repeats=20
    )
    together = 0
    for i in range(20):
        starts, ends = [[getattr(task, name)[i] for task in run.tasks] for name in ("started_ns", "ended_ns")]
        together += max(starts) < min(ends)
        assert run.seconds[i] == pytest.approx((max(ends) - min(starts)) / 1e9)
        if i:
            # Nobody begins a repeat before all have ended the last.
            assert min(starts) >= max(task.ended_ns[i - 1] for task in run.tasks)
    assert together >= 10  # on a busy machine one of the two may lose its CPU for a whole pass


def test_many_more_threads_than_cpus_still_meet() -> None:
    began = time.monotonic()
    run = run_team([Task("read", (bytes(4096),)) for _ in range(4 * len(CPUS) + 3)], repeats=5)
    assert len(run.seconds) == 5
    assert time.monotonic() - began < 20


def test_threads_on_one_cpu_still_meet() -> None:
    run = run_team([Task("read", (bytes(4096),), cpu=CPUS[0]) for _ in range(3)], repeats=3)
    assert {task.cpu for task in run.tasks} == {CPUS[0]}


def test_it_goes_on_until_both_repeats_and_seconds_are_reached() -> None:
    run = run_team([Task("read", (bytes(MIB),))], repeats=2, seconds=0.1)
    assert len(run.seconds) > 2
    assert run.tasks[0].ended_ns[-1] - run.tasks[0].started_ns[0] >= 0.09e9
    assert len(run_team([Task("read", (bytes(MIB),))], repeats=7).seconds) == 7


def test_a_pass_too_short_for_the_clock_is_made_of_several() -> None:
    run = run_team([Task("read", (bytes(64),))], repeats=3)
    assert run.passes > 10
    assert run.tasks[0].bytes == 64 * run.passes
    long = run_team([Task("read", (mmap.mmap(-1, 16 * MIB),))])
    assert long.passes == 1


@two_cpus
def test_background_traffic_is_counted_apart_and_a_pause_makes_less_of_it() -> None:
    measured = Task("spin", cpu=CPUS[0])
    rates = []
    for pause in (0, 2_000, 200_000):
        noise = Task("read", (bytes(16 * MIB),), cpu=CPUS[1], background=True, pause=pause)
        run = run_team([measured, noise], seconds=0.2)
        assert set(run.gb_per_s) == {0.0}
        assert run.tasks[1].background and not run.tasks[1].started_ns
        rates.append(run.background_gb_per_s)
    assert rates[0] > 2 * rates[1] > 20 * rates[2] > 0


@pytest.mark.parametrize("name", kernel_names())
def test_every_kernel_can_be_background_and_stops(name: str) -> None:
    before = threads()
    for pause in (0, 100):
        tasks = [
            Task(name, buffers(name, 100_000), background=True, pause=pause),
            Task("read", (bytes(4096),)),
        ]
        run = run_team(tasks, repeats=3)
        assert [task.kernel for task in run.tasks] == [name, "read"]  # the order given
        assert len(run.seconds) == 3
    assert threads() == before


def test_a_chase_is_the_latency_of_its_ring() -> None:
    small = run_team([Task("chase", (bytearray(8192),), seed=3)], repeats=20)
    large = run_team([Task("chase", (mmap.mmap(-1, 128 * MIB),))])
    assert small.tasks[0].result == large.tasks[0].result == 0
    assert 0.3 < min(small.ns_per_element) < 20
    assert large.ns_per_element[0] > 3 * min(small.ns_per_element)


@pytest.mark.parametrize("cpu", [60_000, 65_535])
def test_a_cpu_that_is_not_there_is_named_and_leaves_nothing(cpu: int) -> None:
    before = threads()
    tasks = [Task("read", (bytes(4096),)), Task("read", (bytes(4096),), cpu=cpu)]
    with pytest.raises(
        NumawiseError, match=rf"cannot run a thread on CPU {cpu}: sched_setaffinity gave EINVAL"
    ) as said:
        run_team(tasks)
    assert "\n" not in str(said.value)
    assert threads() == before
    with pytest.raises(NumawiseError, match=rf"cannot run a thread on CPU {cpu}"):
        core_to_core(CPUS[0], cpu)
    assert threads() == before


def test_too_many_threads_is_said_and_leaves_nothing() -> None:
    """In a process of its own whose address space holds no more than a few stacks."""
    code = """
import resource
from pathlib import Path
from numawise.errors import NumawiseError
from numawise.native.team import Task, run_team
run_team([Task("spin")])
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
try:
    run_team([Task("spin")] * 500)
except NumawiseError as error:
    print(error)
print(len(list(Path("/proc/self/task").iterdir())))
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    lines = out.stdout.splitlines()
    assert out.returncode == 0, out.stderr
    assert lines[0].startswith("cannot start 500 threads: pthread_create gave EAGAIN"), lines
    assert lines[1] == "1"
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 400 << 20


def test_ctrl_c_ends_a_long_run_and_its_threads() -> None:
    before = threads()
    data = mmap.mmap(-1, 256 * MIB)
    tasks = [Task("copy", buffers("copy", MIB)), Task("read", (data,), background=True)]
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_team(tasks, seconds=60)
    assert time.monotonic() - began < 10
    timer.join()
    assert threads() == before
    data.close()  # BufferError while it is lent


@two_cpus
def test_ctrl_c_from_the_terminal_ends_a_ping_pong() -> None:
    before = threads()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        core_to_core(CPUS[0], CPUS[1], round_trips=1 << 31, samples=100)
    timer.join()
    assert threads() == before


@two_cpus
def test_threads_that_share_a_cpu_say_that_they_waited_for_it() -> None:
    crowded = run_team([Task("read", (bytes(1 << 20),), cpu=CPUS[0]) for _ in range(2)], seconds=0.3)
    assert crowded.busy < 0.8
    assert all(0 < task.ran_ns < task.worked_ns for task in crowded.tasks)


def test_a_line_takes_its_time_from_core_to_core() -> None:
    samples = core_to_core(CPUS[0], CPUS[1], round_trips=200, samples=12).ns
    assert len(samples) == 12
    assert 5 < min(samples) < 20_000


def test_what_cannot_be_meant_is_refused_in_one_line() -> None:
    data = bytearray(64)
    view = memoryview(data)
    refused: list[tuple[object, str]] = [
        (lambda: run_team([]), "at least one task that is measured"),
        (lambda: run_team([Task("spin", background=True)]), "at least one task that is measured"),
        (lambda: run_team([Task("spin")], repeats=0), "at least one repeat"),
        (lambda: run_team([Task("spin")], warmups=-1), "0 or more warm-ups"),
        (lambda: run_team([Task("spin")], seconds=float("nan")), "0 or more seconds"),
        (lambda: run_team([Task("spin", cpu=-1)]), "a CPU is a number from 0"),
        (lambda: run_team([Task("spin", pause=-1)]), "a pause is a number of steps"),
        (lambda: run_team([Task("nothing")]), "no kernel is called 'nothing'"),
        (lambda: run_team([Task("read")]), r"takes 1 buffer\(s\), not 0"),
        (lambda: run_team([Task("read", (b"",))]), "hold no element"),
        (lambda: run_team([Task("write", (bytes(64),))]), "writable"),
        (lambda: run_team([Task("triad", (data, bytearray(64), view))]), "do not overlap"),
        (lambda: run_team([Task("spin")], isa="none"), "no instruction set"),
        (lambda: core_to_core(0, 0), "two different CPUs"),
        (lambda: core_to_core(0, -1), "two different CPUs"),
        (lambda: core_to_core(0, 1, samples=0), "at least one sample"),
    ]
    for call, said in refused:
        with pytest.raises(UsageError, match=said) as caught:
            call()  # type: ignore[operator]
        assert "\n" not in str(caught.value)


def test_the_buffers_are_given_back() -> None:
    data = bytearray(4096)
    run: TeamRun = run_team([Task("write", (data,))])
    data.extend(b"x")  # BufferError while a buffer is exported
    assert run.tasks[0].result == 512
