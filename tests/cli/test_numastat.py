"""`numawise numastat` beside the classic tool, and where it knows better."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_tools import PROGRAMS, REAL, ours, real, shape

from numawise.linux.numa_maps import parse_numa_maps
from numawise.observe.node_statistics import Row, Table, rows_by_kind
from numawise.report.classic_table import Style, counter_lines, lines

with_the_real_one = pytest.mark.skipif(not REAL["numastat"], reason="no numastat here to compare with")
NODE_0 = Path("/sys/devices/system/node/node0")
here = pytest.mark.skipif(not NODE_0.exists(), reason="the kernel shows no node 0")

WORK = Table(
    "Work:",
    (0, 2),
    (Row("Small", (1.0, 0.0)), Row("None", (0.0, 0.0)), Row("Large", (20.25, 1000.5))),
    "PID",
    Row("Total", (21.25, 1000.5)),
    min_label=16,
)


@pytest.fixture(scope="module")
def stopped() -> Iterator[list[str]]:
    """Two processes that hold memory and stand still, by pid."""
    command = [sys.executable, "-S", "-E", str(PROGRAMS / "hold_memory.py"), "12"]
    found = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for process in found:
        assert process.stdout
        assert process.stdout.readline().startswith(b"ready")
        process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    yield [str(process.pid) for process in found]
    for process in found:
        process.kill()
        process.communicate()


@here
@with_the_real_one
@pytest.mark.parametrize("options", ["", "-c", "-z", "-cz", "-s", "-s0", "-cvs", "-v"])
@pytest.mark.parametrize("count", [1, 2])
def test_tables_of_processes_are_the_same_to_the_byte(stopped: list[str], options: str, count: int):
    words = [*options.split(), *stopped[:count]]
    mine = ours("numastat", *words)
    assert (mine.stdout, mine.stderr, mine.returncode) == (real("numastat", *words).stdout, "", 0)
    assert len(mine.stdout.splitlines()) > 5


@here
@with_the_real_one
def test_a_process_is_found_by_its_command_line(stopped: list[str]):
    words = ["-p", f"{PROGRAMS.name}/hold_memory.py", "-c"]
    assert all(f"{pid} (" in ours("numastat", *words).stdout for pid in stopped)
    assert ours("numastat", "kthreadd").stdout == real("numastat", "kthreadd").stdout


@here
@with_the_real_one
@pytest.mark.parametrize("width", ["", "20", "40", "47", "48", "100"])
@pytest.mark.parametrize("options", ["", "-n", "-nc", "-z", "-v"])
def test_counters_have_the_same_shape_and_move_on(options: str, width: str):
    env = {**os.environ, "NUMASTAT_WIDTH": width}
    before, mine, after = (tool("numastat", *options.split(), env=env).stdout for tool in (real, ours, real))
    if "c" not in options or shape(before) == shape(after):  # a figure may have grown by a digit meanwhile
        assert shape(mine) in (shape(before), shape(after))
    low, now, high = (figures(text) for text in (before, mine, after))
    assert [name for name, _ in now] == [name for name, _ in low]
    assert all(old <= new <= newer for (_, old), (_, new), (_, newer) in zip(low, now, high, strict=True))


@here
@with_the_real_one
@pytest.mark.parametrize("options", ["-m", "-mc"])
def test_memory_has_the_same_lines_and_those_it_did_not_know(options: str):
    mine, classic = (
        ours("numastat", options).stdout.splitlines(),
        real("numastat", options).stdout.splitlines(),
    )
    assert mine[:4] == classic[:4]
    labels = {line.split()[0]: line for line in mine[4:]}
    for line in classic[4:]:
        assert shape(line) == shape(labels[line.split()[0]]) or "c" in options
    assert labels["MemTotal"] == classic[4]
    kernel = [line.split()[2].rstrip(":") for line in (NODE_0 / "meminfo").read_text().splitlines()]
    assert list(labels) == kernel


@here
def test_several_tables_come_in_the_classic_order(stopped: list[str]):
    titles = [
        line
        for line in ours("numastat", "-mnp", stopped[0]).stdout.splitlines()
        if line.startswith("Per-node")
    ]
    assert [title.split()[1] for title in titles] == ["process", "system", "numastat"]


@here
def test_json_has_the_figures(stopped: list[str]):
    (table,) = json.loads(ours("numastat", "--json", stopped[0]).stdout)["tables"]
    by_name = {row["name"]: row for row in table["rows"]}
    assert 12 < by_name["Private"]["total"] < 40
    assert by_name["Total"]["total"] == pytest.approx(
        sum(by_name[k]["total"] for k in ("Huge", "Heap", "Stack", "Private"))
    )


@here
def test_what_is_not_there_is_said_and_no_row_is_made_up(stopped: list[str]):
    gone = subprocess.Popen(["true"])
    gone.wait()
    missing = ours("numastat", "-p", str(gone.pid))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == f"numastat: cannot read /proc/{gone.pid}/numa_maps: No such file or directory\n"
    both = ours("numastat", str(gone.pid), stopped[0])
    assert both.returncode == 0
    assert str(gone.pid) not in both.stdout
    assert ours("numastat", "-p", "").returncode == 1
    assert ours("numastat", "9" * 30).returncode == 1


def test_a_text_in_no_command_line(tmp_path: Path):
    # The only process that has it in its command line is the one that looks.
    done = ours("numastat", "-p", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f'Found no processes containing pattern: "{tmp_path}"\n'


@pytest.mark.parametrize("options", ["-q", "-p", "--nonsense", "-c1"])
def test_wrong_options_are_explained(options: str):
    done = ours("numastat", options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1].startswith("usage: numastat")


def test_help_and_version():
    assert ours("numastat", "--help").stdout.startswith("usage: numastat")
    assert ours("numastat", "-V").stdout.startswith("numastat version: numawise ")


def test_huge_pages_count_with_their_own_size():
    """With a default of 1 GiB, the classic tool took each page of 2 MiB for one of 1 GiB (numactl issue 147)."""
    maps = (
        "7f00 default file=/anon_hugepage\\040(deleted) huge anon=10 dirty=10 N0=5 N1=5 kernelpagesize_kB=2048\n"
        "8000 default file=/big huge anon=1 dirty=1 N1=1 kernelpagesize_kB=1048576\n"
        "9000 default heap anon=256 dirty=256 N0=256 kernelpagesize_kB=4\n"
        "a000 default stack anon=16 N1=16 kernelpagesize_kB=64\n"
        "b000 default file=/opt/huge/heap mapped=512 N1=512 kernelpagesize_kB=4\n"
    )
    rows = {row.label: row.values for row in rows_by_kind(parse_numa_maps(maps), (0, 1))}
    assert rows == {"Huge": (10.0, 1034.0), "Heap": (1.0, 0.0), "Stack": (0.0, 1.0), "Private": (0.0, 2.0)}


def test_the_layout_in_full():
    assert (
        "\n".join(lines(WORK, Style()))
        == """
