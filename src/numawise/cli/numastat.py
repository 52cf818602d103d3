"""`numawise numastat ...`: the classic tool's tables of memory by node, for the machine and for processes.

Bypasses click: it takes its arguments as getopt_long(3) does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from numawise.cli.classic.getopt import OPTIONAL, REQUIRED, BadOption, Option, Reader
from numawise.linux.node_figures import node_ids, read_counters
from numawise.observe import node_statistics as figures
from numawise.observe.node_statistics import Table
from numawise.report import classic_table
from numawise.report.classic_table import Style

OPTIONS = (
    Option("compact", "c"),
    Option("meminfo", "m"),
    Option("numastat", "n"),
    Option("process", "p", (), REQUIRED),
    Option("sort", "s", (), OPTIONAL),
    Option("verbose", "v"),
    Option("version", "V", ("version",)),
    Option("zeros", "z"),
    Option("help", "h", ("help",)),
    Option("json", "", ("json",)),
)
USAGE = """\
usage: numastat [-c] [-m] [-n] [-p PID|TEXT] [-s[NODE]] [-v] [-z] [--json] [PID|TEXT ...]
       numastat -V | --help
Without any option: the kernel's allocation counters, in pages. With one, in MB of 2^20 bytes:
-n  the same counters
-m  the memory of each node, line by line as /proc/meminfo
-p  memory of a process, or of all whose command line contains TEXT (-p itself may be left out)
-v  of several processes, each in detail
-c  narrow columns, whole MB        -z  leave out rows and columns of zeros
-s  largest first, by total or by node NODE (-s1: no blank between)
The environment variable NUMASTAT_WIDTH says how many characters a line may have."""


def console() -> NoReturn:
    """The script `numawise-numastat`, which a link called `numastat` may point to."""
    from numawise.cli.main import alone

    alone(main)


def main(words: Sequence[str]) -> int:
    """Print what `numastat WORDS` prints; returns the exit code."""
    chosen = _Chosen()
    reader = Reader(words, OPTIONS, permute=True)
    try:
        for option, value in reader:
            chosen = chosen.with_option(option, value)
    except BadOption as error:
        print(f"numastat: {error}", file=sys.stderr)
        print(USAGE, file=sys.stderr)
        return 1
    if "help" in chosen.given or "version" in chosen.given:
        from numawise.version import installed_version

        print(USAGE if "help" in chosen.given else f"numastat version: numawise {installed_version()}")
        return 0
    nodes = node_ids()
    if not nodes:
        print("numastat: the kernel shows no nodes (it was built without NUMA)", file=sys.stderr)
        return 1
    try:
        return _print_all(chosen, (*chosen.processes, *reader.rest), nodes, bare=not words)
    except OSError as error:
        print(f"numastat: cannot read {error.filename or 'the figures'}: {error.strerror}", file=sys.stderr)
        return 1


class _Chosen(NamedTuple):
    """What the options ask for."""

    given: frozenset[str] = frozenset()
    processes: tuple[str, ...] = ()
    sort_node: int | None = None

    def with_option(self, option: str, value: str) -> _Chosen:
        """One option more."""
        given = self.given | {option}
        if option == "process":
            return self._replace(given=given, processes=(*self.processes, value))
        if option == "sort":
            return self._replace(
                given=given,
                sort_node=int(value) if value.isascii() and value.isdigit() and len(value) < 9 else None,
            )
        return self._replace(given=given)


def _print_all(chosen: _Chosen, named: Sequence[str], nodes: tuple[int, ...], *, bare: bool) -> int:
    style = Style(
        width=_width(),
        compact="compact" in chosen.given,
        skip_zeros="zeros" in chosen.given,
        sort="sort" in chosen.given,
        sort_node=chosen.sort_node,
    )
    if bare:
        _print(classic_table.counter_lines({node: read_counters(node) for node in nodes}, style.width))
        return 0
    tables, missed = _of_processes(named, nodes, verbose="verbose" in chosen.given)
    if "meminfo" in chosen.given:
        tables.append(figures.meminfo_table(nodes))
    if "numastat" in chosen.given or not (named or "meminfo" in chosen.given):
        tables.append(figures.counter_table(nodes))
    if "json" in chosen.given:
        print(_json_text(tables))
    else:
        for table in tables:
            _print(classic_table.lines(table, style))
    return 1 if missed and not tables else 0


def _of_processes(named: Sequence[str], nodes: tuple[int, ...], *, verbose: bool) -> tuple[list[Table], bool]:
    """The tables of the processes that are named, and whether some could not be had."""
    pids: dict[int, None] = {}
    missed = False
    for name in named:
        found = (
            [int(name)]
            if name.isascii() and name.isdigit() and len(name) < 20
            else figures.processes_with(name)
            if name
            else []
        )
        if not found:
            print(f'Found no processes containing pattern: "{name}"', file=sys.stderr)
            missed = True
        pids.update(dict.fromkeys(found))
    tables = {}
    for pid in pids:
        try:
            tables[pid] = figures.process_table(pid, nodes)
        except OSError as error:
            print(f"numastat: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
            missed = True
    if len(tables) > 1 and not verbose:
        return [figures.processes_table(tables)], missed
    return [tables[pid] for pid in sorted(tables)], missed


def _width() -> int | None:
    """Characters a line: as the environment says, else those of the terminal, else any number."""
    asked = os.environ.get("NUMASTAT_WIDTH", "")
    if asked.isascii() and asked.isdigit() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):  # no terminal, or no file at all
        return None


def _json_text(tables: Iterable[Table]) -> str:
    import json

    document = [
        {
            "title": table.title,
            "unit": "MB",
            "rows": [
                {
                    "name": row.label,
                    "nodes": dict(zip(map(str, table.nodes), row.values, strict=True)),
                    "total": row.total,
                }
                for row in (*table.rows, *([table.sum_row] if table.sum_row else []))
            ],
        }
        for table in tables
    ]
    return json.dumps({"tables": document})


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def __getattr__(name: str) -> Any:
    """The click command, made when `--help` asks for it."""
    if name != "command":
        raise AttributeError(name)
    from numawise.cli.classic.command import click_command

    return click_command("numastat", "Show memory by node as numastat does.", OPTIONS, main)
