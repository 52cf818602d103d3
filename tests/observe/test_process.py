"""Whole processes: their memory in proportion, by kind, and every odd end a process can come to."""

from __future__ import annotations

import errno
import json
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs.children import REFUSE, child

from numawise.errors import NotPermittedError, NumawiseError
from numawise.linux import procfs
from numawise.linux.cpuset import CPUSet
from numawise.machine.codec import from_json, to_json
from numawise.observe import ProcessGone, Residency, residency, residency_of_pids, threads, tree

HAS_NUMA_MAPS = Path("/proc/self/numa_maps").exists()
needs_numa_maps = pytest.mark.skipif(not HAS_NUMA_MAPS, reason="this kernel has no numa_maps")


def test_the_shares_of_a_process_add_up_and_come_with_intervals() -> None:
    with child("a = area(10000); stay()") as other:
        seen = residency(pid=other.pid, seed=1)
    assert seen.pid == other.pid
    assert 1000 <= seen.sampled_pages <= 1100
    assert seen.rss_kib >= 40_000
    assert sum(s.share for s in seen.residency.values()) == pytest.approx(1)
    assert all(0 <= s.low <= s.share <= s.high <= 1 for s in seen.residency.values())
    assert [t.tid for t in seen.threads] == [other.pid]
    everywhere = seen.on(range(1024))
    assert everywhere.share == 1
    assert 0.995 < everywhere.low < 1
    assert seen.on([1023]).low == 0
    assert 0 < seen.on([1023]).high < 0.005


def test_the_json_form_is_the_one_scripts_rely_on() -> None:
    seen = residency(seed=1)
    form = json.loads(to_json(seen))
    assert form["pid"] == os.getpid()
    for field in ("rss_kib", "sampled_pages", "unmapped_pages"):
        assert isinstance(form[field], int)
    assert set(form["residency"]) == {str(node) for node in seen.residency}
    assert all(set(share) == {"share", "low", "high"} for share in form["residency"].values())
    mine = next(t for t in form["threads"] if t["tid"] == os.getpid())
    assert set(mine) == {"tid", "cpu", "node", "allowed"}
    assert mine["allowed"] == str(CPUSet(os.sched_getaffinity(0)))
    assert from_json(to_json(seen), Residency, source="itself") == seen


def test_anonymous_memory_is_told_from_the_page_cache(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(6000 * mmap.PAGESIZE))
    code = """
    mapped = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, prot=mmap.PROT_READ)
    _ = [mapped[i * 4096] for i in range(6000)]
    a = area(3000); b = area(3000, kind=mmap.MAP_SHARED)
    stay()
    """
    with child(code, str(file)) as other:
        memory = procfs.read_memory(other.pid)
        seen = residency(pid=other.pid, pages=2000, seed=4)
    truth = (memory.total_kib - memory.file_kib) / memory.total_kib
    assert seen.anonymous_kib == memory.total_kib - memory.file_kib
    assert seen.anonymous_pages / seen.sampled_pages == pytest.approx(truth, abs=0.045)  # 4 standard errors


