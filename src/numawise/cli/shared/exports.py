"""Writing a plan for another tool: the options of `plan --export`, and where text and notes go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from numawise.errors import NumawiseError, UsageError
from numawise.placement.render import export, formats, uses
from numawise.placement.render.shared.job import Export, Job
from numawise.placement.values import Plan

F = TypeVar("F", bound=Callable[..., Any])
_DETAILS = ("image", "listen", "name", "write")


def export_options(function: F) -> F:
    """Decorate a command with `--export` and what goes with it; `take_export` gathers the latter."""
    for option in (
        click.option(
            "--write",
            metavar="DIR",
            type=click.Path(path_type=Path, file_okay=False),
            help="Write the export's files into DIR.",
        ),
        click.option(
            "--name", metavar="NAME", help="What units, services, pods and files are called (numawise)."
        ),
        click.option(
            "--listen",
            metavar="PORT",
            type=click.IntRange(1, 65535),
            help="The port of the front that nginx and haproxy are (8080).",
        ),
        click.option("--image", metavar="IMAGE", help="The container image: docker, compose, k8s."),
        click.option(
            "--export", metavar="TOOL", help=f"Write the plan for another tool: {', '.join(formats())}."
        ),
    ):
        function = option(function)
    return function


def take_export(given: dict[str, Any]) -> dict[str, Any]:
    """Remove the options beside `--export` from a command's keyword arguments and return those that were given."""
    return {name: value for name in _DETAILS if (value := given.pop(name)) is not None}


def refuse_without_export(details: Mapping[str, Any]) -> None:
    """Raise UsageError for options that mean something to an export only."""
    for name in details:
        raise UsageError(f"--{name} goes with --export TOOL")


def make_export(
    tool: str,
    plan: Plan,
    command: Sequence[str],
    values: Mapping[str, Sequence[str]],
    details: Mapping[str, Any],
) -> Export:
    """The plan written for `tool`; its own notes come before those of the export.

    `values`: the selection (port and size are in it), `details`: see `take_export`.
    Raises UsageError for options that `tool` has no use for.
    """
    known = uses(tool)
    job = {name: value for name, value in details.items() if name != "write"}
    for name in job:
        if name not in known:
            raise UsageError(f"--export {tool} has no use for --{name}")
    if "port" in values:
        from numawise.cli.shared.selection import whole_number

        job["port"] = whole_number("port", values["port"][-1])
    if "size" in values:
        from numawise.placement.request import parse_size

        job["size_kib"] = parse_size(values["size"][-1])
    made = export(Job(plan, tuple(command), **job), tool)
    return made._replace(notes=tuple(dict.fromkeys((*plan.notes, *made.notes))))


def show_export(tool: str, made: Export, details: Mapping[str, Any], *, as_json: bool) -> None:
    """Write files if asked to; else print the text, or JSON, with notes on standard error."""
    folder: Path | None = details.get("write")
    if folder is not None:
        write_files(folder, made.files)
    if as_json:
        from numawise.machine.codec import to_json

        click.echo(to_json({"tool": tool, "files": made.files, "notes": made.notes}, indent=2))
        return
    if folder is None:
        click.echo(made.text, nl=False)
    else:
        for name in made.files:
            click.echo(folder / name)
    for note in made.notes:
        click.echo(f"numawise: note: {note}", err=True)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files, making the folder. Raises NumawiseError when the system refuses."""
    for name, text in files.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise NumawiseError(
                f"cannot write {folder / name}: {error.strerror}; name another --write DIR"
            ) from None
