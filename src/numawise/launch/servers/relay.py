"""What servers write, copied to our own output without ever waiting: a stalled reader must not stop supervision."""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Mapping

from numawise.launch.output import Labelled

_FULL = 1 << 18
_MOST = 1 << 21
_READER_GONE = (
    errno.EPIPE,
    errno.EIO,
    errno.EBADF,
)  # `| head -1`, a terminal that hung up, a closed descriptor
_NAMES = {1: "standard output", 2: "standard error"}


class Relay(Labelled):
    """Labelled output that keeps what cannot be written yet. A Sink; `say` adds lines of our own to standard error.

    A stream whose reader has gone is given up: what is written to it is dropped from then on, and the servers go on.
    What a full disk does not take is dropped, and later writes are tried again. Either is told once to `trouble`.
    """

    def __init__(self, labels: Mapping[int, str], trouble: Callable[[str], None]) -> None:
        super().__init__(labels)
        self._waiting = {1: bytearray(), 2: bytearray()}
        self._gone: set[int] = set()
        self._told: set[tuple[int, str]] = set()
        self._trouble = trouble

    def say(self, line: str) -> None:
        """A line of our own, on standard error."""
        self._write(2, line.encode(errors="backslashreplace") + b"\n")

    def is_waiting(self, stream: int) -> bool:
        """Is there something that its reader has not taken?"""
        return bool(self._waiting[stream])

    def is_full(self, stream: int) -> bool:
        """So much that the servers had better wait, as they would if they wrote there themselves?"""
        return len(self._waiting[stream]) > _FULL

    def flush(self, stream: int) -> None:
        """Write what can be written without waiting."""
        waiting = self._waiting[stream]
        while waiting and _takes(stream):
            try:
                # A pipe that can be written to has room for this much.
                written = os.write(stream, waiting[: select.PIPE_BUF])
            except BlockingIOError:
                return  # somebody made it non-blocking
            except OSError as error:
                waiting.clear()
                self._fail(stream, error)
                return
            del waiting[:written]

    def finish(self, limit_s: float = 2.0) -> None:
        """Write the rest, giving readers so much time."""
        until = time.monotonic() + limit_s
        while (left_s := until - time.monotonic()) > 0:
            poll = select.poll()
            streams = [stream for stream in (1, 2) if self.is_waiting(stream)]
            if not streams:
                return
            for stream in streams:
                poll.register(stream, select.POLLOUT)
            poll.poll(left_s * 1000)
            for stream in streams:
                self.flush(stream)

    def _write(self, stream: int, data: bytes) -> None:
        if stream in self._gone:
            return
        waiting = self._waiting[stream]
        if len(waiting) + len(data) > _MOST:  # only servers that end while nobody reads come so far
            self._tell(stream, "its reader has stalled: some of what servers wrote as they ended is dropped")
            return
        waiting += data
        self.flush(stream)

    def _fail(self, stream: int, error: OSError) -> None:
        if error.errno in _READER_GONE:
            self._gone.add(stream)
            what = "what the servers write there is dropped from now on"
        else:
            what = "what does not fit is dropped"
        self._tell(stream, f"write answered {errno.errorcode.get(error.errno or 0, error.errno)}: {what}")

    def _tell(self, stream: int, what: str) -> None:
        if (stream, what) not in self._told:
            self._told.add((stream, what))
            self._trouble(f"{_NAMES[stream]}: {what}")


def _takes(stream: int) -> bool:
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return bool(poll.poll(0))
