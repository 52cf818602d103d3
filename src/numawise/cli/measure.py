"""`numawise measure [latency|bandwidth|loaded|device|all]`: how fast memory is, from where to where."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from numawise.cli.shared.options import json_option
from numawise.errors import NumawiseError, UsageError

if TYPE_CHECKING:
    from numawise.machine.topology import Topology
    from numawise.measure.claims import Claim
    from numawise.measure.run import Run
    from numawise.measure.values import LoadedPoint, Measurements, Reading

WHAT = ("latency", "bandwidth", "loaded", "device", "all")
INTERRUPTED = 130
_file = click.Path(path_type=Path)


@click.command("measure")
@click.argument(
    "what", type=click.Choice(WHAT), default="all", metavar="[latency|bandwidth|loaded|device|all]"
)
@click.option("--quick", is_flag=True, help="Less time for each figure, so larger spreads.")
@click.option(
    "--seconds", type=float, metavar="S", help="How long it may take, about (by the size of the machine)."
)
@click.option(
    "--buffer",
    "buffer",
    metavar="SIZE",
    help="Memory for each figure, such as 64M, instead of 4 times the caches; smaller ones are marked.",
)
@click.option("--csv", "csv_path", metavar="FILE", type=_file, help="Write every figure to FILE as a table.")
@click.option("--html", "html_path", metavar="FILE", type=_file, help="Write a page with heat maps to FILE.")
@json_option
def command(
    what: str,
    *,
    quick: bool,
    seconds: float | None,
    buffer: str | None,
    csv_path: Path | None,
    html_path: Path | None,
    as_json: bool,
) -> int:
    """Measure latency and bandwidth between all nodes, with cores added, under load, in huge pages, between cores.

    Memory is placed, and looked at before a figure is given. Figures come beside what the firmware claims and
    machines of the same kind reach, and are kept as this machine's profile.
    """
    from numawise.machine import read
    from numawise.measure.claims import claims
    from numawise.measure.run import Run
    from numawise.placement.request import parse_size

    if seconds is not None and not 0.1 <= seconds <= 1e6:
        raise UsageError(f"--seconds takes a time from 0.1 to 1000000, not {seconds:g}")
    for path in filter(None, (csv_path, html_path)):
        _check_folder(path)
    topology = read()
    buffer_kib = None if buffer is None else parse_size(buffer)
    there = sum(node.memory_kib for node in topology.nodes)
    if buffer_kib is not None and buffer_kib > there:
        raise UsageError(f"--buffer {buffer}: this machine has {there / 2**20:,.1f} GiB of memory in all")
    run = Run(
        topology,
        what,
        seconds=seconds,
        quick=quick,
        buffer_kib=buffer_kib,
    )
    code = _go(run, as_json=as_json)
    measured = run.measurements()
    said = claims(measured, topology)
    # Kept first: neither a full disk nor a reader that has gone may cost what took minutes.
    _keep(measured)
    _print(measured, topology, said, as_json=as_json)
    _write(measured, topology, said, csv_path, html_path)
    return code


def _go(run: Run, *, as_json: bool) -> int:
    """Measure. On a terminal figures are told as they come; Ctrl-C leaves with what there is."""
    telling = sys.stderr.isatty() and not as_json
    if telling:
        click.echo(
            f"measuring for about {run.seconds:.0f} s; Ctrl-C keeps what there is until then", err=True
        )
    try:
        run.go(_tell if telling else None)
    except KeyboardInterrupt:
        click.echo("interrupted: what was measured follows, and is kept", err=True)
        return INTERRUPTED
    return 0


def _tell(part: str, reading: Reading | LoadedPoint) -> None:
    from numawise.measure.words import line

    click.echo(line(part, reading), err=True)


def _print(measured: Measurements, topology: Topology, said: tuple[Claim, ...], *, as_json: bool) -> None:
    if as_json:
        from numawise.machine.codec import to_json

        # The measurements' own form, with the claims beside: what is kept has none, since they can be had again.
        fields = {name: getattr(measured, name) for name in measured.__struct_fields__}
        click.echo(to_json({**fields, "claims": said}, indent=2))
        return
    from numawise.report.measurements_text import show

    show(measured, topology, said)


def _write(
    measured: Measurements,
    topology: Topology,
    said: tuple[Claim, ...],
    csv_path: Path | None,
    html_path: Path | None,
) -> None:
    if csv_path is not None:
        from numawise.report.measurements_csv import write as write_csv

        write_csv(csv_path, measured)
        click.echo(f"table: {csv_path}", err=True)
    if html_path is not None:
        from numawise.report.measurements_html import write as write_html

        write_html(html_path, measured, topology, said)
        click.echo(f"page: {html_path}", err=True)


def _keep(measured: Measurements) -> None:
    """Keep the figures; where that is not possible they were shown all the same."""
    from numawise.errors import SnapshotError
    from numawise.measure import kept

    if not measured.taken:
        return
    try:
        try:
            old = kept.load(measured.topology_key)
        except SnapshotError as error:
            if "newer numawise" in str(error):
                raise
            click.echo(f"numawise: {error}; it is replaced", err=True)
            old = None
        merged = kept.merge(old, measured)
        path = kept.keep(merged.measurements)
    except NumawiseError as error:
        click.echo(f"numawise: the figures are not kept: {error}", err=True)
        return
    for part in merged.held_back:
        click.echo(f"{part}: the figures kept earlier stay, these have gaps", err=True)
    click.echo(f"kept: {path}", err=True)


def _check_folder(path: Path) -> None:
    """Refuse before minutes of measuring what could not be written after them."""
    folder = path.resolve().parent
    if path.is_dir() or not folder.is_dir():
        raise UsageError(f"cannot write {path}: name a file in a folder that exists")
    if not os.access(folder, os.W_OK) and not path.exists():
        raise UsageError(f"cannot write {path}: no permission to write in {folder}")
