"""Processes as `/proc` shows them: real ones, with strange names, many threads and odd ends."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from programs.children import child

from numawise.linux import numa_maps, procfs
from numawise.linux.nodes import read_cpu_nodes
from numawise.linux.pagemap import PAGE, Pagemap


def wait_until(happens: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happens():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_own_state_is_known() -> None:
    stat = procfs.read_stat(os.getpid())
    assert (stat.pid, stat.parent, stat.state) == (os.getpid(), os.getppid(), "R")
    assert stat.cpu in os.sched_getaffinity(0)
    assert not stat.is_kernel_thread
    assert not stat.has_ended


@pytest.mark.parametrize("name", ["a) S 1 (b", "(((", ")))", "two words", "new\nline"])
def test_a_name_that_looks_like_fields_does_no_harm(name: str) -> None:
    with child(f"open('/proc/self/comm', 'w').write({name!r}); stay()") as other:
        stat = procfs.read_stat(other.pid)
        assert (stat.name, stat.parent) == (name, os.getpid())


def test_mappings_carry_bounds_permissions_and_path(tmp_path: Path) -> None:
    file = tmp_path / "a b  c\n(deleted)é"
    file.write_bytes(bytes(3 * PAGE))
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        found = [m for m in procfs.read_mappings(os.getpid()) if "a b  c" in m.path]
        assert len(mapped) == 3 * PAGE
    assert [(m.end - m.start, m.permissions, m.inode) for m in found] == [
        (3 * PAGE, "r--s", file.stat().st_ino)
    ]
    assert found[0].path.endswith("a b  c\\012(deleted)é")  # the kernel writes a line end so


def test_mappings_come_by_address_and_include_heap_and_stack() -> None:
    mappings = procfs.read_mappings(os.getpid())
    assert [m.start for m in mappings] == sorted(m.start for m in mappings)
    assert all(m.start % PAGE == 0 and m.end > m.start for m in mappings)
    assert {"[heap]", "[stack]"} <= {m.path for m in mappings}


def test_resident_memory_is_told_by_kind() -> None:
    code = "a = area(5000); b = area(3000, kind=mmap.MAP_SHARED); stay()"
    with child(code) as other:
        memory = procfs.read_memory(other.pid)
    assert 20000 <= memory.anonymous_kib < 40000
    assert 12000 <= memory.shared_kib < 14000
    assert memory.file_kib > 1000
    assert memory.total_kib == sum(memory)


def test_threads_are_listed_by_id() -> None:
    code = """
    stop = threading.Event()
    for _ in range(40):
        threading.Thread(target=stop.wait, daemon=True).start()
    stay()
    """
    with child(code) as other:
        tids = procfs.thread_ids(other.pid)
        assert len(tids) == 41
        assert tids[0] == other.pid
        assert {procfs.read_stat(other.pid, tid).parent for tid in tids} == {os.getpid()}


FAMILY = """
def fork(*below):
    pid = os.fork()
    if pid == 0:
        for one in below:
            one()
        time.sleep(600)
