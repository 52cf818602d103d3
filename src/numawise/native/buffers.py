"""The address of any contiguous buffer (bytes, bytearray, mmap, memoryview, NumPy array), without NumPy."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from numawise.errors import UsageError


class _PyBuffer(ctypes.Structure):
    """`Py_buffer` of CPython, part of its stable ABI (documentation: Buffer Protocol)."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_SIMPLE, _WRITABLE = 0, 1  # PyBUF_SIMPLE, PyBUF_WRITABLE


@contextmanager
def exported(buffer: object, *, writable: bool) -> Iterator[tuple[int, int]]:
    """The address and the length in bytes of a buffer, which cannot be freed or resized meanwhile.

    ctypes' own `from_buffer` refuses read-only buffers, and weights are often mapped read-only.
    Raises UsageError for what is no buffer, is not contiguous, or is read-only where it must be written.

    >>> with exported(b"12345", writable=False) as (address, length):
    ...     length
    5
    """
    view = _PyBuffer()
    flags = _WRITABLE if writable else _SIMPLE
    try:
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(view), flags)
    except (TypeError, BufferError, ValueError) as error:
        need = "a writable, contiguous buffer" if writable else "a contiguous buffer"
        raise UsageError(f"a kernel needs {need}, not this {type(buffer).__name__}: {error}") from None
    try:
        yield view.buf or 0, view.len
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
