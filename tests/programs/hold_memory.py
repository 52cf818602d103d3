"""Hold memory: allocate and touch it, say `ready`, and stay until stdin closes (or for `--seconds S`).

    python tests/programs/hold_memory.py MIB [--split 0=90,1=10 | --interleave 0,1] [--shared] [--huge] ...

`--split` binds the first 90% to node 0 and the rest to node 1; without it the process's own policy decides.
The ready line is `ready PID ADDRESS LENGTH`. Standard library only: this also runs under software emulation.
"""

from __future__ import annotations

import mmap
import os
import sys
import time

import kernel

TRANSPARENT_HUGE, MADV_HUGEPAGE, MADV_NOHUGEPAGE = 2 << 20, 14, 15


def main(arguments: list[str]) -> None:
    length = int(arguments[0]) << 20
    kind = mmap.MAP_SHARED if "--shared" in arguments else mmap.MAP_PRIVATE
    area = mmap.mmap(-1, length, flags=kind | mmap.MAP_ANONYMOUS)
    if kind == mmap.MAP_PRIVATE:
        area.madvise(MADV_HUGEPAGE if "--huge" in arguments else MADV_NOHUGEPAGE)
    address = kernel.address_of(area)
    if "--split" in arguments:
        split(address, length, option(arguments, "--split"))
    elif "--interleave" in arguments:
        nodes = [int(node) for node in option(arguments, "--interleave").split(",")]
        kernel.set_range_policy(address, length, kernel.MPOL_INTERLEAVE, nodes)
    kernel.touch(address, length)
    print("ready", os.getpid(), address, length, flush=True)
    if "--seconds" in arguments:
        time.sleep(float(option(arguments, "--seconds")))
    else:
        sys.stdin.read()


def split(address: int, length: int, text: str) -> None:
    """Bind consecutive parts of the range; boundaries fall on huge pages so that none straddles two nodes."""
    done, percent = 0, 0.0
    for part in text.split(","):
        node, _, share = part.partition("=")
        percent += float(share)
        end = length if percent >= 100 else int(length * percent / 100) // TRANSPARENT_HUGE * TRANSPARENT_HUGE
        kernel.set_range_policy(address + done, end - done, kernel.MPOL_BIND, [int(node)])
        done = end


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


if __name__ == "__main__":
    main(sys.argv[1:])
