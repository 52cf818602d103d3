"""Click's side of the selection table, and the options several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from numawise.cli.shared.selection import SELECTION, Option, Values

F = TypeVar("F", bound=Callable[..., Any])
_PREFIX = "selection_"


def selection_options(options: Iterable[Option] = SELECTION) -> Callable[[F], F]:
    """Decorate a command with the selection options; `take_values` gathers them from its keyword arguments."""

    def decorate(function: F) -> F:
        for option in reversed(list(options)):
            # click is told a parameter name of our own, so that none can collide with a command's.
            names = (*option.flags, _PREFIX + option.name.replace("-", "_"))
            if option.metavar is None:
                function = click.option(*names, is_flag=True, help=option.help)(function)
            else:
                function = click.option(*names, metavar=option.metavar, multiple=True, help=option.help)(
                    function
                )
        return function

    return decorate


def take_values(arguments: dict[str, Any], options: Iterable[Option] = SELECTION) -> Values:
    """Remove the selection options from a command's keyword arguments and return those that were given."""
    values: Values = {}
    for option in options:
        given = arguments.pop(_PREFIX + option.name.replace("-", "_"))
        if given is True:
            values[option.name] = [""]
        elif given:
            if len(given) > 1 and not option.multiple:
                raise click.UsageError(f"--{option.name} is given twice")
            values[option.name] = list(given)
    return values


command_argument = click.argument("command_line", metavar="-- CMD ...", nargs=-1, type=click.UNPROCESSED)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
root_option = click.option(
    "--root",
    metavar="DIR|FILE.tar.gz",
    default="/",
    show_default=False,
    help="A machine in a file; this one if not given.",
)
