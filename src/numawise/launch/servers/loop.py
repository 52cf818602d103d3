"""Waiting for many descriptors at once, each with what is to be done when it is ready."""

from __future__ import annotations

import select
from collections.abc import Callable

Handler = Callable[[], object]


class Loop:
    """Descriptors and their handlers. A handler may be called once too often, and must not wait."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Handler] = {}

    def watch(self, fd: int, handler: Handler, events: int = select.POLLIN) -> None:
        """From now on, call `handler` when `fd` is ready, has failed or was hung up."""
        self._handlers[fd] = handler
        self._poll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Watch `fd` for something else."""
        self._poll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Before `fd` is closed."""
        if self._handlers.pop(fd, None):
            self._poll.unregister(fd)

    def wait(self, limit_s: float) -> None:
        """Wait for the first descriptors to become ready, or so long, and call their handlers."""
        # A millisecond more: poll(2) counts in whole ones, and one that wakes too early wakes twice.
        for fd, _ in self._poll.poll(None if limit_s == float("inf") else max(0.0, limit_s) * 1000 + 1):
            if handler := self._handlers.get(fd):  # the handler before may have closed it
                handler()
