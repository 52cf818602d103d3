"""What `numawise run -- true` costs more than `python -c pass`, beside numactl, measured in turn in one run.

    python benchmarks/run_overhead.py [--rounds 40]

Prints wall and CPU milliseconds as median and quartiles, and the difference round by round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

RANK = ("env", "LOCAL_RANK=0", "LOCAL_WORLD_SIZE=1")  # as torchrun says it


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    script = Path(sys.executable).with_name("numawise")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "numawise run -- true": [str(script), "run", "--", "true"],
        "numawise run --node 0 -- true": [str(script), "run", "--node", "0", "--", "true"],
        "numawise run --per rank -- true": [*RANK, str(script), "run", "--per", "rank", "--", "true"],
    }
    if shutil.which("numactl"):
        commands["numactl -N 0 -m 0 true"] = ["numactl", "-N", "0", "-m", "0", "true"]
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            measured = once(command)
            if number:  # the first round warms the page cache
                seen[name].append(measured)
    base = seen["python -c pass"]
    print(f"{'':32}{'wall ms':>22}{'more than pass':>24}{'CPU ms':>10}")
    for name, values in seen.items():
        wall = [w * 1e3 for w, _ in values]
        more = [(w - b) * 1e3 for (w, _), (b, _) in zip(values, base, strict=True)]
        cpu = statistics.median(c * 1e3 for _, c in values)
        print(f"{name:32}{spread(wall):>22}{spread(more):>24}{cpu:>10.1f}")


def once(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one process, started the cheapest way there is."""
    silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(shutil.which(command[0]) or command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"{command} failed with status {status}")
    return wall, usage.ru_utime + usage.ru_stime


def spread(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} [{low:.1f}-{high:.1f}]"


if __name__ == "__main__":
    main()
