"""Real processes for a test to look at: they run Python code, say `ready`, and end with the test."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEADER = """
import ctypes, mmap, os, sys, threading, time
def area(pages, step=1, kind=mmap.MAP_PRIVATE, thp=False):
    memory = mmap.mmap(-1, pages * 4096, flags=kind | mmap.MAP_ANONYMOUS)
    if kind == mmap.MAP_PRIVATE:
        memory.madvise(14 if thp else 15)
    for page in range(0, pages, step):
        memory[page * 4096] = 1
    return memory
def say(*words):
    print(*words, flush=True)
def stay():
    say('ready')
    sys.stdin.read()
"""


class Child:
    """A running process; `words` is what it said before `ready`."""

    def __init__(self, process: subprocess.Popen[str], words: list[str]) -> None:
        self.pid, self.words, self._process = process.pid, words, process

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def child(code: str, *arguments: str, prefix: tuple[str, ...] = ()) -> Iterator[Child]:
    """Run Python code (with HEADER before it) that calls `stay()` at its end; it is killed on the way out."""
    command = [*prefix, sys.executable, "-S", "-c", HEADER + textwrap.dedent(code), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            words: list[str] = []
            for line in process.stdout:
                if line == "ready\n":
                    break
                words += line.split()
            else:
                raise AssertionError(f"the child ended before it was ready, after saying {words}")
            yield Child(process, words)
        finally:
            process.kill()


REFUSE = str(Path(__file__).parent / "refuse.py")
