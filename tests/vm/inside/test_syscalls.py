"""What this kernel does with memory policies: the facts that numawise relies on, through its own system
calls.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading

import pytest

from numawise.linux import syscalls

PAGE = mmap.PAGESIZE
MIB = 1 << 20


def address_of(area: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(area))


def pages_of(area: mmap.mmap) -> list[int]:
    start = address_of(area)
    return list(range(start, start + len(area), PAGE))


def nodes_of(area: mmap.mmap) -> set[int]:
    return set(syscalls.move_pages(0, pages_of(area)))


def touch(area: mmap.mmap) -> None:
    ctypes.memset(address_of(area), 1, len(area))


@pytest.fixture
def on_node_0():
    """This thread on node 0's CPUs, with the default policy before and after."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0, 1})
    yield
    syscalls.set_mempolicy("default")
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("on_node_0")
class TestFirstTouch:
    def test_default_policy_takes_the_node_of_the_cpu(self):
        area = mmap.mmap(-1, MIB)
        touch(area)
        assert nodes_of(area) == {0}

    def test_bind_wins_over_the_cpu(self):
        area = mmap.mmap(-1, MIB)
        syscalls.set_mempolicy("bind", [1])
        touch(area)
        assert nodes_of(area) == {1}

    def test_bind_to_the_node_without_cpus(self):
        area = mmap.mmap(-1, MIB)
        syscalls.set_mempolicy("bind", [2])
        touch(area)
        assert nodes_of(area) == {2}

    def test_interleave_takes_turns(self):
        area = mmap.mmap(-1, MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.madvise(mmap.MADV_NOHUGEPAGE)
        syscalls.set_mempolicy("interleave", [0, 1])
        touch(area)
        nodes = syscalls.move_pages(0, pages_of(area))
        assert nodes.count(0) == nodes.count(1) == len(nodes) // 2

    def test_preferred_many_and_local_read_back_as_set(self):
        syscalls.set_mempolicy("preferred-many", [0, 2])
        assert syscalls.get_mempolicy() == ("preferred-many", (0, 2))
        syscalls.set_mempolicy("local")
        assert syscalls.get_mempolicy() == ("local", ())

    def test_a_child_inherits_the_policy_and_a_new_thread_too(self):
        syscalls.set_mempolicy("interleave", [0, 1])
        seen: list[tuple[str, tuple[int, ...]]] = []
        thread = threading.Thread(target=lambda: seen.append(syscalls.get_mempolicy()))
        thread.start()
        thread.join()
        assert seen == [("interleave", (0, 1))]

    def test_weighted_interleave_needs_a_newer_kernel(self):
        with pytest.raises(OSError, match="set_mempolicy") as caught:
            syscalls.set_mempolicy("weighted-interleave", [0, 1])
        assert caught.value.errno == errno.EINVAL

    def test_a_node_that_does_not_exist(self):
        with pytest.raises(OSError, match="set_mempolicy") as caught:
            syscalls.set_mempolicy("bind", [7])
        assert caught.value.errno == errno.EINVAL


@pytest.mark.usefixtures("on_node_0")
class TestRanges:
    def test_the_policy_of_a_memfd_holds_for_other_mappings_of_it(self):
        descriptor = os.memfd_create("weights")
        os.ftruncate(descriptor, MIB)
        first, second = mmap.mmap(descriptor, MIB), mmap.mmap(descriptor, MIB)
        syscalls.mbind(address_of(first), MIB, "bind", [1])
        touch(second)
        os.close(descriptor)
        assert nodes_of(second) == {1}
        assert syscalls.get_mempolicy_at(address_of(first)) == ("bind", (1,))

    def test_the_policy_of_a_memfd_holds_for_pwrite_after_munmap(self):
        descriptor = os.memfd_create("weights")
        os.ftruncate(descriptor, MIB)
        with mmap.mmap(descriptor, MIB) as area:
            start = address_of(area)
            syscalls.mbind(start, MIB, "bind", [1])
        os.pwrite(descriptor, b"x" * MIB, 0)
        again = mmap.mmap(descriptor, MIB)
        again.madvise(22)  # MADV_POPULATE_READ: move_pages sees mapped pages only
        os.close(descriptor)
        assert nodes_of(again) == {1}

    def test_untouched_pages_are_not_present(self):
        area = mmap.mmap(-1, MIB)
        assert set(syscalls.move_pages(0, pages_of(area))) <= {-errno.ENOENT, -errno.EFAULT}

    def test_pages_move_when_asked(self):
        area = mmap.mmap(-1, MIB)
        touch(area)
        pages = pages_of(area)
        syscalls.move_pages(0, pages, [1] * len(pages), syscalls.MPOL_MF_MOVE)
        assert nodes_of(area) == {1}

    def test_a_whole_process_migrates(self):
        area = mmap.mmap(-1, MIB)
        syscalls.mbind(address_of(area), MIB, "preferred", [2])
        touch(area)
        assert nodes_of(area) == {2}
        assert syscalls.migrate_pages(0, [2], [1]) == 0
        assert nodes_of(area) == {1}


def test_what_this_thread_may_use():
    assert syscalls.mems_allowed() == (0, 1, 2)
