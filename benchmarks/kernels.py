"""numawise's measuring kernels against what else measures memory, on the same CPUs and the same kind of pages.

    python benchmarks/kernels.py [--rounds 15] [--mb 512] [--passes 5] [--pages huge|small] [--threads 1 2]

A kernel that finds less than another program has not found the machine's limit. In every round, in random order:

- each of numawise's kernels with each instruction set, on threads pinned to the first CPUs of this process
- STREAM's loops (as they are, and by hand with non-temporal stores), libc's memcpy, a plain sum and a plain pointer
  chase (benchmarks/peers/stream.c, compiled here with gcc -O3 -march=native -fopenmp), and NumPy's copyto, all in this
  process and on the same pages
- likwid-bench, which takes its own memory and therefore runs as its own process: on transparent huge pages through
  GLIBC_TUNABLES (glibc 2.35 and newer), or on 4 KiB pages

Bandwidth is counted alike: copy 2, triad 3, read 1 times the array; `passes` passes over their whole time. Memory is
mapped afresh in every round, since what physical pages a process gets changes its figures. Where the system permits it
all run at real-time priority, so that programs on the same CPUs are not in the figures. The ratio is ours over the
peer's within a round: its median over the rounds, and in brackets the interval of that median (bootstrap, 95%).
A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from precedence import precedence

from numawise.native.isa import isas
from numawise.native.table import kernel, kernel_names
from numawise.native.team import Task, run_team

CPUS = sorted(os.sched_getaffinity(0))
HUGE = 2 << 20
LIKWID = {  # the fastest of its tests for each pattern on AVX-512 and AVX machines
    "read": ["load_avx512", "load_avx"],
    "copy": ["copy_mem_avx512", "copy_mem_avx"],
    "triad": ["stream_mem_avx512", "stream_mem_avx_fma"],
}
ARRAYS = {"read": 1, "copy": 2, "triad": 3}
MADV_NOHUGEPAGE = getattr(mmap, "MADV_NOHUGEPAGE", 15)

Rounds = dict[str, list[float]]
"""By contender, its figure in every round."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--mb", type=int, default=512, help="10**6 bytes of each array, all threads together")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--pages", choices=["huge", "small"], nargs="+", default=["huge", "small"])
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, len(CPUS)}))
    parser.add_argument("--only", choices=[*ARRAYS, "chase"], nargs="+", default=[*ARRAYS, "chase"])
    parser.add_argument("--no-likwid", action="store_true")
    options = parser.parse_args()
    if options.rounds < 2 or not all(0 < threads <= len(CPUS) for threads in options.threads):
        parser.error(f"at least two rounds, on 1 to {len(CPUS)} threads")
    os.environ["OMP_PLACES"] = ",".join(f"{{{cpu}}}" for cpu in CPUS)
    os.environ["OMP_PROC_BIND"] = "true"
    os.environ["OMP_WAIT_POLICY"] = "passive"  # or its threads would still spin in the next contender's time
    print(
        f"Linux {os.uname().release}, {len(CPUS)} CPUs, instruction sets {', '.join(isas())}, {precedence()}"
    )
    with tempfile.TemporaryDirectory() as folder:
        peers = compiled(Path(folder))
        for pages in options.pages:
            for work in options.only:
                for threads in options.threads if work != "chase" else [1]:
                    contest = Contest(work, threads, pages, options, peers)
                    print_table(contest.title, contest.run(), less_is_better=work == "chase")


def compiled(folder: Path) -> Any:
    """The peers in C, or None where there is no gcc."""
    if shutil.which("gcc") is None:
        print("no gcc: without the peers in C")
        return None
    target = folder / "peers.so"
    source = Path(__file__).parent / "peers" / "stream.c"
    flags = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", target, source], check=True, timeout=60)
    library = ctypes.CDLL(str(target))
    os.sched_setaffinity(0, CPUS)  # OpenMP has bound this thread to its first place
    for name in ("copy", "triad", "copy_nt", "triad_nt", "sum", "memcpy", "chase"):
        getattr(library, f"peer_{name}").restype = ctypes.c_double
    return library


