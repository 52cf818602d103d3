"""A click command for the list of commands and the documents; what it does never goes through click."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from numawise.cli.classic.getopt import NONE, Option


def click_command(
    name: str, summary: str, options: Sequence[Option], run: Callable[[Sequence[str]], int]
) -> click.Command:
    """A command that knows `options` and hands all its words to `run`."""

    @click.pass_context
    def callback(context: click.Context, /, **_: object) -> int:
        return run(context.args)

    spelled = (
        click.Option(
            [*(f"--{word}" for word in option.words), *([f"-{option.letter}"] if option.letter else [])],
            is_flag=option.argument == NONE,
        )
        for option in options
        if option.words and option.name != "help"
    )
    return click.Command(name, callback=callback, params=list(spelled), help=summary)
