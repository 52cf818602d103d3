"""Starting one process where its placement says: fork, place, exec, and hear back what went wrong before exec."""

from __future__ import annotations

import os
import signal

import msgspec

from numawise.errors import NotPermittedError, NumawiseError, UsageError
from numawise.launch.apply import apply
from numawise.linux import prctl
from numawise.placement.values import Placement


class Process(msgspec.Struct, frozen=True):
    """A process that has been started (exec has happened)."""

    pid: int
    placement: Placement
    steps: tuple[str, ...]
    """Steps taken down the permission ladder, in words."""


class Stdio(msgspec.Struct, frozen=True):
    """Descriptors the process gets; None inherits ours."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


class Start(msgspec.Struct, frozen=True):
    """What to start, and how."""

    placement: Placement
    argv: tuple[str, ...]
    env: dict[str, str]
    """The complete environment."""
    stdio: Stdio = Stdio()
    own_session: bool = False
    """Out of the terminal's reach: signals reach it only through us."""
    death_signal: int = signal.SIGTERM
    """What it gets should we die first."""
    follows_first_touch: bool = False
    """See `launch.apply`."""
    strict: bool = False


def start(wish: Start) -> Process:
    """Start a process where its placement says.

    Raises UsageError for a command that cannot be executed, NotPermittedError for a placement the kernel refuses.
    """
    if not wish.argv or not wish.argv[0]:
        raise UsageError("no command to run; write it after --")
    if any("\0" in word for word in wish.argv):
        raise UsageError("the command holds a NUL character, which no program can be given")
    reader, writer = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:  # EAGAIN at the limit of processes: whoever restarts tries again, and must not leak
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        os.close(reader)
        _become(wish, writer, parent)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123  (a descriptor, not a path)
        lines = pipe.read().decode(errors="replace").splitlines()
    if lines and lines[-1].startswith("error "):
        os.waitpid(pid, 0)
        _, kind, text = lines[-1].split(" ", 2)
        raise {"usage": UsageError, "permission": NotPermittedError}.get(kind, NumawiseError)(text)
    return Process(pid, wish.placement, tuple(line.removeprefix("step ") for line in lines))


def start_with_pipes(wish: Start) -> tuple[Process, int, int]:
    """As `start`, with nothing on standard input; also the non-blocking ends to read its output and errors from."""
    (out, out_writer), (err, err_writer) = (os.pipe2(os.O_CLOEXEC) for _ in range(2))
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        process = start(msgspec.structs.replace(wish, stdio=Stdio(null, out_writer, err_writer)))
    except BaseException:
        os.close(out)
        os.close(err)
        raise
    finally:
        for fd in (null, out_writer, err_writer):
            os.close(fd)
    for fd in (out, err):
        os.set_blocking(fd, False)
    return process, out, err


def _become(wish: Start, writer: int, parent: int) -> None:
    """In the child: place itself, then exec. Never returns; whatever goes wrong is told through `writer`."""
    try:
        if wish.own_session:
            os.setsid()
        prctl.set_parent_death_signal(wish.death_signal)
        if os.getppid() != parent:  # the parent died before the line above took effect
            os._exit(1)
        for target, source in enumerate((wish.stdio.stdin, wish.stdio.stdout, wish.stdio.stderr)):
            if source is not None:
                os.dup2(source, target)
        steps = apply(wish.placement, follows_first_touch=wish.follows_first_touch, strict=wish.strict)
        os.write(writer, "".join(f"step {step}\n" for step in steps).encode())
        for signum in (
            signal.SIGPIPE,
            signal.SIGXFSZ,
        ):  # Python ignores these two; programs expect the default
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(wish.argv[0], wish.argv, wish.env)  # noqa: S606
    except NumawiseError as error:
        kind = {2: "usage", 3: "permission"}.get(error.exit_code, "other")
        os.write(writer, f"error {kind} {error}\n".encode())
    except FileNotFoundError:
        os.write(writer, f"error usage command not found: {wish.argv[0]}\n".encode())
    except OSError as error:
        os.write(writer, f"error usage cannot execute {wish.argv[0]}: {error.strerror}\n".encode())
    except BaseException as error:  # noqa: BLE001  (a forked child must never run on into its parent's code)
        os.write(writer, f"error other {type(error).__name__}: {error}\n".encode())
    os._exit(127)
