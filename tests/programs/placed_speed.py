"""A program whose speed depends on where the kernel put it: emulation has no remote latency of its own.

    python -S -E placed_speed.py [--mib N] [--base S] [--penalty X] [--home NODE] [--indifferent]

It touches N MiB, then works in four steps. Before each it asks the kernel for the nodes of its pages and of
its CPU, and waits base/4 seconds, times 1 + penalty * (share of its pages that are remote from its CPU). With
`--home`, pages and CPU are judged against that node instead, half each, as in a program that feeds a device
there. `--indifferent` waits the same wherever it is. Prints `seconds=...` (the steps alone, not the start of
Python) and what it saw.
"""

from __future__ import annotations

import mmap
import sys
import time

import kernel

STEPS = 4


def main(arguments: list[str]) -> None:
    length = int(option(arguments, "--mib", "32")) << 20
    base = float(option(arguments, "--base", "0.3"))
    penalty = 0.0 if "--indifferent" in arguments else float(option(arguments, "--penalty", "1"))
    home = option(arguments, "--home", "")
    area = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = kernel.address_of(area)
    kernel.touch(address, length)
    pages = list(range(address, address + length, 16 * kernel.PAGE))
    began = until = time.perf_counter()
    for _ in range(STEPS):
        remote = remoteness(pages, int(home) if home else None)
        # To a moment, not for a while: what looking and waking took does not add up to noise.
        until += base / STEPS * (1 + penalty * remote)
        time.sleep(max(0.0, until - time.perf_counter()))
    seconds = time.perf_counter() - began
    cpu, node = kernel.cpu_and_node()
    print(f"cpu={cpu} node={node} remote={remote:.3f}")
    print(f"seconds={seconds:.6f}")


def remoteness(pages: list[int], home: int | None) -> float:
    """From 0, everything near, to 1, everything far."""
    cpu_node = kernel.cpu_and_node()[1]
    centre = cpu_node if home is None else home
    far = sum(node != centre for node in kernel.nodes_of_pages(pages)) / len(pages)
    return far if home is None else (far + (cpu_node != home)) / 2


def option(arguments: list[str], name: str, default: str) -> str:
    return arguments[arguments.index(name) + 1] if name in arguments else default


if __name__ == "__main__":
    main(sys.argv[1:])
