"""`numawise topology`: what this machine, or one in a file, is."""

from __future__ import annotations

import click

from numawise.cli.shared.options import json_option, root_option


@click.command("topology")
@root_option
@click.option(
    "--save", "save_to", metavar="FILE.tar.gz", help="Keep the machine in a file, for --root elsewhere."
)
@click.option("--svg", "svg_to", metavar="FILE", help="Draw the machine.")
@json_option
def command(root: str, save_to: str | None, svg_to: str | None, as_json: bool) -> None:
    """Show nodes, cores, caches, distances, devices, and what this process may use of them.

    --save writes only what describes the hardware: no host name, serial number, network address, user or
    command.
    """
    from numawise.linux.files import write_file
    from numawise.machine import read, save
    from numawise.machine.codec import to_json
    from numawise.report.machine_svg import draw
    from numawise.report.machine_text import describe

    topology = read(root) if save_to is None else save(save_to, root)
    if svg_to is not None:
        write_file(svg_to, draw(topology).encode())
    if as_json:
        click.echo(to_json(topology, indent=2))
    else:
        click.echo(describe(topology), nl=False)
        for path in filter(None, (save_to, svg_to)):
            click.echo(f"written: {path}", err=True)
