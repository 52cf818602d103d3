"""The tree that `/sys` and `/proc` are read from: the live system or a folder. Archives are in `archive`.

Paths are relative (`sys/devices/system/cpu/online`). Symbolic links are followed inside the tree only: an
absolute link starts again at its top, as under chroot, and one that climbs out of it leads nowhere.
"""

from __future__ import annotations

import errno
import os
import stat

from numawise.errors import SnapshotError, UsageError

READ_LIMIT = 4 << 20
"""Bytes of one file that are looked at; no file this reader knows comes near."""
_LINK_LIMIT = 40  # as the kernel's own (path_resolution(7))
_DIRECTORY_LIMIT = 200_000


class Root:
    """A tree of small text files. `name` is what a person called it."""

    live = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.escapes: list[str] = []
        """Links met that lead out of the tree, and were not followed."""

    def read(self, path: str, limit: int = READ_LIMIT) -> str | None:
        """The text of a file, without NUL bytes and outer blanks; None when it is missing or cannot be
        read.
        """
        raise NotImplementedError

    def names(self, path: str, prefix: str = "") -> list[str]:
        """What a folder holds, as far as it starts with `prefix`, sorted; empty when there is no such
        folder.
        """
        raise NotImplementedError

    def real(self, path: str) -> str | None:
        """`path` with every link followed, relative to the top; None when it leads nowhere."""
        try:
            return self._resolve(path)
        except OSError:
            return None

    def _resolve(self, path: str) -> str | None:
        """`path` with every link followed; None when that ends outside the tree, in a loop or nowhere."""
        pending = path.split("/")[::-1]
        here: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    self.escapes.append(path)
                    return None
                here.pop()
                continue
            here.append(part)
            target = self._link("/".join(here))
            if target is not None:
                links += 1
                if links > _LINK_LIMIT:
                    return None
                here.pop()
                if target.startswith("/"):
                    here.clear()
                pending.extend(reversed(target.split("/")))
        return "/".join(here)

    def _link(self, path: str) -> str | None:
        """Where the link at `path` (whose folders are no links) points; None when it is none."""
        raise NotImplementedError


class LiveRoot(Root):
    """The running system. The kernel follows the links: there is no outside of `/`."""

    live = True

    def __init__(self) -> None:
        super().__init__("/")

    def read(self, path: str, limit: int = READ_LIMIT) -> str | None:
        return _read("/" + path, limit)

    def names(self, path: str, prefix: str = "") -> list[str]:
        return _names("/" + path, prefix)

    def real(self, path: str) -> str | None:
        try:
            return os.path.realpath("/" + path, strict=True).lstrip("/")
        except OSError:
            return None


class FolderRoot(Root):
    """A folder that holds a copy of a machine's `/sys` and `/proc`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._top = os.path.realpath(name)
        self._folders: dict[str, str | None] = {}
        try:
            inside = os.listdir(self._top)  # noqa: PTH208 - pathlib costs start-up time
        except OSError as error:
            raise unreadable(name, error) from None
        if "sys" not in inside and "proc" not in inside:
            raise SnapshotError(f"{name}: holds neither sys/ nor proc/, so it describes no machine")

    def read(self, path: str, limit: int = READ_LIMIT) -> str | None:
        full = self._locate(path)
        return None if full is None else _read(full, limit)

    def names(self, path: str, prefix: str = "") -> list[str]:
        full = self._folder(path)
        return [] if full is None else _names(full, prefix)

    def _locate(self, path: str) -> str | None:
        """The real path of a regular file. Pipes and devices are passed over: opening one may act, or
        hang.
        """
        parent, _, leaf = path.rpartition("/")
        folder = self._folder(parent)
        if folder is None:
            return None
        full = f"{folder}/{leaf}"
        try:
            mode = os.lstat(full).st_mode
            if stat.S_ISLNK(mode):
                resolved = self._resolve(path)
                if resolved is None:
                    return None
                full = f"{self._top}/{resolved}"
                mode = os.lstat(full).st_mode
        except OSError:
            return None
        return full if stat.S_ISREG(mode) else None

    def _folder(self, path: str) -> str | None:
        if path not in self._folders:
            try:
                resolved = self._resolve(path)
            except OSError:
                resolved = None
            self._folders[path] = None if resolved is None else f"{self._top}/{resolved}"
        return self._folders[path]

    def _link(self, path: str) -> str | None:
        full = f"{self._top}/{path}"
        return os.readlink(full) if stat.S_ISLNK(os.lstat(full).st_mode) else None  # noqa: PTH115


def open_root(root: str | os.PathLike[str]) -> Root:
    """The tree behind `root`: `/`, a folder, or a `.tar`, `.tar.gz` or `.tgz` file.

    Raises SnapshotError naming `root` when there is nothing there that can be read as one.
    """
    name = os.fspath(root)
    if not name or "\0" in name:
        raise UsageError(f"not a path: {name!r}; give a folder or a .tar.gz file")
    real = os.path.realpath(name)
    if real == "/":
        return LiveRoot()
    if os.path.isdir(real):  # noqa: PTH112
        return FolderRoot(name)
    from numawise.machine.archive import ArchiveRoot

    return ArchiveRoot(name, read_file(name))


def read_file(name: str, limit: int = 64 << 20) -> bytes:
    """The bytes of a regular file a person named. Raises SnapshotError that names it."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise SnapshotError(f"{name}: neither a folder nor a regular file")
            if state.st_size > limit:
                raise SnapshotError(f"{name}: {state.st_size >> 20} MiB is too large for a machine in a file")
            return file.read(limit)
    except OSError as error:
        raise unreadable(name, error) from None


def unreadable(name: str, error: OSError) -> SnapshotError:
    """The one line for a file or folder that cannot be read."""
    code = errno.errorcode.get(error.errno or 0, "?")
    return SnapshotError(f"cannot read {name}: {code} ({error.strerror})")


def text_of(raw: bytes) -> str:
    """File content as text: some kernels end it with NUL bytes, none needs more than ASCII here."""
    return raw.decode("utf-8", "replace").replace("\0", "").strip()


def _read(full: str, limit: int) -> str | None:
    try:
        descriptor = os.open(full, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        raw = os.read(descriptor, min(limit, 65536))
        # procfs hands out a page at a time, whatever one asks for.
        while raw and len(raw) < limit:
            more = os.read(descriptor, min(limit - len(raw), 65536))
            if not more:
                break
            raw += more
    except OSError:  # an attribute may refuse to be read (EIO, EINVAL): the same as not being there
        return None
    finally:
        os.close(descriptor)
    return text_of(raw)


def _names(full: str, prefix: str) -> list[str]:
    try:
        entries = os.listdir(full)  # noqa: PTH208
    except OSError:
        return []
    return sorted(name for name in entries[:_DIRECTORY_LIMIT] if name.startswith(prefix))
