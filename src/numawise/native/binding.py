"""Running a kernel: one call, one timed run, one value."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack

import msgspec

from numawise.errors import UsageError
from numawise.native.isa import isa_number
from numawise.native.library import CRun
from numawise.native.table import Kernel, entry, kernel, kernel_names, lend, library

__all__ = ["Kernel", "KernelRun", "kernel", "kernel_names", "run_kernel"]

_NS = 1e9


class KernelRun(msgspec.Struct, frozen=True):
    """One timed run of a kernel by one thread."""

    kernel: str
    elements: int
    """Elements of one pass."""
    passes: int
    bytes: int
    """Memory traffic counted over all passes."""
    started_ns: int
    """CLOCK_MONOTONIC, comparable between threads and processes of one machine."""
    ended_ns: int
    result: int
    """What the last pass computed: the sum modulo 2**64 (`read`), the offset where a full turn ended, which is 0
    (`chase`), or the elements written (all others)."""

    @property
    def seconds(self) -> float:
        """Time of all passes."""
        return (self.ended_ns - self.started_ns) / _NS

    @property
    def gb_per_s(self) -> float:
        """Counted traffic over time, in 10**9 bytes a second."""
        return self.bytes / max(1, self.ended_ns - self.started_ns)

    @property
    def ns_per_element(self) -> float:
        """For `chase`, the latency of one load."""
        return (self.ended_ns - self.started_ns) / (self.elements * self.passes)


def run_kernel(
    name: str, *buffers: object, passes: int = 1, seconds: float = 0.0, seed: int = 0, isa: str | None = None
) -> KernelRun:
    """Run a kernel on the calling thread, which does not hold the GIL meanwhile.

    `buffers` are as many contiguous buffers of one length as the kernel takes, what is written last: `copy` takes
    source and target, `triad` (doubles) two sources and a target, `mix` adds the first to the second. Whole passes
    are made until there were `passes` of them and `seconds` went by. `write` and `chase` overwrite their buffer;
    `chase` first lays a random ring in it, drawn from `seed`, before the clock starts. For an honest latency let the
    buffer begin on a 64-byte boundary. `isa` is one of `isas()`, by default the best or what NUMAWISE_ISA says.

    Raises UsageError for an unknown kernel or instruction set, a buffer that does not fit the kernel, or counts that
    cannot be meant; NumawiseError when the compiled library is missing.

    >>> run = run_kernel("read", (1).to_bytes(8, "little") + (2).to_bytes(8, "little"), passes=3)
    >>> run.result, run.bytes
    (3, 48)
    """
    if passes < 1 or not 0 <= seconds < _NS:
        raise UsageError(f"a kernel runs at least one pass for 0 or more seconds, not {passes} for {seconds}")
    found = entry(name)
    with ExitStack() as stack:
        addresses, length = lend(stack, name, buffers)
        number = isa_number(isa)
        out = CRun()
        library().numawise_run_kernel(
            ctypes.byref(found),
            number,
            addresses,
            length,
            passes,
            int(seconds * _NS),
            seed % 2**64,
            ctypes.byref(out),
        )
    elements = library().numawise_elements(ctypes.byref(found), length)
    return KernelRun(
        kernel=name,
        elements=elements,
        passes=out.passes,
        bytes=elements * found.bytes_per_element * out.passes,
        started_ns=out.started_ns,
        ended_ns=out.ended_ns,
        result=out.result,
    )
