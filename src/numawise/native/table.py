"""The table of kernels: what there is, what it does, how its work is counted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from itertools import combinations
from typing import Any

import msgspec

from numawise import native
from numawise.errors import UsageError
from numawise.native.buffers import exported
from numawise.native.library import CBuffers, CKernel, load


class Kernel(msgspec.Struct, frozen=True):
    """What a kernel does and how its work is counted."""

    name: str
    summary: str
    buffers: int
    """How many buffers it takes, 0 to 3."""
    writes: tuple[bool, ...]
    """For each buffer, whether it is overwritten."""
    element_bytes: int
    """Distance between elements: 8 for words, 64 for cache lines. A tail shorter than this is left alone."""
    bytes_per_element: int
    """Memory traffic counted per element and pass: 16 for `copy`, which reads 8 bytes and stores 8. What an ordinary
    store reads to own its line is not counted (the `_nt` kernels read no such line)."""


def kernel_names() -> tuple[str, ...]:
    """The names of all kernels, sorted. The `_nt` kernels exist where the architecture has non-temporal stores.

    >>> [name for name in kernel_names() if not name.endswith("_nt")]
    ['chase', 'copy', 'mix', 'read', 'spin', 'triad', 'write']
    """
    return tuple(sorted(_entries()))


def kernel(name: str) -> Kernel:
    """What is known of a kernel. Raises UsageError for a name that none has.

    >>> kernel("triad").bytes_per_element
    24
    """
    found = entry(name)
    return Kernel(
        name=name,
        summary=found.summary.decode(),
        buffers=found.buffers,
        writes=tuple(bool(found.writes >> i & 1) for i in range(found.buffers)),
        element_bytes=found.element_bytes,
        bytes_per_element=found.bytes_per_element,
    )


def entry(name: str) -> CKernel:
    """A kernel as the library knows it. Raises UsageError for a name that none has."""
    try:
        return _entries()[name]
    except KeyError:
        raise UsageError(f"no kernel is called {name!r}; there are {', '.join(kernel_names())}") from None


def lend(stack: ExitStack, name: str, buffers: Sequence[object]) -> tuple[Any, int]:
    """The addresses (a C array) and the common length in bytes of a kernel's buffers, held until `stack` ends.

    Raises UsageError when they are too many or too few, no contiguous buffers, read-only where the kernel writes,
    of different lengths, overlapping, or too short for one element.
    """
    found = entry(name)
    if len(buffers) != found.buffers:
        raise UsageError(f"the kernel {name} takes {found.buffers} buffer(s), not {len(buffers)}")
    parts = [
        stack.enter_context(exported(buffer, writable=bool(found.writes >> i & 1)))
        for i, buffer in enumerate(buffers)
    ]
    for (first, length), (second, other) in combinations(parts, 2):
        if length != other:
            raise UsageError(f"the kernel {name} needs buffers of one length, not {length} and {other} bytes")
        if first < second + length and second < first + length:
            raise UsageError(f"the kernel {name} needs buffers that do not overlap")
    length = parts[0][1] if parts else 0
    if parts and length < found.element_bytes:
        raise UsageError(f"{length} bytes hold no element of the kernel {name} ({found.element_bytes} bytes)")
    return CBuffers(*(address for address, _ in parts)), length


# The library is opened once: dlopen would return the same handle, but the table need not be read again.
@cache
def library() -> Any:
    """The loaded library, with its functions' types declared. Raises NumawiseError when there is none to load."""
    return load(native.__path__)


@cache
def _entries() -> dict[str, CKernel]:
    loaded = library()
    entries = [loaded.numawise_kernel_at(i).contents for i in range(loaded.numawise_kernel_count())]
    return {found.name.decode(): found for found in entries}
