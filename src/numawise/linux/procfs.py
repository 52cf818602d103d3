"""A process as `/proc` shows it: its status, threads, mappings and children (proc(5)).

Functions that open files raise OSError with the file's name: FileNotFoundError or ProcessLookupError (ESRCH)
when the process has gone, PermissionError when its memory may not be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h
_READ_BYTES = 1 << 18
_DEAD = ("Z", "X", "x")

GONE = (FileNotFoundError, ProcessLookupError)
"""What the functions of this module raise when there is no such process (any more)."""


class Stat(NamedTuple):
    """The fields of `/proc/PID/stat` (or of one task) that matter here."""

    pid: int
    name: str
    state: str
    """One letter: R running, S sleeping, D waiting for a disk, T stopped, Z zombie."""
    parent: int
    flags: int
    cpu: int
    """The CPU it last ran on (field 39)."""

    @property
    def is_kernel_thread(self) -> bool:
        """Has no memory of its own."""
        return bool(self.flags & _KERNEL_THREAD)

    @property
    def has_ended(self) -> bool:
        """A zombie: ended, and its parent has not asked for the exit code yet."""
        return self.state in _DEAD


class Memory(NamedTuple):
    """Resident memory of a process in KiB, by kind, from `/proc/PID/status`."""

    anonymous_kib: int
    file_kib: int
    shared_kib: int
    """Shared anonymous memory, System V segments, memfds, tmpfs."""
    hugetlb_kib: int

    @property
    def total_kib(self) -> int:
        """All of it. VmRSS, which top and ps show, leaves hugetlb pages out."""
        return sum(self)


class Mapping(NamedTuple):
    """One line of `/proc/PID/maps`."""

    start: int
    end: int
    permissions: str
    """Such as `rw-p`; the last letter is `s` for a shared mapping."""
    device: str
    """`major:minor` in hex, of the file system."""
    inode: int
    """0 for memory without a file behind it."""
    path: str
    """A file, a name in brackets such as `[heap]`, or empty."""


def read_text(path: str) -> str:
    """All of a file of `/proc`; bytes that are not UTF-8 travel as os.fsdecode does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, _READ_BYTES):  # procfs hands out a page or so at a time
            parts.append(part)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # read(2) does not know the name
    finally:
        os.close(descriptor)
    return os.fsdecode(b"".join(parts))


def read_stat(pid: int, tid: int | None = None) -> Stat:
    """The state of a process, or of one of its threads."""
    return parse_stat(read_text(f"/proc/{pid}/stat" if tid is None else f"/proc/{pid}/task/{tid}/stat"))


def parse_stat(text: str) -> Stat:
    """Read a `stat` line. The name may hold anything, blanks and brackets included.

    >>> tail = " ".join(["0"] * 29)
    >>> parse_stat(f"12 (a) b) S 1 1 1 0 -1 64 {tail} 3 0 0").cpu
    3
    """
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition("(")
    fields = tail.split()
    return Stat(
        int(pid),
        name,
        fields[0],
        int(fields[1]),
        int(fields[6]),
        int(fields[36]),
    )


def read_memory(pid: int) -> Memory:
    """How much of each kind of memory is resident; all zero for a kernel thread or a zombie."""
    return parse_memory(read_text(f"/proc/{pid}/status"))


def parse_memory(text: str) -> Memory:
    r"""Read the `Rss...` and `HugetlbPages` lines of a `status` file.

    >>> parse_memory("Name:\tx\nRssAnon:\t 8 kB\nRssFile:\t 4 kB\n").total_kib
    12
    """
    found: dict[str, int] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        if name.startswith("Rss") or name == "HugetlbPages":
            found[name] = int(value.split()[0])
    return Memory(*(found.get(name, 0) for name in ("RssAnon", "RssFile", "RssShmem", "HugetlbPages")))


def read_mappings(pid: int) -> list[Mapping]:
    """All mappings of a process, by address; empty for a kernel thread.

    Needs ptrace read access: PermissionError otherwise.
    """
    return list(parse_mappings(read_text(f"/proc/{pid}/maps")))


