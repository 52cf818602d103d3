"""The raw system calls do what numa(7) says, on this kernel, whatever its number of nodes."""

from __future__ import annotations

import ctypes
import errno
import mmap
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from numawise.linux import syscalls

PAGE = mmap.PAGESIZE
REFUSE = Path(__file__).resolve().parents[1] / "programs/refuse.py"


class Area:
    """Private memory, some of its pages touched."""

    def __init__(self, pages: int, touched: range) -> None:
        self.memory = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for page in touched:
            self.memory[page * PAGE] = 1

    def pages(self, *numbers: int) -> list[int]:
        return [self.address + n * PAGE for n in numbers]


def in_thread(call: Callable[[], object]) -> object:
    """Policies belong to a thread: leave the test's own alone."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_move_pages_tells_touched_pages_from_others() -> None:
    area = Area(8, range(0, 8, 2))
    _ = area.memory[PAGE]  # reading an untouched page maps the shared page of zeros
    found = syscalls.move_pages(0, area.pages(0, 2, 1, 3))
    assert found[0] >= 0
    assert found[1] >= 0
    assert found[2:] == [-errno.EFAULT, -errno.ENOENT]


def test_move_pages_of_nothing_is_nothing() -> None:
    assert syscalls.move_pages(0, []) == []


def test_move_pages_of_no_process_names_the_call() -> None:
    with pytest.raises(ProcessLookupError, match="move_pages: No such process"):
        syscalls.move_pages(2**22 + 1, [0])


def test_a_policy_set_is_the_policy_found() -> None:
    node = syscalls.mems_allowed()[0]

    def set_and_get() -> list[tuple[str, tuple[int, ...]]]:
        found = []
        for mode, nodes in (("bind", [node]), ("preferred", [node]), ("interleave", [node]), ("default", [])):
            syscalls.set_mempolicy(mode, nodes)
            found.append(syscalls.get_mempolicy())
        return found

    assert in_thread(set_and_get) == [
        ("bind", (node,)),
        ("preferred", (node,)),
        ("interleave", (node,)),
        ("default", ()),
    ]


def test_a_range_takes_its_own_policy() -> None:
    node = syscalls.mems_allowed()[0]
    area = Area(16, range(0))
    syscalls.mbind(area.address, 8 * PAGE, "bind", [node])
    assert syscalls.get_mempolicy_at(area.address) == ("bind", (node,))
    assert syscalls.get_mempolicy_at(area.address + 8 * PAGE)[0] == "default"


def test_pages_bound_to_a_node_are_found_on_it() -> None:
    node = syscalls.mems_allowed()[-1]
    area = Area(32, range(0))
    syscalls.mbind(area.address, 32 * PAGE, "bind", [node])
    for page in range(32):
        area.memory[page * PAGE] = 1
    assert syscalls.move_pages(0, area.pages(*range(32))) == [node] * 32


def test_pages_told_to_move_say_where_they_are() -> None:
    node = syscalls.mems_allowed()[-1]
    area = Area(4, range(4))
    flags = syscalls.MPOL_MF_MOVE
    assert syscalls.move_pages(0, area.pages(*range(4)), [node] * 4, flags) == [node] * 4


def test_a_node_that_is_not_there_is_an_error_with_the_calls_name() -> None:
    missing = max(syscalls.mems_allowed()) + 1
    with pytest.raises(OSError, match="set_mempolicy: ") as caught:
        in_thread(lambda: syscalls.set_mempolicy("bind", [missing]))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("node", [-1, 1024, 10**9])
def test_a_node_that_cannot_be_named_is_an_error(node: int) -> None:
    with pytest.raises(OSError, match=f"node {node} cannot be named"):
        in_thread(lambda: syscalls.set_mempolicy("bind", [node]))


def test_an_address_beyond_32_bits_arrives_whole() -> None:
    area = Area(1, range(1))
    assert area.address > 1 << 32
    assert syscalls.get_mempolicy_at(area.address)[0] == "default"
    with pytest.raises(OSError, match="Bad address"):
        syscalls.get_mempolicy_at(area.address & 0xFFFF_FFFF)


def test_nothing_stands_in_the_way_of_policies_here() -> None:
    before = syscalls.get_mempolicy()
    assert syscalls.refused_policy_call() is None
    assert syscalls.get_mempolicy() == before


def test_a_refusing_container_is_noticed() -> None:
    code = "from numawise.linux.syscalls import refused_policy_call as r; print(r())"
    command = [sys.executable, str(REFUSE), "set_mempolicy", "--", sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "[Errno 1] set_mempolicy" in said