Work:
PID                        Node 0          Node 2           Total
----------------  --------------- --------------- ---------------
Small                        1.00            0.00            1.00
None                         0.00            0.00            0.00
Large                       20.25         1000.50         1020.75
----------------  --------------- --------------- ---------------
Total                       21.25         1000.50         1021.75"""
    )


def test_compact_sorted_and_without_zeros():
    style = Style(compact=True, skip_zeros=True, sort=True)
    assert (
        "\n".join(lines(WORK, style))
        == """
Work:
PID    Node 0 Node 2 Total
-----  ------ ------ -----
Large      20   1000  1021
Small       1      0     1
-----  ------ ------ -----
Total      21   1000  1022"""
    )
    by_node = [line.split()[0] for line in list(lines(WORK, Style(sort=True, sort_node=0)))[4:7]]
    assert by_node == ["Large", "Small", "None"]


def test_columns_of_zeros_go_too():
    table = WORK._replace(rows=WORK.rows[:2], sum_row=None)
    assert "Node 2" not in "\n".join(lines(table, Style(skip_zeros=True)))
    empty = WORK._replace(rows=WORK.rows[1:2], sum_row=None)
    assert list(lines(empty, Style(skip_zeros=True)))[2:] == ["Table has no non-zero data."]


def test_narrow_lines_fold_the_table():
    folded = "\n".join(lines(WORK, Style(width=49)))
    assert folded.count("PID") == 2
    assert all(len(line) <= 49 for line in folded.splitlines())
    counters = {node: {"numa_hit": 7 * node} for node in (0, 2, 10)}
    assert list(counter_lines(counters, 50)) == [
        "                           node0           node2",
        "numa_hit                       0              14",
        "",
        "                          node10",
        "numa_hit                      70",
    ]


def figures(text: str) -> list[tuple[str, float]]:
    """Every figure of a table, with its line's label."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith((" ", "Per-node"))]
    return [(row[0], float(word)) for row in rows for word in row[1:]]
