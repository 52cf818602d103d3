"""The click group: commands are found by file name and imported when they are called."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

import click

import numawise.cli
from numawise.errors import UsageError


class _Commands(click.Group):
    """Each file of the room but the entry is a command; adding a file adds it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        modules = pkgutil.iter_modules(numawise.cli.__path__)
        return sorted(module.name for module in modules if not module.ispkg and module.name != "main")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        found: click.Command = importlib.import_module(f"numawise.cli.{cmd_name}").command
        return found


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="numawise")
def root() -> None:
    """Measured, verified NUMA placement for AI programs.

    See the machine (topology), plan and run a program where its memory is (plan, run), find out whether a placement is
    really better (compare), or let it find the best one (tune).
    """


def invoke(words: Sequence[str]) -> int:
    """Run the command that `words` name; returns its exit code. Raises NumawiseError."""
    try:
        result = root.main(args=list(words), prog_name="numawise", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except SystemExit as error:
        # click's own way out when whoever read our output has gone; its code 1 would mean a negative answer.
        if error.code == 1:
            raise BrokenPipeError from None
        raise
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.UsageError as error:
        hint = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        raise UsageError(f"{error.format_message().rstrip('.')}{hint}") from None
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    return result if isinstance(result, int) else 0
