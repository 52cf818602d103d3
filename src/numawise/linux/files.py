"""Whole files: written so that a reader never sees half of one, and dropped from the page cache."""

from __future__ import annotations

import errno
import os
import stat

from numawise.errors import NotPermittedError, NumawiseError, UsageError


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` (mode by umask) through a temporary file beside it and a rename.

    A full disk, Ctrl-C or a crash leaves the old file, or none, never half of one.

    Raises UsageError when `path` cannot be a file (its folder is missing, it is a folder or a device),
    NotPermittedError when the system refuses, NumawiseError when writing fails (no space left).
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")  # noqa: PTH118 - pathlib costs start-up time
    try:
        if os.path.lexists(target) and not stat.S_ISREG(os.lstat(target).st_mode):
            raise UsageError(f"cannot write {os.fspath(path)}: it exists and is not a regular file")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, target)  # noqa: PTH104
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108
            raise
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


def _explained(path: str, error: OSError) -> NumawiseError:
    code = errno.errorcode.get(error.errno or 0, "?")
    said = f"cannot write {path}: {code} ({error.strerror})"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG):
        return UsageError(f"{said}; name a file in a folder that exists")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotPermittedError(f"{said}; choose a folder you may write to")
    return NumawiseError(f"{said}; nothing was written")
