"""The classic numactl and numastat beside ours, for tests on this machine and in the virtual one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
REPORT = (sys.executable, "-S", "-E", str(PROGRAMS / "policy_report.py"))
REAL = {name: shutil.which(name) for name in ("numactl", "numastat")}
OLD_NOISE = re.compile(r"^Token \w+ not in hash table\.\n", re.MULTILINE)


def ours(tool: str, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `numawise numactl WORDS` (or numastat)."""
    return _run([sys.executable, "-m", "numawise", tool, *words], **options)


def forked(
    tool: str, *words: str, before: Callable[[], object] = lambda: None
) -> subprocess.CompletedProcess[str]:
    """The same in a fork of this interpreter: starting another takes seconds under emulation.

    `before` is called in the child, before the tool is.
    """
    from numawise.cli import numactl, numastat

    main = {"numactl": numactl.main, "numastat": numastat.main}[tool]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
                before()
                code = main(words)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(words, code, *texts)


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
    'MemFree     #.#    #.#'
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
