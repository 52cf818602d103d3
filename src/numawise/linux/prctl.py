"""The few process attributes prctl(2) holds that matter here; constants from `include/uapi/linux/prctl.h`."""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_THP_DISABLE = 41

_libc = ctypes.CDLL(None, use_errno=True)


def set_parent_death_signal(signum: int) -> None:
    """Have this process signalled when the thread that forked it ends. Survives exec, not fork."""
    _prctl(_PR_SET_PDEATHSIG, signum)


def become_subreaper() -> None:
    """Adopt orphaned descendants, so that none escapes to init while this process supervises."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def disable_transparent_huge_pages() -> None:
    """Switch transparent huge pages off for this process; inherited by fork and kept by exec."""
    _prctl(_PR_SET_THP_DISABLE, 1)


def _prctl(option: int, value: int) -> None:
    if (
        _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
        < 0
    ):
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")
