"""Where numawise keeps what it learned on this machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from numawise.errors import NumawiseError

_WHAT_TO_DO = "set NUMAWISE_HOME to a folder that can be written to"


def home() -> Path:
    """The folder of runs and profiles.

    `$NUMAWISE_HOME`, else `$XDG_DATA_HOME/numawise`, else `~/.local/share/numawise`.
    Nothing is created. Raises NumawiseError when no variable says where and the user has no home directory.
    """
    if own := os.environ.get("NUMAWISE_HOME"):
        return Path(own)
    # The XDG base directory specification says that a relative path is to be ignored.
    if (data := os.environ.get("XDG_DATA_HOME")) and data.startswith("/"):
        return Path(data) / "numawise"
    try:
        return Path.home() / ".local" / "share" / "numawise"
    except RuntimeError:
        raise NumawiseError(f"no home directory to keep runs in (HOME is not set): {_WHAT_TO_DO}") from None


def ensure_folder(folder: Path) -> Path:
    """Make `folder`, readable by its owner only (mode 0700), unless it is there. Raises NumawiseError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise file_error("make the folder", folder, error) from None
    return folder


def file_error(action: str, path: Path, error: OSError) -> NumawiseError:
    """The one line for an OSError: what was tried, where, the system's answer, what to do."""
    name = errno.errorcode.get(error.errno or 0, "an error")
    advice = "make room there, or " + _WHAT_TO_DO if error.errno in _NO_ROOM else _WHAT_TO_DO
    return NumawiseError(f"could not {action} {path}: {error.strerror or error} ({name}); {advice}")


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