def parse_mappings(text: str) -> Iterator[Mapping]:
    r"""Read the lines of a `maps` file.

    >>> next(parse_mappings("7f00-8000 r--p 00000000 08:01 12 /opt/a b.so\n"))
    Mapping(start=32512, end=32768, permissions='r--p', device='08:01', inode=12, path='/opt/a b.so')
    """
    for line in text.split("\n"):  # not splitlines(): a file's name may hold any other kind of line end
        fields = line.split(" ", 5)
        if len(fields) < 5:
            continue
        span = fields[0]
        dash = span.index("-")
        # The kernel pads with blanks up to the path; without a path, the fifth field ends the line.
        path = fields[5].lstrip(" ") if len(fields) > 5 else ""
        yield Mapping(
            int(span[:dash], 16), int(span[dash + 1 :], 16), fields[1], fields[3], int(fields[4]), path
        )


def parse_mount_types(text: str) -> dict[str, str]:
    """File system type by device (`major:minor` in hex, as `maps` writes it) from a `mountinfo` file.

    >>> parse_mount_types("36 35 0:30 / /mnt/huge rw,noatime shared:1 - hugetlbfs none rw")
    {'00:1e': 'hugetlbfs'}
    """
    types: dict[str, str] = {}
    for line in text.split("\n"):
        mount, dash, source = line.partition(" - ")
        if dash:
            major, _, minor = mount.split(" ")[2].partition(":")
            types[f"{int(major):02x}:{int(minor):02x}"] = source.split(" ")[0]
    return types


def read_mount_types(pid: int) -> dict[str, str]:
    """File system type by device, of all that is mounted where `pid` lives."""
    return parse_mount_types(read_text(f"/proc/{pid}/mountinfo"))


def read_environment(pid: int) -> list[str]:
    """The environment a process was started with, as `NAME=VALUE` (its owner and root may read it)."""
    return read_text(f"/proc/{pid}/environ").split("\0")


def thread_ids(pid: int) -> list[int]:
    """The threads of a process, its main thread included, by id."""
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - pathlib starts slowly


def shows_us() -> bool:
    """Whether `/proc` is that of our own PID namespace: else its numbers are of other processes than ours.

    `unshare --pid` without `--mount-proc` leaves the old one there (pid_namespaces(7)).
    """
    try:
        return os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115
    except OSError:
        return False


def descendants(pid: int, *, scan: bool | None = None) -> list[int]:
    """All living processes below `pid` (without it, without zombies), parents before children.

    A process forked while this looks may be missed: ask again until nothing is new. None where `/proc` is not ours
    (`shows_us`): whoever kills descendants must not be told strangers.

    scan: look for the parent of every process there is, instead of the files `children` of each thread, which
        only kernels built with CONFIG_PROC_CHILDREN have; None: as needed.
    """
    if not shows_us():
        return []
    if scan is None:
        scan = not os.path.exists("/proc/thread-self/children")  # noqa: PTH110
    by_parent = _all_children() if scan else None
    queue = [pid]
    for parent in queue:  # grows while it is walked
        below = _children_by_task(parent) if by_parent is None else by_parent.get(parent, [])
        queue += [child for child in below if child not in queue and is_alive(child)]
    return queue[1:]


def is_alive(pid: int) -> bool:
    """Whether some thread of `pid` still runs: a zombie does not, unless only its main thread has ended."""
    try:
        return not read_stat(pid).has_ended or len(thread_ids(pid)) > 1
    except GONE:
        return False


def processes() -> list[int]:
    """All process ids that `/proc` shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _children_by_task(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tids = thread_ids(pid)
    except GONE:
        return found
    for tid in tids:
        try:
            found += map(int, read_text(f"/proc/{pid}/task/{tid}/children").split())
        except GONE:  # this thread ended: another one is now the parent
            continue
    return found


def _all_children() -> dict[int, list[int]]:
    by_parent: dict[int, list[int]] = {}
    for pid in processes():
        try:
            parent = read_stat(pid).parent
        except GONE:
            continue
        by_parent.setdefault(parent, []).append(pid)
    return by_parent
