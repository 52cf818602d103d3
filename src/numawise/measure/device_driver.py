"""What goes wrong between numawise and a device's driver, each as one line."""

from __future__ import annotations

from numawise.errors import NumawiseError


class Unavailable(NumawiseError):  # noqa: N818 - reads as what happened
    """The devices of a maker cannot be spoken to at all here: a package or the driver is missing."""


class DriverError(NumawiseError):
    """A call was answered with an error: which call, the error's name, what that means."""

    def __init__(self, call: str, name: str, meaning: str = "") -> None:
        self.call, self.name = call, name
        super().__init__(f"{call} answered {name}" + (f" ({meaning})" if meaning else ""))
