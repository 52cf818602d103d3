"""The entry: finds the command, runs it, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from numawise.errors import NumawiseError


def console() -> NoReturn:
    """The console script: `main`, and out."""
    _fill_standard_streams()
    code = main()
    if sys.argv[1:2] != ["run"]:
        sys.exit(code)
    # Nothing of ours waits for the end of the interpreter, and taking it down costs `run` 4 ms.
    guarded(_flush)
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `numawise ARGV`; returns the exit code (0 done, 1 negative answer, 2 usage, 3 not permitted, 4 broke)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["run"] and not {"--help", "-h"} & set(words[1:2]):
        # Straight past click: starting a program must cost next to nothing.
        return guarded(lambda: _run(words[1:]))
    if words[:1] == ["numactl"] or words[:1] == ["numastat"]:
        # These two read their arguments as C programs do, --help included, and start programs as well.
        return guarded(lambda: _classic(words[0], words[1:]))
    return guarded(lambda: _invoke(words))


def alone(work: Callable[[Sequence[str]], int]) -> NoReturn:
    """A console script of a single command: `work` on the words of the command line, and out."""
    _fill_standard_streams()
    sys.exit(guarded(lambda: work(sys.argv[1:])))


def _fill_standard_streams() -> None:
    """Put /dev/null where we were started without a standard stream.

    What we open ourselves would else become descriptor 0, 1 or 2, and the program would write its output into it.
    The program still gets the stream closed, as it would without us: what os.open opens ends at exec.
    """
    if sys.stdin is not None and sys.stdout is not None and sys.stderr is not None:
        return
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(null)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  (a descriptor, open to the end)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  (likewise)


def _run(words: Sequence[str]) -> int:
    # msgspec imports typing_extensions when it finds it, which is a third of what `run` costs, and does without it
    # when it does not: all our annotations are of the standard library.
    hidden = "typing_extensions" not in sys.modules
    if hidden:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        from numawise.cli import run
    finally:
        if hidden:
            del sys.modules["typing_extensions"]
    return run.main(words)


def _classic(name: str, words: Sequence[str]) -> int:
    if name == "numactl":
        from numawise.cli import numactl

        return numactl.main(words)
    from numawise.cli import numastat

    return numastat.main(words)


def _invoke(words: Sequence[str]) -> int:
    from numawise.cli.shared.group import invoke

    return invoke(words)


def guarded(work: Callable[[], int]) -> int:
    """Call `work`; every failure becomes one line on standard error and the exit code that belongs to it."""
    try:
        return work()
    except NumawiseError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 4)
    except Exception as error:
        if os.environ.get("NUMAWISE_DEBUG"):
            raise
        text = " ".join(str(error).split())
        return _fail(f"internal error: {type(error).__name__}: {text}; NUMAWISE_DEBUG=1 shows where", 4)


def _flush() -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    return 0


def _fail(message: str, code: int) -> int:
    # One line, whatever a program's last words were: scripts and people read it by the line.
    line = " | ".join(part.strip() for part in message.splitlines() if part.strip())
    # Where nobody can be told (standard error is full, or its reader gone) the exit code still tells.
    with suppress(OSError):
        print(f"numawise: {line}", file=sys.stderr)
    return code
