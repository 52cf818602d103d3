"""Workers run at the same time, fail as one, and leave nobody behind."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from numawise.errors import NumawiseError
from numawise.workloads.moe.workers import run_workers

Meet = Callable[[], None]


def gone(pid: int) -> bool:
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_values_come_back_in_order_from_as_many_processes() -> None:
    values = run_workers(3, lambda worker, meet: (worker, os.getpid()))
    assert [worker for worker, _ in values] == [0, 1, 2]
    assert len({pid for _, pid in values} | {os.getpid()}) == 4
    assert all(gone(pid) for _, pid in values)


def test_one_worker_is_this_process() -> None:
    assert run_workers(1, lambda worker, meet: (meet(), os.getpid())) == [(None, os.getpid())]


def test_nobody_passes_a_meeting_before_all_are_there(tmp_path: Path) -> None:
    def work(worker: int, meet: Meet) -> int:
        seen = 0
        for round_number in range(3):
            time.sleep(0.02 * worker)
            (tmp_path / f"{round_number}-{worker}").touch()
            meet()
            seen += len(list(tmp_path.glob(f"{round_number}-*")))
        return seen

    assert run_workers(3, work) == [9, 9, 9]


def test_a_failing_worker_stops_the_others(tmp_path: Path) -> None:
    def work(worker: int, meet: Meet) -> None:
        (tmp_path / str(os.getpid())).touch()
        meet()
        if worker == 1:
            raise MemoryError("too much")
        meet()

    with pytest.raises(NumawiseError, match="worker 1: too much"):
        run_workers(3, work)
    assert all(gone(int(path.name)) for path in tmp_path.iterdir())


def test_a_killed_worker_is_named_with_its_exit_code() -> None:
    def work(worker: int, meet: Meet) -> None:
        if worker == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        meet()

    with pytest.raises(NumawiseError, match=r"worker 2 ended early \(exit code -9"):
        run_workers(3, work)


def test_workers_end_with_the_program_that_is_killed(tmp_path: Path) -> None:
    program = os.fork()
    if program == 0:
        run_workers(2, lambda worker, meet: ((tmp_path / str(os.getpid())).touch(), time.sleep(60)))
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.01)
    os.kill(program, signal.SIGKILL)
    os.waitpid(program, 0)
    assert all(gone(int(path.name)) for path in tmp_path.iterdir())
