"""Telling others that all servers are healthy: a file that appears, and systemd's notification socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from numawise.errors import UsageError

NOTIFY_SOCKET = "NOTIFY_SOCKET"


class ReadyFile:
    """A file that is there from when all servers are healthy until they are stopped."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._beside = f"{path}.{os.getpid()}"
        # One of an earlier launch would be believed; and what cannot be written had better be said now than then.
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108  (pathlib starts slowly)
            with open(self._beside, "w", encoding="utf-8"):  # noqa: PTH123
                pass
            os.unlink(self._beside)  # noqa: PTH108
        except OSError as error:
            raise UsageError(f"--ready-file {path}: {error.strerror}") from None

    def write(self, lines: Sequence[str]) -> None:
        """Make it appear, whole. Raises OSError."""
        with open(self._beside, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write("".join(f"{line}\n" for line in lines))
        os.replace(self._beside, self._path)  # noqa: PTH105

    def remove(self) -> None:
        """Make it go."""
        for path in (self._path, self._beside):
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108


class Announcement:
    """Says "ready" and "stopping" to whoever wants to know: both return what went wrong, in words."""

    def __init__(self, path: str | None, address: str | None) -> None:
        self._file = ReadyFile(path) if path is not None else None
        self._address = address

    def ready(self, lines: Sequence[str], status: str) -> list[str]:
        """All are healthy; `lines` are for the file, `status` for systemd."""
        troubles = [notify(self._address, f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}\n")]
        if self._file:
            try:
                self._file.write(lines)
            except OSError as error:
                troubles.append(f"--ready-file: {error.filename}: {error.strerror}")
        return [trouble for trouble in troubles if trouble]

    def stopping(self) -> list[str]:
        """They are being stopped."""
        self.withdraw()
        return [trouble for trouble in [notify(self._address, "STOPPING=1\n")] if trouble]

    def withdraw(self) -> None:
        """Leave no file behind."""
        if self._file:
            self._file.remove()


def notify(address: str | None, message: str) -> str:
    """Send a message to systemd's socket (sd_notify(3)); returns what went wrong, empty for nothing.

    address: the value of NOTIFY_SOCKET: a path, or a name in the abstract namespace after `@`; None: nobody asked.
    """
    if not address:
        return ""
    target = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        ) as sender:
            sender.sendto(message.encode(), target)
    except OSError as error:
        return f"{NOTIFY_SOCKET}={address}: {error.strerror or error}"
    return ""
