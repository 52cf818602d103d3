"""Nothing of the machine outlives the tests, and what cannot run says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vm import guest

# A command that leaves its process group behind, as virtual machines started through shells do.
ESCAPER = "import os, time; os.fork() or os.setsid(); os.write(1, b'%d\\n' % os.getpid()); time.sleep(600)"


def start(seconds: str, *prefix: str) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [*prefix, sys.executable, str(guest.GUARD), seconds, "--", sys.executable, "-c", ESCAPER],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, [int(process.stdout.readline()) for _ in range(2)]


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_guard_ends_everything(signum: int):
    process, pids = start("600")
    process.send_signal(signum)
    assert process.wait(timeout=20) == 128 + signum
    assert all(gone(pid) for pid in pids)
    process.stdout.close()


def test_the_limit_ends_everything():
    process, pids = start("1")
    assert process.wait(timeout=20) == 124
    assert all(gone(pid) for pid in pids)
    process.stdout.close()


def test_the_guard_does_not_outlive_who_started_it():
    # A parent that is killed outright, as a test run may be.
    parent = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    process, pids = start("600", sys.executable, "-c", parent)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
    assert all(gone(pid) for pid in pids)
    process.stdout.close()


def test_the_reason_for_not_booting_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("NUMAWISE_VM_KERNEL", str(tmp_path / "none"))
    reason = guest.why_not()
    assert reason is not None
    assert any(word in reason for word in ("none", "qemu", "vng", "busybox", "x86-64"))
