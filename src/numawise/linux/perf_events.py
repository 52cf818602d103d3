"""Counters of the kernel's performance monitoring, by raw perf_event_open(2): the `power` PMU above all.

The `power` PMU counts a package's energy in 64 bits and never begins again; opening it for a CPU of the package
counts whatever runs anywhere on the package.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
from types import TracebackType
from typing import NamedTuple

from numawise.linux import syscalls
from numawise.linux.procfs import read_text
from numawise.linux.sysfs import parse_int, parse_list

POWER = "sys/bus/event_source/devices/power"
PARANOID = "proc/sys/kernel/perf_event_paranoid"
_EVENT = re.compile(r"event=(0x[0-9a-fA-F]{1,16})")
_FD_CLOEXEC = 8  # PERF_FLAG_FD_CLOEXEC
_VERSION_0 = 64  # PERF_ATTR_SIZE_VER0: all that these counters need, and what every kernel takes


class _Attributes(ctypes.Structure):
    """The first version of struct perf_event_attr (include/uapi/linux/perf_event.h)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),  # counting from the start, user and kernel alike
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("bp_addr", ctypes.c_uint64),
    )


class PowerEvent(NamedTuple):
    """One event of the `power` PMU, and how to count it."""

    name: str
    """`energy-pkg` or `energy-ram`."""
    type: int
    config: int
    scale: float
    """Joules a count."""
    cpus: tuple[int, ...]
    """One CPU of each package (or die)."""


class Counter:
    """An open counter. Use as a context manager, or call `close`."""

    def __init__(self, kind: int, config: int, *, pid: int, cpu: int) -> None:
        """Begin to count (perf_event_open(2)).

        Args:
            kind: the PMU's number, from its `type` file, or a PERF_TYPE_ constant.
            config: which of its events.
            pid: 0 for this thread, -1 for everything on `cpu`.
            cpu: -1 for wherever the thread runs.

        Raises OSError: EACCES or EPERM when it is not permitted, ENOENT or EINVAL for an event there is not, ENODEV
        for a CPU that is offline.
        """
        attributes = _Attributes(type=kind, size=_VERSION_0, config=config)
        self._fd = syscalls.perf_event_open(ctypes.byref(attributes), pid, cpu, -1, _FD_CLOEXEC)

    def read(self) -> int:
        """The count so far. Raises OSError; ENODEV when the kernel has let go of what was counted."""
        data = os.read(self._fd, 8)
        if len(data) < 8:
            raise OSError(errno.ENODEV, "the counter has gone")
        return int.from_bytes(data, "little")  # both architectures of `syscalls` are

    def close(self) -> None:
        """Stop counting; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Counter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_power_event(name: str, root: str = "/") -> PowerEvent:
    """The event of this name of the `power` PMU.

    Raises OSError with the file's name: FileNotFoundError when there is no such PMU or event, EIO for content that
    describes none.
    """
    folder = os.path.join(root, POWER)  # noqa: PTH118 - pathlib costs start-up time
    files = ("type", f"events/{name}", f"events/{name}.scale", "cpumask")
    texts = {file: read_text(f"{folder}/{file}").strip() for file in files}
    kind = parse_int(texts["type"])
    event = _EVENT.fullmatch(texts[f"events/{name}"])
    cpus = parse_list(texts["cpumask"])
    scale = 0.0
    with contextlib.suppress(ValueError):
        scale = float(texts[f"events/{name}.scale"])
    bad = {
        "type": kind is None or kind < 0,
        f"events/{name}": event is None,
        f"events/{name}.scale": not 0 < scale < 1,  # a count is a fraction of a joule
        "cpumask": not cpus,
    }
    for file, is_bad in bad.items():
        if is_bad:
            raise OSError(errno.EIO, f"holds {texts[file][:40]!a}, which says nothing", f"{folder}/{file}")
    assert kind is not None
    assert event is not None
    assert cpus is not None
    return PowerEvent(name, kind, int(event[1], 16), scale, tuple(sorted(cpus)))


def paranoid(root: str = "/") -> int | None:
    """The kernel's perf_event_paranoid: above 0, counting a whole CPU takes CAP_PERFMON. None when it is not said."""
    try:
        return parse_int(read_text(os.path.join(root, PARANOID)).strip())  # noqa: PTH118
    except OSError:
        return None
