"""The classic numactl and numastat beside ours, for tests on this machine and in the virtual one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
REPORT = (sys.executable, "-S", "-E", str(PROGRAMS / "policy_report.py"))
REAL = {name: shutil.which(name) for name in ("numactl", "numastat")}
OLD_NOISE = re.compile(r"^Token \w+ not in hash table\.\n", re.MULTILINE)


def ours(tool: str, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `numawise numactl WORDS` (or numastat)."""
    return _run([sys.executable, "-m", "numawise", tool, *words], **options)


def real(tool: str, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the classic tool; what it prints about lines that it does not know is left out."""
    done = _run([REAL[tool] or tool, *words], **options)
    done.stdout = OLD_NOISE.sub("", done.stdout)
    return done


def refuse(*calls: str) -> list[str]:
    """A prefix under which these system calls answer EPERM."""
    return [sys.executable, "-S", "-E", str(PROGRAMS / "refuse.py"), ",".join(calls), "--"]


def without_free(text: str) -> str:
    """The inventory without the figures that move."""
    return re.sub(r"(?<=free: )\d+(?= MB)", "?", text)


def shape(text: str) -> str:
    """A table with every figure made the same, so that only labels, widths and places are left.

    >>> shape("MemFree   12.25   7.50")
    'MemFree       #.#     #.#'
    """
    return re.sub(
        r"(?<= )\d+(\.\d+)?(?=\s|$)",
        lambda found: ("#.#" if found[1] else "#").rjust(len(found[0])),
        text,
        flags=re.MULTILINE,
    )


def _run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    given: dict[str, object] = {"stdin": subprocess.DEVNULL, "timeout": 120, **options}
    return subprocess.run(command, check=False, capture_output=True, text=True, **given)  # type: ignore[call-overload, no-any-return]
