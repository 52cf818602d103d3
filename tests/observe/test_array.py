"""An array's residency is that of the pages its elements lie in: no gaps of views, and no NumPy needed."""

from __future__ import annotations

import array
import ctypes
import mmap
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numawise.errors import UsageError
from numawise.linux.pagemap import PAGE
from numawise.observe import residency, residency_of_range
from numawise.observe.array import Layout, frame_of, layout_of


def pages_of(layout: Layout) -> set[int]:
    frame = frame_of(layout)
    return {page for i in range(frame.size) if (page := frame.address(i)) is not None}


def pages_by_hand(layout: Layout) -> set[int]:
    """Element by element, byte by byte."""
    offsets = [0]
    for stride, count in zip(layout.strides, layout.shape, strict=True):
        offsets = [offset + i * stride for offset in offsets for i in range(count)]
    ends = [(layout.address + offset, layout.address + offset + layout.item_bytes - 1) for offset in offsets]
    return {page * PAGE for first, last in ends for page in range(first // PAGE, last // PAGE + 1)}


@given(
    st.integers(1 << 30, (1 << 30) + 2 * PAGE),
    st.sampled_from([1, 8, 100, PAGE, PAGE + 24, 3 * PAGE]),
    st.lists(
        st.tuples(
            st.integers(1, 6),
            st.sampled_from(
                [0, 8, -8, 1000, PAGE - 8, PAGE, -PAGE, 2 * PAGE + 8, 9 * PAGE, -20 * PAGE, 131_072]
            ),
        ),
        max_size=3,
    ),
)
def test_frames_hold_the_pages_of_the_elements_and_no_other(
    address: int, item_bytes: int, dimensions: list[tuple[int, int]]
) -> None:
    layout = Layout(address, item_bytes, tuple(c for c, _ in dimensions), tuple(s for _, s in dimensions))
    assert pages_of(layout) == pages_by_hand(layout)


def test_layouts_agree_with_numpy() -> None:
    whole = np.zeros((7, 5, 3), "float32")
    for view in (whole, whole[::2, ::-1], whole.T, whole[3:3], whole[2, 1], np.array(4.0), whole[1:2, :, 2]):
        layout = layout_of(view)
        start, end = np.lib.array_utils.byte_bounds(view) if view.size else (0, 0)
        if view.size:
            assert pages_of(layout) == pages_by_hand(layout)
            assert min(pages_of(layout)) == start // PAGE * PAGE
            assert max(pages_of(layout)) == (end - 1) // PAGE * PAGE
        else:
            assert pages_of(layout) == set()


@pytest.mark.parametrize(
    "value",
    [
        bytes(3 * PAGE),
        bytearray(3 * PAGE),
        memoryview(bytes(3 * PAGE))[::2],
        array.array("d", [1.0]) * PAGE,
        (ctypes.c_int * PAGE)(),
        np.array(["words"] * PAGE),
        np.zeros(PAGE, dtype="datetime64[s]"),  # NumPy gives no buffer of these
        np.zeros(PAGE, "f4,i8"),
        np.frombuffer(bytes(2 * PAGE), "u1"),  # read-only
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_in_memory_can_be_asked_about(value: Any) -> None:
    seen = residency(value)
    assert seen.sampled_pages >= 1
    assert sum(share.share for share in seen.residency.values()) == pytest.approx(1)
    assert seen.pid == os.getpid()
    assert (seen.threads, seen.anonymous) == ((), {})


def test_memory_not_yet_touched_is_not_touched_by_looking() -> None:
    memory = mmap.mmap(-1, 4000 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    lazy = np.frombuffer(memory, "u1")
    for _ in range(2):
        seen = residency(lazy)
        assert (seen.residency, seen.sampled_pages, seen.rss_kib) == ({}, 0, 0)
        assert seen.unmapped_pages >= 2000
        assert seen.on([0]).high == 1.0
    lazy.base[0:PAGE] = bytes(PAGE)  # type: ignore[index]
    assert residency(lazy).sampled_pages == 1


def test_a_view_with_wide_gaps_looks_at_its_own_pages_only() -> None:
    memory = mmap.mmap(-1, 6400 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    grid = np.frombuffer(memory, "u1").reshape(400, 16 * PAGE)
    column = grid[:, 5 * PAGE : 5 * PAGE + 10]
    column[:] = 1
    seen = residency(column)
    assert (seen.sampled_pages, seen.unmapped_pages) == (400, 0)
    assert seen.rss_kib == 400 * PAGE // 1024
    assert residency(grid[:, 3 * PAGE : 4 * PAGE]).sampled_pages == 0


@pytest.mark.parametrize("value", ["text", 3.5, object(), [1, 2], np.array([object()], dtype=object)[0]])
def test_what_has_no_place_in_memory_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="cannot tell where a"):
        residency(value)


def test_an_interface_without_elements_in_memory_is_refused() -> None:
    class Odd:
        def __init__(self) -> None:
            self.__array_interface__ = {"data": (4096, True), "shape": (2,), "typestr": "|O", "version": 3}

    with pytest.raises(UsageError, match=r"'\|O'"):
        residency(Odd())


def test_a_range_is_rounded_to_its_pages() -> None:
    memory = np.ones(10 * PAGE, "u1")
    start = memory.__array_interface__["data"][0]
    seen = residency_of_range(-(-start // PAGE) * PAGE + 10, PAGE)
    assert seen.sampled_pages == 2
    assert residency(address=start, length=10 * PAGE).sampled_pages in (10, 11)
    assert residency_of_range(start, 0).sampled_pages == 0


@pytest.mark.parametrize(("address", "length"), [(-1, 10), (0, -1), (1 << 63, 1 << 63 | 1)])
def test_a_range_outside_memory_is_refused(address: int, length: int) -> None:
    with pytest.raises(UsageError, match="not a range of memory"):
        residency_of_range(address, length)


def test_addresses_where_nothing_is_mapped_hold_nothing() -> None:
    seen = residency_of_range(0, 64 * PAGE)
    assert (seen.sampled_pages, seen.unmapped_pages) == (0, 64)
    assert residency_of_range((1 << 64) - PAGE, PAGE).sampled_pages == 0
    assert residency_of_range(1 << 62, 1 << 62).sampled_pages == 0


def test_questions_that_contradict_themselves_are_refused() -> None:
    for options in (
        {"target": b"x", "pid": 1},
        {"target": 1234},
        {"address": 4096},
        {"length": 4096},
        {"pid": -1},
        {"address": 0, "length": 1, "exact": True},
        {"target": b"x", "exact": True},
    ):
        with pytest.raises(UsageError):
            residency(**options)


def test_looking_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import numawise.observe as o; o.residency(b'x' * 9999);"
        "o.residency(); o.residency(exact=True); print(*set(sys.modules) - before)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = "numpy rich jinja2 click random hashlib tempfile asyncio statistics"
    assert not set(heavy.split()) & set(loaded.stdout.split())
