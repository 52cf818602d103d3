"""Signals as a file descriptor, with who sent them: signalfd(2), which Python does not offer."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Iterable
from typing import NamedTuple

_SFD_NONBLOCK, _SFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_RECORD = struct.Struct("=IiiI112x")  # signalfd_siginfo: signo, errno, code, pid, ... 128 bytes in all
_SI_KERNEL = 0x80

_libc = ctypes.CDLL(None, use_errno=True)


class Received(NamedTuple):
    """A signal that arrived. `from_terminal`: the whole foreground process group has been sent it."""

    signum: int
    from_terminal: bool


def open_signal_fd(signals: Iterable[int]) -> int:
    """A descriptor that becomes readable when one of `signals` (which must be blocked) arrives."""
    mask = (ctypes.c_ulong * (1024 // (8 * ctypes.sizeof(ctypes.c_ulong))))()  # glibc's sigset_t
    if _libc.sigemptyset(mask) < 0:
        raise OSError(ctypes.get_errno(), "sigemptyset")
    for signum in signals:
        _libc.sigaddset(mask, int(signum))
    fd: int = _libc.signalfd(-1, mask, _SFD_NONBLOCK | _SFD_CLOEXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"signalfd: {os.strerror(code)}")
    return fd


def read_signals(fd: int) -> list[Received]:
    """All signals waiting at a descriptor of `open_signal_fd`."""
    received: list[Received] = []
    while True:
        try:
            raw = os.read(fd, 16 * _RECORD.size)
        except BlockingIOError:
            return received
        for offset in range(0, len(raw), _RECORD.size):
            signum, _, code, _ = _RECORD.unpack_from(raw, offset)
            received.append(Received(signum, code == _SI_KERNEL and signum != signal.SIGCHLD))
