"""Where numawise keeps what it learned on this machine, and how a file gets there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
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


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write `data` to `path` so that a reader, a crash or a full disk meets the old file or the new one.

    `mode` is what a new file gets, less the umask. A device or a pipe (`/dev/stdout`) is written to as it is.
    Raises NumawiseError naming the path, the system's answer and what to do.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_bytes(data)
            return
        temporary = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}.new")
        try:
            _write_and_sync(temporary, data, mode)
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            raise
        _sync_folder(target.parent)
    except OSError as error:
        raise file_error("write", path, error) from None


def file_error(action: str, path: Path, error: OSError) -> NumawiseError:
    """The one line for an OSError: what was tried, where, the system's answer, what to do."""
    name = errno.errorcode.get(error.errno or 0, "an error")
    advice = "make room there, or " + _WHAT_TO_DO if error.errno in _NO_ROOM else _WHAT_TO_DO
    return NumawiseError(f"could not {action} {path}: {error.strerror or error} ({name}); {advice}")


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _write_and_sync(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
