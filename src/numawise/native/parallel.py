"""One kernel on several threads at once: what a set of CPUs can draw from memory together."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from numawise.errors import NumawiseError, UsageError
from numawise.native.binding import KernelRun, run_kernel


class ParallelRun(msgspec.Struct, frozen=True):
    """Runs of one kernel that went on at the same time, one a thread."""

    runs: tuple[KernelRun, ...]

    @property
    def gb_per_s(self) -> float:
        """The threads' rates added up, in 10**9 bytes a second.

        Each over its own time: threads do not end at one instant, and the wait for the last is no traffic.
        """
        return sum(run.gb_per_s for run in self.runs)


def run_on_threads(name: str, buffers: Sequence[object], *, seconds: float) -> ParallelRun:
    """Run a one-buffer kernel for `seconds` on one thread per buffer, all started together.

    The threads run wherever this thread may, since they inherit its affinity. Raises what `run_kernel`
    raises.

    >>> together = run_on_threads("read", [bytes(8), (5).to_bytes(8, "little")], seconds=0.01)
    >>> [run.result for run in together.runs]
    [0, 5]
    """
    if not buffers:
        raise UsageError("a parallel run needs at least one buffer")
    runs: list[KernelRun | NumawiseError | None] = [None] * len(buffers)
    start = threading.Barrier(len(buffers))

    def work(index: int) -> None:
        try:
            start.wait()
            runs[index] = run_kernel(name, buffers[index], seconds=seconds)
        except threading.BrokenBarrierError:
            runs[index] = NumawiseError(f"cannot start {len(buffers)} threads; use fewer, or raise ulimit -u")
        except NumawiseError as error:
            runs[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(buffers))]
    started: list[threading.Thread] = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
    except RuntimeError:  # the system gives no more threads: let go those that wait for the missing ones
        start.abort()
    for thread in started:
        thread.join()
    failed = next((run for run in runs if isinstance(run, NumawiseError)), None)
    if failed is not None:
        raise failed
    return ParallelRun(runs=tuple(run for run in runs if isinstance(run, KernelRun)))
