"""Is a process still there? For tests that kill programs and look for what they left."""

from __future__ import annotations

from pathlib import Path

from numawise.linux import procfs


def alive(marker: str) -> bool:
    """Whether any process that is no zombie has `marker` in its command line."""
    for pid in procfs.processes():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in line and procfs.is_alive(pid):
            return True
    return False
