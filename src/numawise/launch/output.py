"""Where the output of supervised processes goes: straight through, labelled line by line, or kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol


class Sink(Protocol):
    """Takes what a process writes, as it comes."""

    def feed(self, rank: int, stream: int, data: bytes) -> None:
        """`stream` is 1 for standard output, 2 for standard error; `data` is empty at its end."""


class Labelled:
    """Copies whole lines to our own output, each behind the label of the process that wrote it (if it has one)."""

    def __init__(self, labels: Mapping[int, str]) -> None:
        width = max(len(label) for label in labels.values())
        self._labels = {
            rank: f"[{label}]".ljust(width + 2).encode() + b" " if label else b""
            for rank, label in labels.items()
        }
        self._partial: dict[tuple[int, int], bytes] = {}

    def feed(self, rank: int, stream: int, data: bytes) -> None:
        """Write the whole lines there are; at the end the rest as well."""
        text = self._partial.pop((rank, stream), b"") + data
        lines = text.split(b"\n")
        rest = lines.pop()
        if data and len(rest) < 1 << 16:
            self._partial[rank, stream] = rest
        elif rest:
            lines.append(rest)
        if lines:
            self._write(stream, b"".join(self._labels[rank] + line + b"\n" for line in lines))

    def _write(self, stream: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(stream, view) :]


class Kept:
    """Keeps what was written, the last `limit` bytes of each process and stream."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._kept: dict[tuple[int, int], bytearray] = {}

    def feed(self, rank: int, stream: int, data: bytes) -> None:
        """Append, and forget what is beyond the limit."""
        buffer = self._kept.setdefault((rank, stream), bytearray())
        buffer += data
        if len(buffer) > 2 * self._limit:
            del buffer[: -self._limit]

    def text(self, rank: int, stream: int) -> str:
        """What this process wrote (its last part, should it have been too much)."""
        return bytes(self._kept.get((rank, stream), b"")[-self._limit :]).decode(errors="replace")
