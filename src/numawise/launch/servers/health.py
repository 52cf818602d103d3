"""Asking an instance whether it serves: a TCP connection, or an HTTP request, never waiting for either."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable

from numawise.launch.servers.values import Health

_STATUS_BYTES = 1 << 10  # a status line is far shorter; whoever sends more without one does not speak HTTP


class Probe:
    """One question, put when this is made. Call `proceed` whenever `fd` is ready for `wants`, until `answer` is there.

    `answer` is empty for healthy, else what was wrong. Close it at the end.
    """

    def __init__(self, health: Health, port: int) -> None:
        self._health, self._port = health, port
        self.answer: str | None = None
        self.wants = select.POLLOUT
        self._received = b""
        self._step: Callable[[], None] = self._connected
        family = socket.AF_INET6 if ":" in health.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.fd = self._socket.fileno()
        error = self._socket.connect_ex((health.host, port))
        if error not in (0, errno.EINPROGRESS):
            self.answer = _refused(error)

    def proceed(self) -> None:
        """Go on as far as is possible without waiting."""
        try:
            self._step()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # asked too early
                self.answer = _refused(error.errno or 0)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _connected(self) -> None:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.answer = _refused(error)
        elif self._socket.getsockname() == self._socket.getpeername():
            # Where nobody listens on a port of the ephemeral range, TCP may connect a socket to itself.
            self.answer = _refused(errno.ECONNREFUSED)
        elif self._health.kind == "tcp":
            self.answer = ""
        else:
            host = f"[{self._health.host}]" if ":" in self._health.host else self._health.host
            self._socket.send(
                f"GET {self._health.path} HTTP/1.1\r\nHost: {host}:{self._port}\r\n"
                "User-Agent: numawise\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            self._step, self.wants = self._read, select.POLLIN

    def _read(self) -> None:
        data = self._socket.recv(_STATUS_BYTES)
        self._received += data
        line, ended, _ = self._received.partition(b"\n")
        if ended or not data or len(line) >= _STATUS_BYTES:
            self.answer = judge(line)


def judge(status_line: bytes) -> str:
    r"""What an HTTP status line says of health: empty for 200 to 399, else what is wrong.

    >>> judge(b"HTTP/1.1 200 OK\r"), judge(b"HTTP/1.0 503 Loading\r")
    ('', 'answered 503 Loading')
    >>> judge(b"")
    'closed the connection without an answer'
    """
    if not status_line:
        return "closed the connection without an answer"
    words = status_line.decode("ascii", "replace").split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return "answered, but not in HTTP"
    if 200 <= int(words[1]) < 400:
        return ""
    return "answered " + "".join(c for c in " ".join(words[1:]).strip() if c.isprintable())[:80]


def _refused(error: int) -> str:
    return f"connecting failed: {os.strerror(error)}"
