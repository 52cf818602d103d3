"""How long it takes to see where a process's memory is, and how long looking holds the process up.

    python benchmarks/residency.py [--gib 1 4] [--rounds 15] [--pages 1000]

Readers, in random order within every round: nothing (the machine's own noise), numawise, /proc/PID/numa_maps
read by itself, and `numastat -p` (package numactl), which also starts a program. The target keeps mapping,
touching and unmapping memory, which needs the lock that a reader of its page tables holds, and records the
longest time one such turn took. Its memory is in 4 KiB pages. Figures are medians over rounds, with the
quartiles in brackets.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from numawise.observe import residency

CPUS = os.sched_getaffinity(0)
IDLE_S = 0.05
SMALL = 16 * mmap.PAGESIZE


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gib", type=float, nargs="+", default=[1, 4], help="resident sizes of the target")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pages", type=int, default=1000)
    options = parser.parse_args()
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}")
    if len(CPUS) > 1:
        os.sched_setaffinity(
            0, CPUS - {max(CPUS)}
        )  # the last one is the target's: its stalls are then not the scheduler's
    for gib in options.gib:
        measure(gib, options.rounds, options.pages)


def readers(pid: int, pages: int) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {
        "nothing": lambda: time.sleep(IDLE_S),
        "numawise": lambda: residency(pid=pid, pages=pages),
    }
    if Path(f"/proc/{pid}/numa_maps").exists():
        found["numa_maps"] = Path(f"/proc/{pid}/numa_maps").read_bytes
        if shutil.which("numastat"):
            command = ["numastat", "-p", str(pid)]
            found["numastat -p"] = lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return found


def measure(gib: float, rounds: int, pages: int) -> None:
    with target(int(gib * 2**30)) as (pid, longest):
        ways = readers(pid, pages)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        stalls: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name in random.sample(list(ways), len(ways)):
                time.sleep(0.005)
                longest(reset=True)
                began = time.perf_counter()
                ways[name]()
                took = time.perf_counter() - began
                if turn:  # the first round warms up
                    seconds[name].append(took * 1e3)
                    stalls[name].append(longest() * 1e3)
    print(f"\n{gib:g} GiB resident, {pages} pages, {rounds} rounds")
    print(f"{'reader':12} {'takes, ms':>24} {'against numawise':>24} {'longest stall, ms':>24} {'worst':>7}")
    for name in ways:
        ratios = [mine / theirs for mine, theirs in zip(seconds[name], seconds["numawise"], strict=True)]
        figures = ("-", "-") if name == "nothing" else (spread(seconds[name]), spread(ratios))
        print(
            f"{name:12} {figures[0]:>24} {figures[1]:>24} {spread(stalls[name]):>24} {max(stalls[name]):7.1f}"
        )


def spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} [{low:.2f} .. {high:.2f}]"


@contextmanager
def target(size: int) -> Iterator[tuple[int, Callable[..., float]]]:
    """A process with `size` resident bytes, and a function that tells its longest turn in seconds since a
    reset.
    """
    record = mmap.mmap(-1, mmap.PAGESIZE)  # shared: longest turn in seconds, number of turns
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setaffinity(0, [max(CPUS)])
            run_target(size, record)
        finally:
            os._exit(1)

    def longest(*, reset: bool = False) -> float:
        turns = read_turns(record)
        while read_turns(record) < turns + 2:  # a turn that was held up ends, and is written down
            time.sleep(0.001)
        found: float = struct.unpack_from("d", record, 0)[0]
        if reset:
            struct.pack_into("d", record, 0, 0.0)
        return found

    try:
        while not read_turns(record):
            if os.waitpid(pid, os.WNOHANG)[0]:
                sys.exit(f"the target could not hold {size / 2**30:g} GiB")
            time.sleep(0.01)
        time.sleep(0.2)
        yield pid, longest
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def read_turns(record: mmap.mmap) -> int:
    turns: int = struct.unpack_from("q", record, 8)[0]
    return turns


def run_target(size: int, record: mmap.mmap) -> None:
    held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.madvise(mmap.MADV_NOHUGEPAGE)
    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(held)), 1, size)
    clock, turns = time.perf_counter, 0
    while True:
        began = clock()
        area = mmap.mmap(-1, SMALL, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area[0] = area[SMALL - 1] = 1
        area.close()
        took = clock() - began
        if took > struct.unpack_from("d", record, 0)[0]:
            struct.pack_into("d", record, 0, took)
        turns += 1
        struct.pack_into("q", record, 8, turns)


if __name__ == "__main__":
    main()
