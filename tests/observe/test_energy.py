"""Joules of packages from real files that a real process counts up, and from real perf events."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import power_trees
import pytest

from numawise.errors import NotPermittedError, UsageError
from numawise.linux import perf_events
from numawise.observe import energy
from numawise.observe.energy import EnergyMeter
from numawise.observe.energy_counters import MOST_WATTS

NOBODY = 65534


@contextmanager
def counting(folder: Path, watts: float) -> Iterator[None]:
    process = power_trees.running(folder, watts)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


_AS_NOBODY = f"""
import os, sys
from numawise.errors import NumawiseError
from numawise.observe import energy
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
print(energy.note(sys.argv[1]))
try:
    energy.require(sys.argv[1])
except NumawiseError as error:
    print(error.exit_code, error)
"""


def as_nobody(root: Path) -> list[str]:
    """What a user who is nobody is told of the tree at `root`: of `note`, and of `require` when it raises."""
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY, str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def reach(path: Path) -> None:
    """Let everybody pass to `path`: pytest keeps its folders to itself."""
    for parent in (path, *path.parents):
        if len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o055)


def test_all_packages_and_their_memory_are_added_up_once(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.INTEL_TWO_SOCKETS)
    with EnergyMeter(str(tmp_path)) as meter:
        for zone, joules in (
            ("intel-rapl:0", 10),
            ("intel-rapl:1", 20),
            ("intel-rapl:0:0", 3),
            ("intel-rapl:1:0", 4),
            ("intel-rapl-mmio:0", 1000),
            ("intel-rapl-mmio:0:0", 1000),
        ):
            power_trees.count(folder, zone, power_trees.INTEL_TWO_SOCKETS[zone][1] + joules * 1_000_000)
    assert meter.energy is not None
    assert (meter.energy.package_j, meter.energy.dram_j) == (30, 7)
    assert (meter.energy.source, meter.energy.packages) == ("powercap", 2)
    assert meter.names == ("package-0", "package-1", "dram")
    assert meter.why_unavailable == ""


def test_a_counter_that_runs_is_read_when_asked(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)

    def shown() -> int:
        return sum(
            int((folder / zone / "energy_uj").read_text()) for zone in ("intel-rapl:0", "intel-rapl:1")
        )

    with counting(folder, 150.0):
        earliest = shown()
        meter = EnergyMeter(str(tmp_path)).start()
        early = shown()
        time.sleep(0.3)
        late = shown()
        seen = meter.stop()
        latest = shown()
    assert seen is not None
    assert seen.dram_j is None
    assert 0 < late - early <= seen.package_j * 1e6 <= latest - earliest
    assert 0.3 <= seen.seconds < 60


def test_a_counter_that_goes_round_loses_nothing(tmp_path: Path) -> None:
    highest = power_trees.AMD_RANGE
    folder = power_trees.powercap(tmp_path, {"intel-rapl:0": ("package-0", highest, highest)})
    meter = EnergyMeter(str(tmp_path)).start()
    power_trees.count(folder, "intel-rapl:0", 0)
    seen = meter.poll()
    assert seen is not None
    assert seen.package_j == pytest.approx(1e-6)
    power_trees.count(folder, "intel-rapl:0", highest)
    meter.poll()
    power_trees.count(folder, "intel-rapl:0", 4_000_000)  # round again, after having been read
    seen = meter.stop()
    assert seen is not None
    assert seen.package_j == pytest.approx((2 * (highest + 1) - highest + 4_000_000) / 1e6)


def test_a_counter_that_may_have_gone_round_unseen_gives_no_figure(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, {"intel-rapl:0": ("package-0", 5, 100_000_000)})  # 100 J, 50 ms
    meter = EnergyMeter(str(tmp_path)).start()
    assert meter.poll_within_s == pytest.approx(0.05)
    power_trees.count(folder, "intel-rapl:0", 1_000_000)
    time.sleep(0.08)
    assert meter.poll() is None
    assert "gone round unseen" in meter.why_unavailable
    power_trees.count(folder, "intel-rapl:0", 2_000_000)
    assert meter.stop() is None, "what was lost stays lost"
    assert "gone round unseen" in meter.why_unavailable


def test_a_counter_of_today_needs_no_reading_between_two_looks() -> None:
    from numawise.launch.values import look_at_s

    gaps = [look_at_s(n + 1) - look_at_s(n) for n in range(50)]
    assert max(gaps) < power_trees.AMD_RANGE / 1e6 / MOST_WATTS


def test_backwards_without_a_range_gives_no_figure(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, {"intel-rapl:0": ("package-0", 50, 0)})
    meter = EnergyMeter(str(tmp_path)).start()
    assert meter.poll_within_s is None
    power_trees.count(folder, "intel-rapl:0", 49)
    assert meter.stop() is None
    assert "went backwards" in meter.why_unavailable


def test_a_counter_that_stands_still_gives_no_figure(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)
    meter = EnergyMeter(str(tmp_path)).start()
    power_trees.count(folder, "intel-rapl:0", power_trees.AMD["intel-rapl:0"][1] + 5)
    assert meter.poll() is None
    assert "package-1's counter did not move" in meter.why_unavailable
    power_trees.count(folder, "intel-rapl:1", power_trees.AMD["intel-rapl:1"][1] + 5)
    assert meter.stop() is not None, "it was only slow"
    assert meter.why_unavailable == ""


def test_a_package_that_is_taken_out_half_way_gives_no_figure(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)
    meter = EnergyMeter(str(tmp_path)).start()
    for file in (folder / "intel-rapl:1").iterdir():
        file.unlink()
    assert meter.stop() is None
    assert "/sys/class/powercap/intel-rapl:1/energy_uj answered ENOENT" in meter.why_unavailable
    assert not meter.refused


def test_memory_that_is_taken_out_leaves_the_packages(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.INTEL_TWO_SOCKETS)
    meter = EnergyMeter(str(tmp_path)).start()
    for zone in ("intel-rapl:0", "intel-rapl:1"):
        power_trees.count(folder, zone, power_trees.INTEL_TWO_SOCKETS[zone][1] + 1_000_000)
    (folder / "intel-rapl:1:0/energy_uj").unlink()
    seen = meter.stop()
    assert seen is not None
    assert (seen.package_j, seen.dram_j) == (2, None)


@pytest.mark.parametrize("content", ["", "garbage", "-1", "1 2"])
def test_garbage_is_told_from_a_figure(tmp_path: Path, content: str) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)
    power_trees.count(folder, "intel-rapl:1", content)
    meter = EnergyMeter(str(tmp_path)).start()
    assert meter.energy is None
    assert "intel-rapl:1/energy_uj answered EIO" in meter.why_unavailable
    assert energy.note(str(tmp_path)).startswith(energy.UNAVAILABLE)
    with pytest.raises(UsageError, match="no value of this counter"):
        energy.require(str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)
    for zone in power_trees.AMD:
        (folder / zone / "energy_uj").chmod(0o400)
    reach(tmp_path)
    noted, raised = as_nobody(tmp_path)
    assert noted.startswith("unavailable: /sys/class/powercap/intel-rapl:0/energy_uj answered EACCES")
    assert "CVE-2020-8694; run as root, or let a group" in noted
    assert raised.startswith("3 energy cannot be measured here: ")
    for zone in power_trees.AMD:
        (folder / zone / "energy_uj").chmod(0o440)
        os.chown(folder / zone / "energy_uj", 0, NOBODY)
    assert as_nobody(tmp_path) == ["powercap: package-0, package-1"]


def test_zones_that_a_container_hides_are_said_to_be_hidden(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/powercap"
    folder.mkdir(parents=True)
    (folder / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:0")
    assert "--security-opt systempaths=unconfined" in energy.note(str(tmp_path))
    with pytest.raises(NotPermittedError, match="a container hides it"):
        energy.require(str(tmp_path))


def perf_tree(tmp_path: Path, **files: str) -> str:
    power_trees.power_pmu(tmp_path, **files)
    if (why := EnergyMeter(str(tmp_path)).start().why_unavailable) and "perf_event_open" in why:
        pytest.skip(why)
    return str(tmp_path)


def test_perf_counts_where_there_is_no_powercap(tmp_path: Path) -> None:
    root = perf_tree(tmp_path)
    with EnergyMeter(root) as meter:
        time.sleep(0.05)
    assert meter.energy is not None
    assert (meter.energy.source, meter.energy.packages, meter.energy.dram_j) == ("perf", 1, None)
    assert meter.energy.package_j == pytest.approx(meter.energy.seconds, rel=0.5)
    assert energy.note(root) == "perf: energy-pkg of CPU 0"


def test_perf_counts_memory_beside(tmp_path: Path) -> None:
    memory = {"events/energy-ram": "event=0x00", "events/energy-ram.scale": "5e-10"}
    with EnergyMeter(perf_tree(tmp_path, **memory)) as meter:
        time.sleep(0.05)
    assert meter.energy is not None
    assert meter.energy.dram_j == pytest.approx(meter.energy.package_j / 2, rel=0.2)


def test_perf_holds_no_descriptor_afterwards(tmp_path: Path) -> None:
    perf_tree(tmp_path / "whole")
    power_trees.power_pmu(tmp_path, cpumask="0,8000")  # the second cannot be opened, the first was
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        assert "perf_event_open of energy-pkg answered EINVAL" in energy.note(str(tmp_path))
    for _ in range(5):
        EnergyMeter(str(tmp_path / "whole")).start().stop()
        energy.note(str(tmp_path / "whole"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_perf_refused_by_seccomp_is_said(tmp_path: Path, programs: Path) -> None:
    power_trees.power_pmu(tmp_path)
    code = "import sys; from numawise.observe.energy import *; print(note(sys.argv[1])); require(sys.argv[1])"
    words = [sys.executable, str(programs / "refuse.py"), "perf_event_open", "--", sys.executable, "-c", code]
    done = subprocess.run([*words, str(tmp_path)], capture_output=True, text=True)
    assert "perf_event_open of energy-pkg answered EPERM, perf_event_paranoid is not known" in done.stdout
    assert "NotPermittedError: energy cannot be measured here" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_perf_refused_by_the_kernel_is_said_with_its_strictness(tmp_path: Path) -> None:
    level = perf_events.paranoid()
    if level is None or level < 1:
        pytest.skip(f"perf_event_paranoid is {level}: everybody may count")
    perf_tree(tmp_path)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/perf_event_paranoid").write_text(f"{level}\n")
    reach(tmp_path)
    noted, raised = as_nobody(tmp_path)
    assert (
        f"energy-pkg answered EACCES, perf_event_paranoid is {level}: run as root or with CAP_PERFMON"
        in noted
    )
    assert raised.startswith("3 energy cannot be measured here: ")


def test_powercap_without_packages_is_no_counter(tmp_path: Path) -> None:
    power_trees.powercap(tmp_path, {"intel-rapl:0": ("psys", 1, 9)})
    assert "/sys/class/powercap has no package among its zones" in energy.note(str(tmp_path))


def test_with_neither_there_is_one_line_and_no_figure(tmp_path: Path) -> None:
    with EnergyMeter(str(tmp_path)) as meter:
        assert meter.poll() is None
    assert meter.energy is None
    assert not meter.refused
    assert meter.why_unavailable.startswith(
        "the kernel shows no /sys/class/powercap (ENOENT); perf has no power PMU"
    )
    assert "\n" not in meter.why_unavailable


def test_this_machine_gives_a_figure_or_a_reason() -> None:
    with EnergyMeter() as meter:
        time.sleep(0.02)
    assert (meter.energy is None) == bool(meter.why_unavailable)
    if meter.energy is not None:
        assert 0.1 < meter.energy.package_j / meter.energy.seconds < MOST_WATTS * meter.energy.packages
