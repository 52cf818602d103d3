"""Several worker processes of one program, computing at the same time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from numawise.errors import NumawiseError
from numawise.linux.prctl import set_parent_death_signal

T = TypeVar("T")

Meet = Callable[[], None]
"""Waits until every worker called it."""


class _Worker(NamedTuple):
    process: Any
    pipe: Any


class _Failed(NamedTuple):
    reason: str


_MEETING = "meet"


def run_workers(count: int, work: Callable[[int, Meet], T]) -> list[T]:
    """`work(worker, meet)` for each of `count` workers, all at once; their values in order.

    One worker is this process itself. More are forked, so call this before anything starts threads; they do
    not outlive this process. Every worker must call `meet` equally often. Raises NumawiseError with the
    reason when one cannot start or fails, and stops the others.
    """
    if count == 1:
        return [work(0, lambda: None)]
    workers: list[_Worker] = []
    try:
        for number in range(count):
            workers.append(_start(number, count, work))
        while True:
            said = [_listen(number, worker) for number, worker in enumerate(workers)]
            if said[0] != _MEETING:
                return said
            for worker in workers:
                worker.pipe.send(_MEETING)
    finally:
        for worker in workers:
            worker.process.kill()  # they have said all they had to say, or are not wanted any more
            worker.process.join()


def _start(number: int, count: int, work: Callable[[int, Meet], Any]) -> _Worker:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    try:
        mine, theirs = context.Pipe()
        process = context.Process(target=_child, args=(theirs, number, work), daemon=True)
        process.start()
    except OSError as error:
        raise NumawiseError(
            f"cannot start worker {number} of {count}: {error.strerror}; use fewer, or raise ulimit -u and -n"
        ) from None
    theirs.close()  # so that reading meets the end of file when the worker dies
    return _Worker(process, mine)


def _child(pipe: Any, number: int, work: Callable[[int, Meet], Any]) -> None:
    set_parent_death_signal(signal.SIGKILL)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent ends the workers

    def meet() -> None:
        pipe.send(_MEETING)
        pipe.recv()

    try:
        pipe.send(work(number, meet))
    except (NumawiseError, MemoryError) as error:
        pipe.send(_Failed(f"worker {number}: {error}"))


def _listen(number: int, worker: _Worker) -> Any:
    try:
        said = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        raise NumawiseError(
            f"worker {number} ended early (exit code {worker.process.exitcode}; -9 is mostly the kernel's, "
            "when memory runs out: use fewer workers or a smaller --scale)"
        ) from None
    if isinstance(said, _Failed):
        raise NumawiseError(said.reason)
    return said
