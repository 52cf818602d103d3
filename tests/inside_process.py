"""Python programs that bind themselves, each in a process of its own: what they say of it as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REFUSE = (sys.executable, "-S", "-E", str(Path(__file__).parent / "programs/refuse.py"))

HEADER = """
import json, mmap, os, sys, threading, time, warnings
sys.path.insert(0, {tests!r})
from pathlib import Path
import numawise as nw
from programs import numa_maps
def affinities():
    return [sorted(os.sched_getaffinity(int(tid))) for tid in os.listdir('/proc/self/task')]
def say(**words):
    print(json.dumps(words), flush=True)
def value(of):
    from numawise.machine.codec import to_json
    return json.loads(to_json(of))
def waiting(count):
    # Threads that wait, as those of a pool do, until the process ends.
    for _ in range(count):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


def run(
    code: str,
    *,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
    tmp_path: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the code, after HEADER; from a file where it starts processes by spawn, which reads it again."""
    text = HEADER.format(tests=str(Path(__file__).parent)) + textwrap.dedent(code)
    command = [sys.executable, "-c", text]
    if tmp_path is not None:
        program = tmp_path / "program.py"
        program.write_text(text)
        command = [sys.executable, str(program)]
    return subprocess.run(
        [*prefix, *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
    )


def said(code: str, **how: Any) -> dict[str, Any]:
    """All that the program said, put together; it must have ended well."""
    done = run(code, **how)
    assert done.returncode == 0, done.stderr[-3000:]
    words: dict[str, Any] = {"stderr": done.stderr}
    for line in done.stdout.splitlines():
        words.update(json.loads(line))
    return words


def refuse(*calls: str) -> list[str]:
    """A prefix under which these system calls answer EPERM."""
    return [*REFUSE, ",".join(calls), "--"]