def test_a_private_copy_of_a_file_page_is_the_process_own(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(bytes(8000 * mmap.PAGESIZE))
    code = """
    mapped = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_COPY)
    for i in range(8000):
        mapped[i * 4096] = 1
    stay()
    """
    with child(code, str(file)) as other:
        memory = procfs.read_memory(other.pid)
        seen = residency(pid=other.pid, pages=2000, seed=4)
    truth = (memory.total_kib - memory.file_kib) / memory.total_kib
    assert memory.anonymous_kib > 32_000
    assert seen.anonymous_pages / seen.sampled_pages == pytest.approx(truth, abs=0.03)


def test_reserved_address_space_costs_no_draws() -> None:
    code = """
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    assert libc.mmap(None, 1 << 44, 0, 0x4022, -1, 0) != ctypes.c_void_p(-1).value  # 16 TiB, PROT_NONE
    a = area(8000); stay()
    """
    with child(code) as other:
        seen = residency(pid=other.pid, seed=1)
    assert seen.sampled_pages >= 1000
    assert seen.unmapped_pages < 1000


def test_a_huge_writable_reserve_does_not_hide_what_is_resident() -> None:
    code = """
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    start = libc.mmap(None, 1 << 35, 3, 0x4022, -1, 0)  # 32 GiB, NORESERVE
    assert start != ctypes.c_void_p(-1).value
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(1 << 35), 15)
    for i in range(9000):
        ctypes.memset(start + i * 700 * 4096, 1, 1)
    stay()
    """
    with child(code) as other:
        memory = procfs.read_memory(other.pid)
        seen = residency(pid=other.pid, seed=1)
    truth = (memory.total_kib - memory.file_kib) / memory.total_kib
    assert 990 <= seen.sampled_pages <= 1000  # the kernel lists a few that it then tells nothing about
    assert seen.anonymous_pages / seen.sampled_pages == pytest.approx(truth, abs=0.05)


@needs_numa_maps
@pytest.mark.parametrize("thp", [False, True])
def test_sampling_agrees_with_counting(thp: bool) -> None:
    with child(f"a = area(20480, thp={thp}); stay()") as other:
        sampled = residency(pid=other.pid, pages=3000, seed=2)
        counted = residency(pid=other.pid, exact=True)
    assert counted.unmapped_pages == 0
    assert counted.rss_kib == pytest.approx(sampled.rss_kib, rel=0.02)
    for node, share in counted.residency.items():
        assert share.low == share.share == share.high
        assert sampled.on([node]).low <= share.share <= sampled.on([node]).high
    anonymous = sampled.anonymous_pages / sampled.sampled_pages
    assert counted.anonymous_pages / counted.sampled_pages == pytest.approx(anonymous, abs=0.04)


def test_huge_pages_of_hugetlbfs_count_for_their_size() -> None:
    pool = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    if not pool.exists() or not os.access(pool, os.W_OK):
        pytest.skip("this system lends no huge pages of 2 MiB")
    before = pool.read_text()
    pool.write_text(str(int(before) + 8))
    try:
        if int(pool.read_text()) < int(before) + 8:
            pytest.skip("this system has no 8 huge pages of 2 MiB to lend")
        code = """
        memory = mmap.mmap(-1, 16 << 20, flags=0x40022)
        for page in range(8):
            memory[page << 21] = 1
        stay()
        """
        with child(code) as other:
            memory = procfs.read_memory(other.pid)
            seen, counted = residency(pid=other.pid, pages=2000, seed=3), residency(pid=other.pid, exact=True)
        assert memory.hugetlb_kib == 16384
        truth = (memory.total_kib - memory.file_kib) / memory.total_kib
        assert seen.rss_kib == memory.total_kib > 16384
        assert seen.anonymous_pages / seen.sampled_pages == pytest.approx(truth, abs=0.05)
        assert counted.anonymous_pages / counted.sampled_pages == pytest.approx(truth, abs=0.05)
    finally:
        pool.write_text(before)


def test_a_process_with_60_000_mappings() -> None:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    mappings = min(60_000, limit - 1000)
    code = f"""
    memory = area({mappings})
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None).mprotect
    for page in range(0, {mappings}, 2):
        assert protect(ctypes.c_void_p(start + page * 4096), ctypes.c_size_t(4096), 1) == 0
    stay()
    """
    with child(code) as other:
        assert len(procfs.read_mappings(other.pid)) >= mappings
        seen = residency(pid=other.pid, seed=1)
    assert seen.sampled_pages >= 1000
    assert seen.anonymous_pages > 900


def test_a_process_with_5_000_threads() -> None:
    code = """
    stop = threading.Lock(); stop.acquire(); count = 1
    try:
        while count < 5000:
            threading.Thread(target=stop.acquire, daemon=True).start(); count += 1
    except RuntimeError:
        pass
    say(count); stay()
    """
    with child(code) as other:
        count = int(other.words[0])
        assert count > 100  # what the system's limit on tasks leaves
        places = threads(other.pid)
        assert [p.tid for p in places] == sorted({p.tid for p in places})
        assert len(places) == count
        assert {p.allowed for p in places} == {CPUSet(os.sched_getaffinity(0))}
        assert all(p.cpu in p.allowed for p in places)
        # Their stacks reserve 8 MiB each and hold a page or two: too sparse to meet by chance.
        seen = residency(pid=other.pid, seed=1)
    assert 990 <= seen.sampled_pages <= 1000
    assert len(seen.threads) == count


def test_threads_carry_their_own_affinity_and_the_node_given() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    code = f"""
    stop = threading.Lock(); stop.acquire()
    thread = threading.Thread(target=stop.acquire, daemon=True); thread.start()
    os.sched_setaffinity(thread.native_id, [{cpus[-1]}])
    say(thread.native_id); stay()
    """
    with child(code) as other:
        by_tid = {p.tid: p for p in threads(other.pid, cpu_nodes=dict.fromkeys(cpus, 7))}
    assert by_tid[other.pid].allowed == CPUSet(cpus)
    assert by_tid[int(other.words[0])].allowed == CPUSet([cpus[-1]])
    assert {p.node for p in by_tid.values()} == {7}


def test_a_cpu_of_no_known_node_has_none() -> None:
    assert {p.node for p in threads(0, cpu_nodes={})} == {None}


def test_a_process_that_is_not_there() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    for look in (
        lambda: residency(pid=gone.pid),
        lambda: threads(gone.pid),
        lambda: tree(gone.pid),
        lambda: residency(pid=gone.pid, exact=True),
        lambda: residency(pid=gone.pid, address=0, length=9),
    ):
        with pytest.raises(ProcessGone, match=f"process {gone.pid} does not exist or has ended") as caught:
            look()
        assert "\n" not in str(caught.value)


def test_a_zombie_is_called_one() -> None:
    with child("pid = os.fork() or os._exit(0); say(pid); stay()") as other:
        zombie = int(other.words[0])
        while not procfs.read_stat(zombie).has_ended:
            time.sleep(0.01)
        with pytest.raises(ProcessGone, match="zombie"):
            residency(pid=zombie)
        with pytest.raises(ProcessGone):
            tree(zombie)


def test_a_process_whose_main_thread_ended_is_still_seen() -> None:
    code = """
    a = area(5000)
    threading.Thread(target=lambda: (time.sleep(.2), stay())).start()
    ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)
    """
    with child(code) as other:
        for exact in (False, HAS_NUMA_MAPS):
            seen = residency(pid=other.pid, exact=exact)
            assert seen.rss_kib > 20_000
            assert seen.sampled_pages >= 1000
            assert other.pid not in [place.tid for place in seen.threads]


def test_a_kernel_thread_has_threads_but_no_memory() -> None:
    kernel = next(
        (p for p in procfs.processes() if procfs.is_alive(p) and procfs.read_stat(p).is_kernel_thread), 0
    )
    if not kernel:
        pytest.skip("no kernel thread to be seen from this container")
    seen = residency(pid=kernel)
    assert (seen.rss_kib, seen.residency, seen.sampled_pages) == (0, {}, 0)
    assert [place.tid for place in seen.threads] == [kernel]


def test_a_process_that_ends_while_it_is_looked_at_is_gone_or_seen_never_a_crash() -> None:
    outcomes = set()
    for delay_ms in range(0, 60, 6):
        code = f"import time; m = bytearray(30 << 20); time.sleep({delay_ms / 1000})"
        with subprocess.Popen([sys.executable, "-S", "-c", code]) as process:
            while True:
                try:
                    outcomes.add(type(residency(pid=process.pid, pages=5000)))
                except ProcessGone:
                    outcomes.add(ProcessGone)
                    break
    assert ProcessGone in outcomes


def in_fork(call: object) -> str:
    """What `call` says, run in a child of this process that may give up its rights."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = str(call())  # type: ignore[operator]
        except NumawiseError as error:
            said = f"{type(error).__name__}({error.exit_code}): {error}"
        os.write(write_end, said.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_the_process_of_another_user_is_refused_with_advice() -> None:
    with child("stay()") as other:

        def look_as_nobody() -> Residency:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            return residency(pid=other.pid)

        said = in_fork(look_as_nobody)
    assert said.startswith("NotPermittedError(3): ")
    assert f"looking at process {other.pid}: reading /proc/{other.pid}/maps was refused (EACCES)" in said
    assert "as root" in said


def test_a_container_that_refuses_move_pages_is_told_what_to_allow() -> None:
    code = """
    import numawise.observe as o
    try:
        o.residency()
    except o.errors.NotPermittedError as error:
        print(error)
    """
    command = [
        sys.executable,
        REFUSE,
        "move_pages",
        "--",
        sys.executable,
        "-c",
        "import textwrap, sys; exec(textwrap.dedent(sys.argv[1]))",
        code,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "move_pages was refused (EPERM; a seccomp filter answers so" in said
    assert "--security-opt seccomp=unconfined" in said  # no capability makes Docker's profile allow this one
    assert said.count("\n") == 1


@needs_numa_maps
def test_counting_works_where_move_pages_is_refused() -> None:
    code = "import numawise.observe as o; print(o.residency(exact=True).sampled_pages)"
    command = [sys.executable, REFUSE, "move_pages", "--", sys.executable, "-c", code]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) > 1000


def test_other_answers_of_the_system_keep_their_name() -> None:
    from numawise.observe.errors import looking_at

    with pytest.raises(NumawiseError, match=r"EIO \(Input/output error\)") as caught, looking_at(5):
        raise OSError(errno.EIO, "Input/output error", "/proc/5/maps")
    assert not isinstance(caught.value, ProcessGone | NotPermittedError)
    with pytest.raises(NotPermittedError, match="ENOSYS"), looking_at(0):
        raise OSError(errno.ENOSYS, "move_pages: Function not implemented")


def test_a_tree_of_processes_is_seen_as_one() -> None:
    code = """
    for size in (8000, 2000):
        if os.fork() == 0:
            a = area(size); say('up'); time.sleep(600)
    time.sleep(.5)
    stay()
    """
    with child(code) as other:
        pids = tree(other.pid)
        assert pids[0] == other.pid
        assert len(pids) == 3
        whole = residency_of_pids([*pids, 2**22 + 1], seed=1)
        parts = [residency(pid=pid, seed=1) for pid in pids]
        for pid in pids[1:]:
            os.kill(pid, 9)
    assert whole.pid == other.pid
    assert whole.rss_kib == pytest.approx(sum(part.rss_kib for part in parts), rel=0.01)
    assert whole.sampled_pages >= 3000
    assert [place.tid for place in whole.threads] == pids
    assert sum(share.share for share in whole.residency.values()) == pytest.approx(1)


def test_no_process_left_is_an_error() -> None:
    with pytest.raises(ProcessGone):
        residency_of_pids([2**22 + 1, 2**22 + 2])
    with pytest.raises(NumawiseError, match="at least one"):
        residency_of_pids([])
