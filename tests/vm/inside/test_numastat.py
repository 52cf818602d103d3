"""Numastat's tables on two nodes and a third without CPUs: ours beside the classic tool."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from classic_tools import forked, real, shape
from vm.inside.tools import HOLD

MAP_HUGETLB = 0x40000
HUGE = f"""
import mmap, sys
area = mmap.mmap(-1, 4 << 20, flags={MAP_HUGETLB} | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area[0] = area[2 << 20] = 1
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def stopped(*command: str) -> Iterator[str]:
    """A process that has its memory and stands still: its pid."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        assert process.stdout.readline().startswith(b"ready")
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        yield str(process.pid)
    finally:
        process.kill()
        process.communicate()


def same(*words: str) -> str:
    """Output of ours, which must be the classic tool's."""
    mine, classic = forked("numastat", *words), real("numastat", *words)
    if (mine.stdout, mine.stderr, mine.returncode) != (classic.stdout, "", 0):
        raise AssertionError(f"numastat {words}, ours:\n{mine.stdout}{mine.stderr}classic:\n{classic.stdout}")
    return mine.stdout


def test_tables_of_processes():
    with (
        stopped(*HOLD, "24", "--split", "0=25,2=75") as split,
        stopped(*HOLD, "30", "--interleave", "0,1") as spread,
    ):
        detail = same("-p", split)
        assert (
            17
            < float(next(line for line in detail.splitlines() if line.startswith("Private")).split()[3])
            < 20
        )
        for options in ("-c", "-z", "-cz"):
            same(options, split)
            same(options, split, spread)
        same("-v", split, spread)
        # The classic tool leaves equal rows in any order: here they differ.
        same("-s1", split, spread)
        same("-cs2", split, spread)


@pytest.fixture
def huge_pages() -> Iterator[None]:
    pool = Path("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages")
    pool.write_text("4")
    yield
    pool.write_text("0")


@pytest.mark.usefixtures("huge_pages")
def test_huge_pages_of_a_process_and_of_the_machine():
    assert mmap.PAGESIZE == 4096
    # The program itself stays off node 1, so that only the pool's pages are there.
    with stopped(sys.executable, "-S", "-E", "-c", HUGE) as pid:
        table = same("-p", pid)
        assert next(line for line in table.splitlines() if line.startswith("Huge")).split()[1:] == [
            "0.00",
            "4.00",
            "0.00",
            "4.00",
        ]
        memory = {line.split()[0]: line for line in forked("numastat", "-m").stdout.splitlines() if line}
        classic = {line.split()[0]: line for line in real("numastat", "-m").stdout.splitlines() if line}
        for name in ("HugePages_Total", "HugePages_Free", "HugePages_Surp", "MemTotal"):
            assert memory[name] == classic[name]
        assert memory["HugePages_Free"].split()[1:] == ["0.00", "4.00", "0.00", "4.00"]


@pytest.mark.parametrize("options", ["", "-n", "-z", "-s", "-cn"])
def test_counters_have_the_same_shape(options: str):
    mine, classic = (tool("numastat", *options.split()).stdout for tool in (forked, real))
    if "c" in options:  # columns as narrow as their figures, which move
        mine, classic = (" ".join(shape(f" {text}").split()) for text in (mine, classic))
        mine, classic = mine.replace("-", ""), classic.replace("-", "")
    if options == "-s":
        assert sorted(shape(mine).splitlines()) == sorted(shape(classic).splitlines())
    else:
        assert shape(mine) == shape(classic)


def test_narrow_lines_fold_alike():
    for width in ("20", "40", "60", "65"):
        env = {**os.environ, "NUMASTAT_WIDTH": width}
        for option in ([], ["-n"]):
            mine = forked("numastat", *option, before=lambda: os.environ.update(env))  # noqa: B023 - called at once
            assert shape(mine.stdout) == shape(real("numastat", *option, env=env).stdout)


def test_memory_has_every_line_the_classic_tool_knows():
    mine, classic = (tool("numastat", "-m").stdout.splitlines() for tool in (forked, real))
    assert mine[:4] == classic[:4]
    known = {line.split()[0]: shape(line) for line in mine[4:]}
    assert {line.split()[0]: shape(line) for line in classic[4:]}.items() <= known.items()
    assert known.keys() >= {"SwapCached", "FileHugePages"}
