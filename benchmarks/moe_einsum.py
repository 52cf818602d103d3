"""Times the built-in workload over engines, methods, layouts and tokens, and prints one table.

    python benchmarks/moe_einsum.py [--scale 0.35] [--seconds 0.5]

Shows which way of writing the same layer is limited by memory ("of read" near 100%) and which by something
else. Computing with as many threads as CPUs needs them to be idle: what else runs shows in the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import subprocess
import sys

TOKENS = (1, 4, 16, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="0.35")
    parser.add_argument("--seconds", default="0.5", help="of passes for each row")
    options = parser.parse_args()
    ways = [("numpy", "einsum"), ("numpy", "optimized"), ("numpy", "chosen")]
    if importlib.util.find_spec("torch"):
        ways += [("torch", "einsum"), ("torch", "chosen")]
    print("engine  method     layout          tokens        ms   best ms  GFLOP/s  of read")
    for (engine, method), layout, tokens in itertools.product(ways, ("contiguous", "non-contiguous"), TOKENS):
        what = ("--engine", engine, "--method", method, "--layout", layout, "--tokens", str(tokens))
        size = ("--scale", options.scale, "--seconds", options.seconds)
        done = subprocess.run(
            [sys.executable, "-m", "numawise.workloads.moe_einsum", *what, *size],
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        median, best, share = found["seconds"] * 1e3, found["seconds_min"] * 1e3, found["share_of_read"]
        print(
            f"{engine:<8}{method:<11}{layout:<16}{tokens:>6}{median:>10.2f}{best:>10.2f}"
            f"{found['gflops']:>9.1f}{'-' if share is None else f'{share:.0%}':>9}",
            flush=True,
        )


if __name__ == "__main__":
    main()
