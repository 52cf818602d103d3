"""What `numawise run --gpu 0 -- true` costs more than `python -c pass` and than `numawise run -- true`, in turn.

    python benchmarks/gpu_overhead.py [--rounds 40]

Needs no GPU: mounts a made-up NVIDIA GPU under its own process tree (root, or CAP_SYS_ADMIN), and a stand-in for
NVIDIA's library, which answers at once: what a real NVML takes to start comes on top.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import gpu_boxes  # type: ignore[import-not-found]
from run_overhead import once, spread

ADDRESS = "0000:17:00.0"
INSIDE = "NUMAWISE_BENCHMARK_INSIDE"


def main() -> None:
    """Start over on the machine with the GPU, or measure there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    if INSIDE in os.environ:
        measure(rounds)
        return
    reason = gpu_boxes.why_not()
    if reason:
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gpu_boxes.device(folder, ADDRESS, 0)
        gpu_boxes.driver(folder, ADDRESS, "GPU-proc", 0)
        told = {
            "LD_LIBRARY_PATH": str(gpu_boxes.library(folder)),
            "NVML_SAYS": f"{ADDRESS[:-2]} GPU-nvml 1",
            INSIDE: "1",
        }
        done = gpu_boxes.run(folder, [sys.executable, *sys.argv], {**os.environ, **told}, timeout=600)
    print(done.stdout + done.stderr, end="")
    raise SystemExit(done.returncode)


def measure(rounds: int) -> None:
    """Each command in turn, `rounds` times after one to warm up."""
    script = str(Path(sys.executable).with_name("numawise"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "numawise run -- true": [script, "run", "--", "true"],
        "numawise run --gpu 0 -- true": [script, "run", "--gpu", "0", "--", "true"],
    }
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            measured = once(command)
            if number:
                seen[name].append(measured)
    base = seen["python -c pass"]
    print(f"{'':32}{'wall ms':>22}{'more than pass':>24}{'CPU ms':>24}{'more CPU':>24}")
    for name, values in seen.items():
        more = [((w - x) * 1e3, (c - d) * 1e3) for (w, c), (x, d) in zip(values, base, strict=True)]
        columns = (
            [w * 1e3 for w, _ in values],
            [w for w, _ in more],
            [c * 1e3 for _, c in values],
            [c for _, c in more],
        )
        print(f"{name:32}{spread(columns[0]):>22}" + "".join(f"{spread(c):>24}" for c in columns[1:]))


if __name__ == "__main__":
    main()
