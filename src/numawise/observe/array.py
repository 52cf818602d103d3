"""Where an array's bytes are in memory: its pages, without the gaps between the elements of a view."""

from __future__ import annotations

import ctypes
from math import prod
from typing import Any, NamedTuple

from numawise.errors import UsageError
from numawise.linux.pagemap import PAGE
from numawise.observe.frame import Frame, Span, SpanFrame, covering

_PYBUF_STRIDED_RO = 0x18  # PyBUF_STRIDES, Include/cpython/object.h: no format, may be read-only


class Layout(NamedTuple):
    """An array in memory: element (i, j, ...) begins at address + i * strides[0] + j * strides[1] + ..."""

    address: int
    item_bytes: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class StridedFrame:
    """The pages of equal pieces at regular distances, too many to list."""

    spans: list[Span] | None = None

    def __init__(self, address: int, piece_bytes: int, dimensions: list[tuple[int, int]]) -> None:
        self._address, self._piece_bytes, self._dimensions = address, piece_bytes, dimensions
        # A piece may begin anywhere in a page, and so reach into one page more than it fills.
        self._slots = -(-piece_bytes // PAGE) + 1
        self.size = self._slots * prod(count for _, count in dimensions)

    def address(self, index: int) -> int | None:
        """A page of a piece; None for the extra page that this piece does not reach."""
        piece, slot = divmod(index, self._slots)
        start = self._address
        for stride, count in self._dimensions:
            piece, at = divmod(piece, count)
            start += at * stride
        first, end = covering(start, self._piece_bytes)
        page = first + slot * PAGE
        return page if page < end else None


def frame_of(layout: Layout) -> Frame:
    """The pages that hold at least one byte of an element."""
    address, piece = layout.address, layout.item_bytes
    if piece == 0 or 0 in layout.shape:
        return SpanFrame([])
    dimensions: list[tuple[int, int]] = []
    for stride, count in sorted(zip(layout.strides, layout.shape, strict=True), key=lambda d: abs(d[0])):
        if stride < 0:
            address += stride * (count - 1)
        distance = abs(stride)
        if distance == 0 or count == 1:
            continue
        if not dimensions and distance - piece < PAGE:
            piece += distance * (count - 1)  # no whole page fits into the gap: the pages have no gap
        else:
            dimensions.append((distance, count))
    return StridedFrame(address, piece, dimensions) if dimensions else SpanFrame([covering(address, piece)])


def layout_of(array: Any) -> Layout:
    """The layout of anything with `__array_interface__` or the buffer protocol; NumPy need not be there.

    Raises UsageError for anything else.
    """
    interface = getattr(array, "__array_interface__", None)
    if isinstance(interface, dict) and isinstance(interface.get("data"), tuple):
        shape = tuple(interface["shape"])
        item = getattr(array, "itemsize", None) or _item_bytes(interface["typestr"])
        strides = interface.get("strides") or _contiguous(shape, item)
        return Layout(interface["data"][0], item, shape, tuple(strides))
    return _buffer_layout(array)


def _item_bytes(type_string: str) -> int:
    kind, count = type_string[1], type_string[2:]
    if not count.isdigit():
        raise UsageError(f"an array of type {type_string!r} has no elements in its own memory")
    return int(count) * (4 if kind == "U" else 1)


def _contiguous(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    return tuple(item_bytes * prod(shape[i + 1 :]) for i in range(len(shape)))


class _Buffer(ctypes.Structure):
    """Py_buffer of Include/cpython/object.h."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def _buffer_layout(array: Any) -> Layout:
    view = _Buffer()
    try:
        # memoryview() could not tell the address of read-only memory; the C interface can.
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(array), ctypes.byref(view), _PYBUF_STRIDED_RO)
    except (TypeError, BufferError, ValueError):
        raise UsageError(
            f"cannot tell where a {type(array).__name__} is in memory: it has no __array_interface__ and no "
            "buffer protocol; give a NumPy array (tensor.numpy() for a CPU tensor of torch), or pid=, or "
            "address= and length="
        ) from None
    try:
        shape = tuple(view.shape[: view.ndim]) if view.shape else ()
        # ctypes' own arrays leave the strides out.
        strides = tuple(view.strides[: view.ndim]) if view.strides else _contiguous(shape, view.itemsize)
        return Layout(view.buf or 0, view.itemsize, shape, strides)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
