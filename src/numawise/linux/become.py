"""Exec as a C program would: nothing that Python changed about this process reaches the next one."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_libc = ctypes.CDLL(None, use_errno=True)


def become(command: Sequence[str]) -> OSError:
    """Replace this process by `command`, found as execvp(3) finds it (scripts without #! go to /bin/sh).

    Comes back only when that fails, with the reason.
    """
    if any("\0" in word for word in command):
        return OSError(22, "a NUL character in the command")
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these two; programs expect the default
        signal.signal(signum, signal.SIG_DFL)
    _forget_coerced_locale()
    sys.stdout.flush()
    sys.stderr.flush()
    words = (ctypes.c_char_p * (len(command) + 1))(*(os.fsencode(word) for word in command), None)
    ctypes.set_errno(0)
    _libc.execvp(words[0], words)
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def _forget_coerced_locale() -> None:
    """Take back the LC_CTYPE that Python sets for itself in the C locale (PEP 538)."""
    if "LC_CTYPE" not in os.environ:
        return
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123  (what we were started with)
            given = file.read().split(b"\0")
    except OSError:
        return
    if not any(entry.startswith(b"LC_CTYPE=") for entry in given):
        del os.environ["LC_CTYPE"]
