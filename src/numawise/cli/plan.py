"""`numawise plan`: the placement, not run."""

from __future__ import annotations

from typing import Any

import click

from numawise.cli.shared.exports import (
    export_options,
    make_export,
    refuse_without_export,
    show_export,
    take_export,
)
from numawise.cli.shared.options import (
    command_argument,
    json_option,
    root_option,
    selection_options,
    take_values,
)
from numawise.machine.codec import to_json


@click.command("plan", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@selection_options()
@root_option
@export_options
@json_option
@command_argument
def command(
    root: str, export: str | None, as_json: bool, command_line: tuple[str, ...], **given: Any
) -> None:
    """Show where `run` would put the processes, on this machine or on one in a file."""
    from numawise.cli.shared.resolve import resolve
    from numawise.machine import read

    details = take_export(given)
    if export is None:
        refuse_without_export(details)
    values = take_values(given)
    plan = resolve(values, read(root), root=root, advise=True)
    if export is not None:
        made = make_export(export, plan, command_line, values, details)
        show_export(export, made, details, as_json=as_json)
    elif as_json:
        click.echo(to_json(plan, indent=2))
    else:
        for placement in plan.placements:
            policy = placement.memory
            nodes = f" {','.join(map(str, policy.nodes))}" if policy.nodes else ""
            threads = f", {placement.threads} threads" if placement.threads is not None else ""
            gpus = f"GPU {', '.join(placement.devices)}, " if placement.devices else ""
            click.echo(
                f"rank {placement.rank}: {gpus}CPUs {placement.cpus}, memory {policy.mode}{nodes}{threads}"
            )
            for name, value in placement.env.items():
                click.echo(f"    {name}={value}")
        for note in plan.notes:
            click.echo(f"note: {note}")
