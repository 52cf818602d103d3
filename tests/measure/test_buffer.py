"""Memory for measuring: placed, of the pages asked for, looked at, given back. This kernel, real refusals."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from machines import GIB, one_node

from numawise.errors import NotPermittedError
from numawise.linux.smaps import mapping_at
from numawise.machine import read
from numawise.measure.buffer import Placed
from numawise.measure.pieces import Buffers, distinct
from numawise.measure.room import NoRoom, Room, fit, look
from numawise.measure.wanted import Wanted

REFUSE = Path(__file__).parents[1] / "programs/refuse.py"
NODE = read(devices=False).allowed.nodes[0]


def under(calls: str, code: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, str(REFUSE), calls, "--", sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10


@pytest.mark.parametrize("huge", [False, True])
def test_pages_are_there_and_of_the_size_that_is_told(huge: bool):
    with Placed([NODE], 16 << 10, huge=huge, cpu=0) as buffer:
        seen = buffer.look()
        mapping = mapping_at(buffer.address)
        assert mapping is not None
        # A mapping of its own, so that the kernel's listings speak of this buffer alone.
        assert (mapping.start, mapping.end) == (buffer.address, buffer.address + buffer.length)
        assert mapping.resident_kib == 16 << 10
        if mapping.huge_kib == 16 << 10:
            assert seen.page_kib is not None
            assert seen.page_kib >= 64
        elif not mapping.huge_kib:
            assert seen.page_kib == mapping.page_kib
        if not huge:
            assert mapping.huge_kib == 0
    assert seen.on_target == 1.0
    assert seen.sampled_pages >= 1000


def test_memory_is_given_back():
    before = resident_kib()
    for _ in range(5):
        with Placed([NODE], 64 << 10, huge=True, cpu=0):
            assert resident_kib() > before + (60 << 10)
    assert resident_kib() < before + (16 << 10)


def test_slices_are_the_memory_itself_and_end_with_it():
    with Placed([NODE], 2 << 10, huge=False, cpu=None) as buffer:
        part = buffer.slice(4096, 8)
        part.raw = b"numawise"
        assert ctypes.string_at(buffer.address + 4096, 8) == b"numawise"
        for offset, length in ((-1, 8), (buffer.length, 1), (0, buffer.length + 1)):
            with pytest.raises(ValueError, match="bytes at"):
                buffer.slice(offset, length)


def test_an_interrupt_while_touching_leaves_no_memory_and_no_thread():
    before, threads = resident_kib(), threading.active_count()
    timer = threading.Timer(0.02, lambda: os.kill(os.getpid(), 2))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            Placed([NODE], 512 << 10, huge=False, cpu=0).close()
    timer.join()
    time.sleep(0.05)
    assert threading.active_count() == threads
    assert resident_kib() < before + (16 << 10)


def test_a_node_that_is_not_there_is_refused_in_words():
    with pytest.raises(NotPermittedError, match="node 900: mbind answered EINVAL"):
        Placed([900], 2 << 10, huge=False, cpu=0)


def test_where_binding_is_refused_first_touch_places():
    code = (
        "from numawise.measure.buffer import Placed\n"
        f"print(Placed([{NODE}], 4096, huge=False, cpu=0).look())\n"
        f"Placed([{NODE}], 4096, huge=False)\n"
    )
    done = under("mbind", code)
    assert "on_target=1.0" in done.stdout
    assert "first touch of a thread on CPU 0" in done.stdout
    assert "NotPermittedError" in done.stderr
    assert "--cap-add SYS_NICE" in done.stderr


def test_where_move_pages_is_refused_numa_maps_tells():
    code = (
        "from numawise.measure.buffer import Placed\n"
        f"seen = Placed([{NODE}], 4096, huge=False, cpu=0).look()\n"
        "print(seen.on_target, seen.sampled_pages)\n"
    )
    assert under("move_pages", code).stdout.split() == ["1.0", "1024"]


def test_a_limit_on_memory_is_told():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
        "from numawise.measure.buffer import Placed, NoRoom\n"
        "try: Placed([0], 1 << 20, huge=False)\n"
        "except NoRoom as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ENOMEM" in done.stdout
    assert "ulimit -v" in done.stdout


class TestRoom:
    def test_at_most_half_of_what_is_free(self):
        topology, room = read(devices=False), look()
        for node in topology.nodes:
            assert room.nodes[node.id] < 0.6 * node.available_kib

    def test_the_smaller_node_decides_for_interleaved_memory(self):
        room = Room({0: 10 * GIB, 1: GIB}, None)
        assert fit(8 * GIB, 64, [0, 1], room) == 2 * GIB
        assert fit(8 * GIB, 64, [0], room) == 8 * GIB

    def test_the_control_group_counts(self):
        assert fit(8 * GIB, 64, [0], Room({0: 10 * GIB}, GIB)) == GIB
        with pytest.raises(NoRoom, match="control group"):
            fit(8 * GIB, 2 * GIB, [0], Room({0: 10 * GIB}, GIB))

    def test_next_to_nothing_is_no_room(self):
        with pytest.raises(NoRoom, match="node 1 leaves 1 MiB"):
            fit(GIB, 4096, [1], Room({0: GIB, 1: 1024}, None))
        with pytest.raises(NoRoom):
            fit(GIB, 4096, [7], Room({0: GIB}, None))


class TestPieces:
    def test_threads_share_nothing(self):
        topology = read(devices=False)
        buffers = Buffers(topology)
        try:
            wanted = Wanted("copy", (0, 0, 0), NODE, (NODE,), buffer_kib=6 << 10)
            pieces = buffers.pieces(wanted, 2)
            ranges = sorted((p.offset, p.offset + p.length) for p in pieces)
            assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))
            first, second = pieces[0].split(2)
            assert ctypes.addressof(second) - ctypes.addressof(first) == len(first)
            # The same wish gets the same memory; another one gives it back first.
            (held,) = distinct(pieces)
            assert distinct(buffers.pieces(wanted, 1)) == [held]
            small = Wanted("chase", (0,), NODE, (NODE,), buffer_kib=1024, huge=False)
            (other,) = distinct(buffers.pieces(small, 1))
            assert other is not held
            assert mapping_at(held.address) is None or other.address == held.address
        finally:
            buffers.close()

    def test_a_size_given_by_hand_goes_before_what_is_wanted(self):
        buffers = Buffers(one_node(), 2 << 10)
        try:
            (piece,) = buffers.pieces(Wanted("read", (0,), 0, (NODE,), buffer_kib=GIB), 1)
            assert piece.length == 2 << 20
        finally:
            buffers.close()
