"""The latency between two cores: a cache line handed to and fro."""

from __future__ import annotations

import ctypes

import msgspec

from numawise.errors import NumawiseError, UsageError
from numawise.native.table import library
from numawise.native.team import SLICE_NS, cannot_pin, cannot_start, share_of


class Handover(msgspec.Struct, frozen=True):
    """What it took to hand a line over."""

    ns: tuple[float, ...]
    """One way, one value a sample."""
    busy: float
    """The share of their time for which the two threads had a CPU: they never sleep."""


def core_to_core(cpu_a: int, cpu_b: int, *, round_trips: int = 1000, samples: int = 30) -> Handover:
    """Nanoseconds that a modified cache line takes from one CPU to the other.

    Two threads, pinned to the CPUs (OS ids), answer each other on one line; a sample is the time of `round_trips`
    of them, halved and divided. One more sample comes before, unmeasured. The best is what the machine can do; what
    else ran on the CPUs is in the others.

    Raises UsageError for counts that cannot be meant and for one CPU given twice; NumawiseError when a thread cannot
    be pinned. Ctrl-C ends both threads before it is raised.
    """
    if cpu_a == cpu_b or not (0 <= cpu_a < 1 << 16 and 0 <= cpu_b < 1 << 16):
        raise UsageError(f"two different CPUs are needed, by their numbers, not {cpu_a} and {cpu_b}")
    if not (0 < round_trips < 1 << 32 and 0 < samples < 1 << 24):
        raise UsageError(f"at least one sample of one round trip is made, not {samples} of {round_trips}")
    spent = (ctypes.c_uint64 * samples)()
    failed_cpu, handle = ctypes.c_int32(), ctypes.c_void_p()
    worked, ran = ctypes.c_uint64(), ctypes.c_uint64()
    try:
        refused = library().numawise_pingpong_start(
            cpu_a, cpu_b, round_trips, samples, spent, ctypes.byref(failed_cpu), ctypes.byref(handle)
        )
        if refused:
            raise _refusal(failed_cpu.value, refused)
        while not library().numawise_pingpong_wait(handle, SLICE_NS):
            pass  # a signal's handler runs here
    finally:
        if handle:
            library().numawise_pingpong_end(handle, ctypes.byref(worked), ctypes.byref(ran))
    return Handover(
        ns=tuple(nanoseconds / (2 * round_trips) for nanoseconds in spent),
        busy=share_of(ran.value, worked.value),
    )


def _refusal(cpu: int, number: int) -> NumawiseError:
    return cannot_pin(cpu, number) if cpu >= 0 else cannot_start(2, number)
