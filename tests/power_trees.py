"""Trees of energy counters as machines show them, and a process that makes them count.

The names and ranges are those of real machines: Intel servers (a package's unit is 61 microjoules, its memory's 15.3),
AMD's EPYC (15.26 microjoules, `core` and no `dram`), clients with `psys` and the second interface over MMIO.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

INTEL_RANGE, DRAM_RANGE, AMD_RANGE = 262_143_328_850, 65_712_999_613, 65_532_610_987

Zones = dict[str, tuple[str, int, int]]
"""Name, counter and range in microjoules, by id."""

INTEL_TWO_SOCKETS: Zones = {
    "intel-rapl:0": ("package-0", 112_233_445_566, INTEL_RANGE),
    "intel-rapl:0:0": ("dram", 31_000_000_000, DRAM_RANGE),
    "intel-rapl:1": ("package-1", 98_765_432_109, INTEL_RANGE),
    "intel-rapl:1:0": ("dram", 22_000_000_000, DRAM_RANGE),
    "intel-rapl-mmio:0": ("package-0", 112_233_440_000, INTEL_RANGE),
    "intel-rapl-mmio:0:0": ("dram", 31_000_000_000, DRAM_RANGE),
    "intel-rapl-mmio:1": ("package-1", 98_765_430_000, INTEL_RANGE),
}
INTEL_CLIENT: Zones = {
    "intel-rapl:0": ("package-0", 5_000_000_000, INTEL_RANGE),
    "intel-rapl:0:0": ("core", 3_000_000_000, INTEL_RANGE),
    "intel-rapl:0:1": ("uncore", 1_000_000, INTEL_RANGE),
    "intel-rapl:1": ("psys", 9_000_000_000, INTEL_RANGE),
    "intel-rapl-mmio:0": ("package-0", 4_999_000_000, INTEL_RANGE),
}
AMD: Zones = {
    "intel-rapl:0": ("package-0", 40_000_000_000, AMD_RANGE),
    "intel-rapl:0:0": ("core", 1_500_000_000, AMD_RANGE),
    "intel-rapl:1": ("package-1", 41_000_000_000, AMD_RANGE),
    "intel-rapl:1:0": ("core", 1_600_000_000, AMD_RANGE),
}
DIES: Zones = {
    f"intel-rapl:{i}": (f"package-{i // 2}-die-{i % 2}", 1_000_000 * i, INTEL_RANGE) for i in range(4)
}


def powercap(root: Path, zones: Zones) -> Path:
    """Write the tree; returns its folder, /sys/class/powercap."""
    folder = root / "sys/class/powercap"
    for control in {zone.split(":")[0] for zone in zones}:
        (folder / control).mkdir(parents=True, exist_ok=True)
    for zone, (name, counter, highest) in zones.items():
        (folder / zone).mkdir()
        (folder / zone / "name").write_text(f"{name}\n")
        (folder / zone / "energy_uj").write_text(f"{counter}\n")
        (folder / zone / "max_energy_range_uj").write_text(f"{highest}\n")
    return folder


def count(folder: Path, zone: str, value: int | str) -> None:
    """Give a counter another value, as a whole."""
    fresh = folder / zone / "fresh"
    fresh.write_text(f"{value}\n")
    fresh.replace(folder / zone / "energy_uj")


def power_pmu(root: Path, **files: str) -> Path:
    """A `power` PMU that in truth counts the nanoseconds of CPU 0 (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK)."""
    folder = root / "sys/bus/event_source/devices/power"
    (folder / "events").mkdir(parents=True)
    content = {
        "type": "1",
        "cpumask": "0",
        "events/energy-pkg": "event=0x00",
        "events/energy-pkg.scale": "1e-9",
    }
    for file, text in {**content, **files}.items():
        (folder / file).write_text(f"{text}\n")
    return folder


_RUNNING = """
import sys, time
from pathlib import Path
import power_trees
folder, watts = Path(sys.argv[1]), float(sys.argv[2])
zones = {p.name: (int((p / "energy_uj").read_text()), int((p / "max_energy_range_uj").read_text()))
         for p in folder.iterdir() if ":" in p.name}
began = time.monotonic()
print("counting", flush=True)
while True:
    used = int((time.monotonic() - began) * watts * 1e6)
    for zone, (first, highest) in zones.items():
        power_trees.count(folder, zone, (first + used) % (highest + 1))
    time.sleep(0.002)
"""


def running(folder: Path, watts: float) -> subprocess.Popen[str]:
    """A process that counts up every zone by so many joules a second, until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNNING, str(folder), str(watts)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counting\n"
    return process


def drawing(folder: Path, joules: str) -> str:
    """Words of a shell that give each package so many microjoules more, an expression of the shell."""
    one = f'echo "$(($(cat {folder}/$z/energy_uj) + {joules}))" > {folder}/$z/fresh'
    return f"for z in intel-rapl:0 intel-rapl:1; do {one}; mv {folder}/$z/fresh {folder}/$z/energy_uj; done"
