"""How long `numawise.machine.read` takes: the live machine, and a made one of 1 024 CPUs.

    python benchmarks/topology_read.py

The promise: under 100 ms for 1 024 CPUs beyond interpreter start.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from numawise.machine import read

machine = importlib.import_module("trees").machine

ROUNDS = 15


def median_ms(root: str) -> float:
    """Median wall time of reading `root`, in ms."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        read(root)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main() -> None:
    """Print one line a case."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = machine(nodes=8, cores_per_node=64, threads=2, l3_cores=8)
        for i in range(200):
            tree.device(f"0000:{i:02x}:00.0", 0x030200 if i % 8 == 0 else 0x060400, 0x10DE, 0x2330, i % 8)
        folder = tree.folder(Path(scratch) / "machine")
        archive = tree.archive(Path(scratch) / "machine.tar.gz")
        print(f"live machine, {len(read().cpus)} CPUs: {median_ms('/'):.1f} ms")
        print(f"1 024 CPUs, 8 nodes, 200 devices, folder: {median_ms(folder):.1f} ms")
        print(f"the same, .tar.gz of {len(tree.files)} files: {median_ms(archive):.1f} ms")


if __name__ == "__main__":
    main()
