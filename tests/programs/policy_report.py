"""Print what numactl decides of a process: its memory policy with flags and nodes, its CPUs, its mappings' policies.

    python tests/programs/policy_report.py

Standard library only, raw system calls, no code shared with numawise.
"""

from __future__ import annotations

import ctypes
import os

NUMBER = {"x86_64": 239, "aarch64": 236}[os.uname().machine]  # get_mempolicy
WORDS = 16


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    mode, mask = ctypes.c_int(), (ctypes.c_ulong * WORDS)()
    bits = ctypes.c_ulong(64 * WORDS + 1)
    zero = ctypes.c_ulong(0)
    if libc.syscall(ctypes.c_long(NUMBER), ctypes.byref(mode), mask, bits, zero, zero) < 0:
        print("mode", os.strerror(ctypes.get_errno()))
    nodes = [bit for bit in range(64 * WORDS) if mask[bit // 64] >> bit % 64 & 1]
    with open("/proc/self/numa_maps", encoding="utf-8") as maps:
        policies = sorted({line.split()[1] for line in maps})
    print("mode", hex(mode.value), "nodes", nodes, "cpus", sorted(os.sched_getaffinity(0)), "maps", policies)


if __name__ == "__main__":
    main()