class Contest:
    """One access pattern, one number of threads, one kind of pages."""

    def __init__(self, work: str, threads: int, pages: str, options: argparse.Namespace, peers: Any) -> None:
        self.work, self.threads, self.pages, self.peers = work, threads, pages, peers
        self.rounds, self.passes = options.rounds, options.passes
        share = options.mb * 10**6 // threads // 4096 * 4096
        self.length = share * threads
        self.likwid = None if options.no_likwid or work == "chase" else shutil.which("likwid-bench")
        pages_named = "transparent huge pages" if pages == "huge" else "4 KiB pages"
        unit = "ns a load" if work == "chase" else "GB/s"
        self.title = f"{work}, {threads} thread{'s' * (threads > 1)}, {pages_named}, {unit}"

    def run(self) -> Rounds:
        figures: Rounds = {}
        for _ in range(self.rounds):
            buffers = [self.memory() for _ in range(ARRAYS.get(self.work, 1))]
            contenders = self.contenders(buffers)
            for name in random.sample(sorted(contenders), len(contenders)):
                figures.setdefault(name, []).append(contenders[name]())
            del contenders, buffers
        return figures

    def memory(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One array, on a boundary of a huge page, each thread's part touched by its CPU."""
        mapped = mmap.mmap(-1, self.length + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        mapped.madvise(mmap.MADV_HUGEPAGE if self.pages == "huge" else MADV_NOHUGEPAGE)
        whole = np.frombuffer(mapped, dtype=np.uint8)
        array = whole[-whole.ctypes.data % HUGE :][: self.length].view(np.float64)
        run_team(
            [Task("write", (part,), cpu=cpu) for part, cpu in zip(self.parts(array), CPUS, strict=False)]
        )
        array[:] = 1.0
        return array

    def parts(self, array: Any) -> list[Any]:
        return list(np.split(array, self.threads))

    def contenders(self, buffers: list[Any]) -> dict[str, Callable[[], float]]:
        found: dict[str, Callable[[], float]] = {}
        for name in kernel_names():
            if name.removesuffix("_nt") == self.work:
                for isa in isas() if name != "chase" else isas()[:1]:
                    found[f"numawise {name} {isa if name != 'chase' else ''}".strip()] = self.ours(
                        name, isa, buffers
                    )
        for name, seconds in self.in_process(buffers).items():
            found[name] = self.rated(on_first_cpu(seconds))
        for test in LIKWID[self.work] if self.likwid else []:
            found[f"likwid-bench {test}"] = self.with_likwid(test)
        return found

    def ours(self, name: str, isa: str, buffers: list[Any]) -> Callable[[], float]:
        split = list(zip(*(self.parts(buffer) for buffer in buffers), strict=True))
        tasks = [Task(name, parts, cpu=cpu) for parts, cpu in zip(split, CPUS, strict=False)]

        def measure() -> float:
            run = run_team(tasks, repeats=1 if self.work == "chase" else self.passes, warmups=0, isa=isa)
            if self.work == "chase":
                return run.ns_per_element[0]
            moved = sum(task.bytes for task in run.measured) * len(run.seconds)
            return moved / sum(run.seconds) / 1e9

        return measure

    def rated(self, seconds: Callable[[], float]) -> Callable[[], float]:
        if self.work == "chase":
            return lambda: seconds() * 1e9 / (self.length // 64)
        moved = self.length * kernel(self.work).bytes_per_element // 8 * self.passes
        return lambda: moved / seconds() / 1e9

    def in_process(self, buffers: list[Any]) -> dict[str, Callable[[], float]]:
        """The peers that run here, as calls that return their seconds for all passes."""
        last, at = buffers[-1], [ctypes.c_void_p(buffer.ctypes.data) for buffer in buffers]
        words = ctypes.c_size_t(self.length // 8)
        found: dict[str, Callable[[], float]] = {}
        if self.work == "copy":
            found["NumPy copyto"] = lambda: self.copyto(self.parts(buffers[0]), self.parts(last))
        if self.peers is None:
            return found
        if self.work == "copy":
            found["libc memcpy"] = lambda: self.peers.peer_memcpy(
                at[1], at[0], words, self.threads, self.passes
            )
            found["STREAM copy"] = lambda: self.peers.peer_copy(
                at[1], at[0], words, self.threads, self.passes
            )
            if "avx2" in isas():
                found["STREAM copy, NT stores"] = lambda: self.peers.peer_copy_nt(
                    at[1], at[0], words, self.threads, self.passes
                )
        elif self.work == "triad":
            if "avx2" in isas():
                found["STREAM triad, NT stores"] = lambda: self.peers.peer_triad_nt(
                    at[2], at[0], at[1], words, self.threads, self.passes
                )
            found["STREAM triad"] = lambda: self.peers.peer_triad(
                at[2], at[0], at[1], words, self.threads, self.passes
            )
        elif self.work == "read":
            found["sum in C"] = lambda: self.peers.peer_sum(at[0], words, self.threads, self.passes)
        elif self.work == "chase":
            lay = Task("chase", (last,), cpu=CPUS[0])

            def chase() -> float:
                run_team([lay], warmups=0)  # leaves the ring that the plain loop then follows
                return float(self.peers.peer_chase(at[0], ctypes.c_size_t(self.length // 64), 1))

            found["pointer chase in C"] = chase
        return found

    def copyto(self, sources: list[Any], targets: list[Any]) -> float:
        stamps: list[tuple[float, float]] = []
        meet = threading.Barrier(self.threads)

        def work(index: int) -> None:
            os.sched_setaffinity(threading.get_native_id(), {CPUS[index]})
            meet.wait()
            start = time.monotonic_ns()
            for _ in range(self.passes):
                np.copyto(targets[index], sources[index])
            stamps.append((start, time.monotonic_ns()))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (max(end for _, end in stamps) - min(start for start, _ in stamps)) / 1e9

    def with_likwid(self, test: str) -> Callable[[], float]:
        size = self.length * ARRAYS[self.work] // 1000
        env = dict(os.environ)
        if self.pages == "huge":
            env["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        command = [str(self.likwid), "-t", test, "-w", f"S0:{size}kB:{self.threads}", "-i", str(self.passes)]

        def measure() -> float:
            out = subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=120, check=True
            ).stdout
            rate = re.search(r"MByte/s:\s+([\d.]+)", out)
            assert rate is not None, out
            return float(rate[1]) / 1e3

        return measure


def on_first_cpu(call: Callable[[], float]) -> Callable[[], float]:
    """OpenMP's first thread is the calling one, and binding it would also bind what is started later."""

    def bound() -> float:
        os.sched_setaffinity(0, CPUS[:1])
        try:
            return call()
        finally:
            os.sched_setaffinity(0, CPUS)

    return bound


def print_table(title: str, figures: Rounds, *, less_is_better: bool) -> None:
    """Every contender's median, and the ratio of our best one to it (bandwidth ours/theirs, latency the same)."""
    medians = {name: statistics.median(values) for name, values in figures.items()}
    best = min if less_is_better else max
    order = sorted(medians, key=lambda name: medians[name], reverse=not less_is_better)
    ours = next(name for name in order if name.startswith("numawise"))
    print(
        f"\n{title} ({len(figures[ours])} rounds)\n\n| | median [quartiles] | {ours} against it |\n|---|---|---|"
    )
    for name in order:
        low, _, high = statistics.quantiles(figures[name], n=4)
        ratios = [a / b for a, b in zip(figures[ours], figures[name], strict=True)]
        against = "" if name == ours else interval(ratios)
        print(
            f"| {name} | {medians[name]:.1f} [{low:.1f}-{high:.1f}] | {best(figures[name]):.1f} | {against} |"
        )
    sys.stdout.flush()


def interval(ratios: list[float]) -> str:
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    return f"{statistics.median(ratios):.3f} [{medians[50]:.3f}-{medians[-51]:.3f}]"


if __name__ == "__main__":
    main()
