"""perf_event_open for real, on events that every machine has; the power PMU's files as machines show them."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import power_trees
import pytest

from numawise.linux import perf_events
from numawise.linux.perf_events import Counter

SOFTWARE, PAGE_FAULTS, CPU_CLOCK = 1, 2, 0  # include/uapi/linux/perf_event.h


def opened(config: int, *, pid: int = 0, cpu: int = -1) -> Counter:
    try:
        return Counter(SOFTWARE, config, pid=pid, cpu=cpu)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENOSYS):
            pytest.skip(f"perf_event_open is refused here: {error}")
        raise


def test_it_counts_the_page_faults_of_this_thread() -> None:
    with opened(PAGE_FAULTS) as counter, mmap.mmap(-1, 200 * mmap.PAGESIZE) as memory:
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        before = counter.read()
        for page in range(200):
            memory[page * mmap.PAGESIZE] = 1
        assert 200 <= counter.read() - before < 1000


def test_it_counts_a_whole_cpu() -> None:
    with opened(CPU_CLOCK, pid=-1, cpu=min(os.sched_getaffinity(0))) as counter:
        first, began = counter.read(), time.monotonic()
        time.sleep(0.05)
        took = time.monotonic() - began
        assert (counter.read() - first) / 1e9 == pytest.approx(took, rel=0.5)


def test_a_descriptor_is_closed_once_and_no_child_has_it() -> None:
    counter = opened(PAGE_FAULTS)
    fd = counter._fd
    assert not os.get_inheritable(fd)
    counter.close()
    counter.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    with pytest.raises(OSError, match="Bad file"):
        counter.read()


@pytest.mark.parametrize(("kind", "config", "cpu"), [(1, 1 << 40, -1), (0x7FFF_0000, 0, -1), (1, 0, 100_000)])
def test_what_there_is_not_is_an_error(kind: int, config: int, cpu: int) -> None:
    opened(PAGE_FAULTS).close()
    with pytest.raises(OSError, match="perf_event_open"):
        Counter(kind, config, pid=0 if cpu < 0 else -1, cpu=cpu)


def test_a_refusal_names_the_call(programs: Path) -> None:
    code = "from numawise.linux.perf_events import Counter\nCounter(1, 2, pid=0, cpu=-1)"
    done = subprocess.run(
        [sys.executable, str(programs / "refuse.py"), "perf_event_open", "--", sys.executable, "-c", code],
        capture_output=True,
        text=True,
    )
    assert "PermissionError: [Errno 1] perf_event_open: Operation not permitted" in done.stderr


def test_the_power_pmu_is_read_as_machines_show_it(tmp_path: Path) -> None:
    files = {"events/energy-pkg": "event=0x02", "events/energy-pkg.scale": "2.3283064365386962890625e-10"}
    power_trees.power_pmu(tmp_path, **{"type": "24", "cpumask": "0,32", **files})
    event = perf_events.read_power_event("energy-pkg", str(tmp_path))
    assert event == ("energy-pkg", 24, 2, 2.0**-32, (0, 32))
    with pytest.raises(FileNotFoundError, match="energy-ram"):
        perf_events.read_power_event("energy-ram", str(tmp_path))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("type", ""),
        ("type", "-1"),
        ("type", "power"),
        ("cpumask", ""),
        ("cpumask", "3-1"),
        ("events/energy-pkg", "event=2"),
        ("events/energy-pkg", "event=0x02,umask=0x01"),
        ("events/energy-pkg.scale", ""),
        ("events/energy-pkg.scale", "0"),
        ("events/energy-pkg.scale", "nan"),
        ("events/energy-pkg.scale", "1000"),
    ],
)
def test_a_power_pmu_that_says_nothing_is_refused(tmp_path: Path, file: str, content: str) -> None:
    power_trees.power_pmu(tmp_path, **{file: content})
    with pytest.raises(OSError, match=file) as raised:
        perf_events.read_power_event("energy-pkg", str(tmp_path))
    assert raised.value.errno == errno.EIO


def test_how_strict_the_kernel_is(tmp_path: Path) -> None:
    assert perf_events.paranoid(str(tmp_path)) is None
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/perf_event_paranoid").write_text("-1\n")
    assert perf_events.paranoid(str(tmp_path)) == -1
