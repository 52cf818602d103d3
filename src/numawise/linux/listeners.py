"""Who listens on a TCP port: `/proc/net/tcp` for the sockets, `/proc/PID/fd` for the processes that hold them."""

from __future__ import annotations

import os
from typing import NamedTuple

from numawise.linux.procfs import processes, read_stat, read_text

_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h


class Holder(NamedTuple):
    """A process that has a listening socket open."""

    pid: int
    name: str


def parse_listeners(text: str, port: int) -> set[int]:
    """Inodes of the sockets that listen on `port`, from the text of `/proc/net/tcp` or `tcp6`.

    >>> line = " 0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0 100 0 0 10 0"
    >>> parse_listeners(line, 8000), parse_listeners(line, 8001)
    ({4711}, set())
    """
    found: set[int] = set()
    for line in text.split("\n"):
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            found.add(int(fields[9]))
    return found


def holders(port: int) -> list[Holder]:
    """The processes that hold a socket listening on `port`, by id; empty where `/proc` does not tell.

    It tells of our own processes, of everybody's when we are root, and of none in another PID namespace.
    """
    inodes: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            inodes |= parse_listeners(read_text(f"/proc/net/{table}"), port)
        except OSError:
            continue  # no IPv6, or a sandbox without these files
    wanted = {f"socket:[{inode}]" for inode in inodes}
    return [Holder(pid, read_name(pid)) for pid in sorted(processes()) if wanted and _holds(pid, wanted)]


def read_name(pid: int) -> str:
    """The name of a process, or a question mark once it has gone."""
    try:
        return read_stat(pid).name
    except OSError:
        return "?"


def _holds(pid: int, links: set[str]) -> bool:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208  (pathlib starts slowly)
    except OSError:
        return False  # gone, or somebody else's
    for descriptor in descriptors:
        try:
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") in links:  # noqa: PTH115
                return True
        except OSError:
            continue  # closed while we look
    return False
