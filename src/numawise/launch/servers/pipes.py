"""The pipes that servers write into, and when to read them: not while what was read before waits for our reader."""

from __future__ import annotations

import os
import select
from functools import partial

from numawise.launch.servers.loop import Loop
from numawise.launch.servers.relay import Relay

_READS_AT_ONCE = 64  # of 64 KiB: one that never stops writing must not keep signals and others waiting
_READ_BYTES = 1 << 16


class Pipes:
    """Reads the servers' pipes into a Relay."""

    def __init__(self, relay: Relay, loop: Loop) -> None:
        self._relay, self._loop = relay, loop
        self._open: dict[int, tuple[int, int]] = {}  # descriptor -> (rank, stream)
        self._watched: set[int] = set()

    def add(self, rank: int, out: int, err: int) -> None:
        """An instance has been started with these pipes."""
        self._open[out], self._open[err] = (rank, 1), (rank, 2)

    def watch(self) -> None:
        """Before waiting: watch what may be read and what can be written, and nothing else."""
        wanted = {fd for fd, (_, stream) in self._open.items() if not self._relay.is_full(stream)}
        waiting = {stream for stream in (1, 2) if self._relay.is_waiting(stream)}
        for fd in self._watched - wanted - waiting:
            self._loop.unwatch(fd)
        for fd in wanted - self._watched:
            self._loop.watch(fd, partial(self._read, fd), select.POLLIN)
        for stream in waiting - self._watched:
            self._loop.watch(stream, partial(self._relay.flush, stream), select.POLLOUT)
        self._watched = wanted | waiting

    def close(self, rank: int) -> None:
        """The instance has ended: read what it wrote last, and close."""
        for fd in [fd for fd, (owner, _) in self._open.items() if owner == rank]:
            self._read(fd, last=True)

    def finish(self) -> None:
        """All have ended: write out what there is, in as much time as a reader may be given."""
        for fd in list(self._open):
            self._read(fd, last=True)
        self._relay.finish()

    def _read(self, fd: int, *, last: bool = False) -> None:
        if fd not in self._open:
            return
        rank, stream = self._open[fd]
        data: bytes | None = None
        for _ in range(_READS_AT_ONCE):
            try:
                data = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                data = None
            if not data:
                break
            self._relay.feed(rank, stream, data)
            if self._relay.is_full(stream) and not last:
                return
        if data == b"" or last:
            if fd in self._watched:
                self._loop.unwatch(fd)
                self._watched.discard(fd)
            os.close(fd)
            del self._open[fd]
            self._relay.feed(rank, stream, b"")
