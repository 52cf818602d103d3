"""Whole files: written so that a reader never sees half of one, and dropped from the page cache."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from numawise.errors import NotPermittedError, NumawiseError, UsageError


def write_file(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o666) -> None:
    """Write `data` to `path` so that a reader, a crash or a full disk meets the old file or the new one, never half.

    A link stays a link. A device or a pipe (`/dev/stdout`) is written to as it is.

    Args:
        path: the file.
        data: all of it.
        mode: what a new file may be, less the umask.

    Raises UsageError when `path` cannot be a file (its folder is missing, or it is a folder), NotPermittedError when
    the system refuses, NumawiseError when writing fails (no space left).
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:200]}.{os.urandom(4).hex()}.new")  # noqa: PTH118 - pathlib costs start-up time
    try:
        if _is_special(path):
            _write_as_it_is(path, data)
            return
        try:
            _write_and_sync(temporary, data, mode)
            os.rename(temporary, target)  # noqa: PTH104
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        _sync_folder(folder)
    except OSError as error:
        raise _explained(os.fspath(path), error) from None


def drop_page_cache(path: str | os.PathLike[str]) -> None:
    """Have the kernel forget its cached pages of a file (clean ones; posix_fadvise(2)). Raises NumawiseError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
    except OSError as error:
        raise NumawiseError(f"cannot drop the page cache of {os.fspath(path)}: {error.strerror}") from None


def _is_special(path: str | os.PathLike[str]) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except FileNotFoundError:
        return False


def _write_as_it_is(path: str | os.PathLike[str], data: bytes) -> None:
    # Without O_NONBLOCK, opening a pipe that nobody reads waits forever; with it, ENXIO says so.
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]


def _write_and_sync(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Make the rename itself last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(path: str, error: OSError) -> NumawiseError:
    code = errno.errorcode.get(error.errno or 0, "?")
    said = f"could not write {path}: {code} ({error.strerror})"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO):
        return UsageError(f"{said}; name a file in a folder that exists")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotPermittedError(f"{said}; choose a folder you may write to")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NumawiseError(f"{said}; make room there, or choose another folder")
    return NumawiseError(f"{said}; nothing was written")
