"""Running a kernel: one call, one timed run, one value."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from functools import cache
from typing import Any

import msgspec

from numawise import native
from numawise.errors import UsageError
from numawise.native.buffers import exported
from numawise.native.library import CKernel, CRun, load

_NS = 1e9


class Kernel(msgspec.Struct, frozen=True):
    """What a kernel does and how its work is counted."""

    name: str
    summary: str
    buffers: int
    """How many buffers it takes: 1 or 2."""
    writes: tuple[bool, ...]
    """For each buffer, whether it is overwritten."""
    element_bytes: int
    """Distance between elements: 8 for words, 64 for cache lines. A tail shorter than this is left alone."""
    bytes_per_element: int
    """Memory traffic counted per element and pass: 16 for `copy`, which reads 8 bytes and stores 8."""


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
    """What the last pass computed: the sum modulo 2**64 (`read`), the elements written (`write`, `copy`),
    or the offset where a full turn ended, which is 0 (`chase`)."""

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


def kernel_names() -> tuple[str, ...]:
    """The names of all kernels, sorted.

    >>> kernel_names()
    ('chase', 'copy', 'read', 'write')
    """
    return tuple(sorted(_entries()))


def kernel(name: str) -> Kernel:
    """What is known of a kernel. Raises UsageError for a name that none has."""
    entry = _entry(name)
    return Kernel(
        name=name,
        summary=entry.summary.decode(),
        buffers=entry.buffers,
        writes=tuple(bool(entry.writes >> i & 1) for i in range(entry.buffers)),
        element_bytes=entry.element_bytes,
        bytes_per_element=entry.bytes_per_element,
    )


def run_kernel(
    name: str, buffer: object, target: object = None, *, passes: int = 1, seconds: float = 0.0, seed: int = 0
) -> KernelRun:
    """Run a kernel on the calling thread, which does not hold the GIL meanwhile.

    `buffer` is anything with a contiguous buffer; `target` is the second one, for `copy` only, of the same
    length. Whole passes are made until there were `passes` of them and `seconds` went by. `write` and `chase`
    overwrite `buffer`; `chase` first lays a random ring in it, drawn from `seed`, before the clock starts.
    For an honest latency let the buffer begin on a 64-byte boundary.

    Raises UsageError for an unknown kernel, a buffer that does not fit it, or counts that cannot be meant;
    NumawiseError when the compiled library is missing.

    >>> run = run_kernel("read", (1).to_bytes(8, "little") + (2).to_bytes(8, "little"), passes=3)
    >>> run.result, run.bytes
    (3, 48)
    """
    if passes < 1 or not 0 <= seconds < _NS:
        raise UsageError(f"a kernel runs at least one pass for 0 or more seconds, not {passes} for {seconds}")
    entry = _entry(name)
    if (target is not None) != (entry.buffers == 2):
        raise UsageError(f"the kernel {name} takes {entry.buffers} buffer(s)")
    with ExitStack() as stack:
        first, length = stack.enter_context(exported(buffer, writable=bool(entry.writes & 1)))
        second = 0
        if target is not None:
            second, target_length = stack.enter_context(exported(target, writable=bool(entry.writes & 2)))
            _check_pair(name, first, length, second, target_length)
        out = CRun()
        done: int = _library().numawise_run_kernel(
            ctypes.byref(entry),
            first,
            second,
            length,
            passes,
            int(seconds * _NS),
            seed % 2**64,
            ctypes.byref(out),
        )
    if done != 0:
        raise UsageError(f"{length} bytes hold no element of the kernel {name} ({entry.element_bytes} bytes)")
    elements = length // entry.element_bytes
    return KernelRun(
        kernel=name,
        elements=elements,
        passes=out.passes,
        bytes=elements * entry.bytes_per_element * out.passes,
        started_ns=out.started_ns,
        ended_ns=out.ended_ns,
        result=out.result,
    )


def _check_pair(name: str, first: int, length: int, second: int, target_length: int) -> None:
    if length != target_length:
        raise UsageError(
            f"the kernel {name} needs two buffers of one length, not {length} and {target_length} bytes"
        )
    if first < second + length and second < first + length:
        raise UsageError(f"the kernel {name} needs two buffers that do not overlap")


def _entry(name: str) -> CKernel:
    try:
        return _entries()[name]
    except KeyError:
        raise UsageError(f"no kernel is called {name!r}; there are {', '.join(kernel_names())}") from None


# The library is opened once: dlopen would return the same handle, but the table need not be read again.
@cache
def _library() -> Any:
    return load(native.__path__)


@cache
def _entries() -> dict[str, CKernel]:
    library = _library()
    entries = [library.numawise_kernel_at(i).contents for i in range(library.numawise_kernel_count())]
    return {entry.name.decode(): entry for entry in entries}