leaf = lambda: fork()
fork(lambda: fork(leaf), leaf)
thread = threading.Thread(target=leaf)
thread.start(); thread.join()
stay()
"""


@pytest.mark.parametrize("scan", [None, False, True])
def test_descendants_are_all_found_parents_first(scan: bool | None) -> None:
    with child(FAMILY) as other:
        wait_until(lambda: len(procfs.descendants(other.pid, scan=scan)) == 5)
        found = procfs.descendants(other.pid, scan=scan)
        parents = {pid: procfs.read_stat(pid).parent for pid in found}
        for pid in reversed(found):
            os.kill(pid, 9)
    assert len(found) == len(set(found)) == 5
    before = [other.pid, *found]
    assert all(before.index(parents[pid]) < before.index(pid) for pid in found)


@pytest.mark.parametrize("scan", [False, True])
def test_zombies_are_no_living_descendants(scan: bool) -> None:
    with child("pid = os.fork() or os._exit(0); say(pid); stay()") as other:
        zombie = int(other.words[0])
        wait_until(lambda: procfs.read_stat(zombie).has_ended)
        assert procfs.descendants(other.pid, scan=scan) == []
        assert not procfs.is_alive(zombie)


def test_a_process_that_lost_only_its_main_thread_is_alive() -> None:
    code = """
    threading.Thread(target=lambda: (time.sleep(.2), stay())).start()
    ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)
    """
    with child(code) as other:
        assert procfs.read_stat(other.pid).has_ended
        assert procfs.is_alive(other.pid)


def test_what_is_not_there_is_no_process() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    assert not procfs.is_alive(gone.pid)
    assert procfs.descendants(gone.pid) == []
    for read in (procfs.read_stat, procfs.read_memory, procfs.read_mappings, procfs.thread_ids):
        with pytest.raises(procfs.GONE):
            read(gone.pid)


def test_every_mount_has_a_type() -> None:
    types = procfs.read_mount_types(os.getpid())
    device = os.stat("/proc").st_dev
    assert types[f"{os.major(device):02x}:{os.minor(device):02x}"] == "proc"


@pytest.mark.parametrize("how", ["ask the kernel", "read every entry"])
def test_present_pages_are_found_in_their_runs(how: str) -> None:
    code = """
    memory = area(20000, step=20001)
    for page in [*range(3, 10), 11, *range(4095, 4098), 8191, 8192, 19999]:
        memory[page * 4096] = 1
    say(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    stay()
    """
    with child(code) as other, Pagemap(other.pid) as pagemap:
        start = int(other.words[0])
        if how == "ask the kernel":
            if not pagemap.scans():
                pytest.skip("this kernel has no PAGEMAP_SCAN (Linux 6.7)")
            found = pagemap.scan(start, start + 20000 * PAGE)
        else:
            found = pagemap.read(start, start + 20000 * PAGE)
        pages = [(first - start) // PAGE + i for first, size in found for i in range(size // PAGE)]
    assert pages == [0, *range(3, 10), 11, *range(4095, 4098), 8191, 8192, 19999]


def test_anonymous_pages_are_told_from_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(4 * PAGE))
    code = """
    memory = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_COPY)
    memory[0], _ = 1, memory[4096]
    say(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    stay()
    """
    with child(code, str(file)) as other, Pagemap(other.pid) as pagemap:
        start = int(other.words[0])
        assert [pagemap.is_anonymous(start + page * PAGE) for page in (0, 1)] == [True, False]


def test_numa_maps_counts_what_is_resident() -> None:
    if not Path("/proc/self/numa_maps").exists():
        pytest.skip("this kernel has no numa_maps")
    with child("memory = area(3000); stay()") as other:
        mappings = numa_maps.read_numa_maps(other.pid)
        kib = sum(count * m.page_kib for m in mappings for count in m.pages.values())
        memory = procfs.read_memory(other.pid)
    assert 12000 <= sum(m.anonymous * m.page_kib for m in mappings) <= memory.anonymous_kib + 1024
    assert abs(kib - memory.total_kib) <= 1024


def test_huge_pages_count_with_their_own_size() -> None:
    line = (
        "7f0000000000 bind:1 file=/mnt/huge/x huge anon=3 dirty=3 N1=3 kernelpagesize_kB=2048\n7f00 default\n"
    )
    (found,) = numa_maps.parse_numa_maps(line)
    assert (found.huge, found.page_kib, found.pages) == (True, 2048, {1: 3})


def test_every_cpu_has_its_node(tmp_path: Path) -> None:
    for node, cpus in {"node0": "0-1,4\n", "node8": "2-3\0", "node250": "\n", "node9": "x"}.items():
        (tmp_path / node).mkdir()
        (tmp_path / node / "cpulist").write_text(cpus)
    (tmp_path / "node3").mkdir()
    (tmp_path / "has_cpu").write_text("0,8")
    assert read_cpu_nodes(str(tmp_path)) == {0: 0, 1: 0, 4: 0, 2: 8, 3: 8}
    assert read_cpu_nodes(str(tmp_path / "none")) == {}


def test_own_threads_last_ran_where_they_may() -> None:
    assert {procfs.read_stat(os.getpid(), threading.get_native_id()).cpu} <= os.sched_getaffinity(0)
