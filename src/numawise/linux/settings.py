"""Settings of this machine that sway measurements, noted when a study begins."""

from __future__ import annotations

import os

from numawise.linux.procfs import read_text

_FILES = {
    "NUMA balancing": "/proc/sys/kernel/numa_balancing",
    "THP defrag": "/sys/kernel/mm/transparent_hugepage/defrag",
    "frequency governor": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "zone reclaim": "/proc/sys/vm/zone_reclaim_mode",
    "swappiness": "/proc/sys/vm/swappiness",
    "load average": "/proc/loadavg",
}


def read_settings() -> dict[str, str]:
    """What can be read of them; a file that is not there is left out."""
    kernel = os.uname()
    found = {"kernel": f"{kernel.sysname} {kernel.release} {kernel.machine}"}
    for name, path in _FILES.items():
        try:
            found[name] = read_text(path).strip()
        except OSError:
            continue
    return found
