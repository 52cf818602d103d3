"""Experts of a Mixtral-like layer (8 experts, top 2; gate, up and down projections with SiLU) on CPUs.

Run it as `python -m numawise.workloads.moe_einsum`. It prints the time, GFLOP/s and GB/s of each operation,
and one JSON line at the end (`moe/result.py`, `Result`). docs/workloads.md says what the options mean.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numawise.errors import NumawiseError
from numawise.workloads.moe.layer import Layer, share_out
from numawise.workloads.registry import Workload

if TYPE_CHECKING:
    import argparse

    from numawise.workloads.moe.result import Measured
    from numawise.workloads.moe.workers import Meet

WORKLOAD = Workload(
    name="moe_einsum",
    summary="Experts of a Mixtral-like layer with NumPy einsum, 130 MiB of weights a worker",
    module="numawise.workloads.moe_einsum",
    arguments=(
        *("--threads", "{threads}", "--workers", "{workers}"),
        *("--rank", "{rank}", "--ranks", "{ranks}", "--no-limit"),
    ),
    metric="json:seconds",
    memory_per_worker_mib=256,
)

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ITEMSIZE = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_LIMIT_SECONDS = 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the workload; returns the exit code (0 done, 2 wrong usage, 4 it broke, 130 interrupted)."""
    options = _parse(argv)
    if options.threads is not None:
        # Read when the BLAS and OpenMP libraries are loaded, that is at the imports further down.
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(options.threads)))
    try:
        _report(options)
        sys.stdout.flush()
    except NumawiseError as error:
        print(f"moe_einsum: {error}", file=sys.stderr)
        return error.exit_code
    except MemoryError as error:
        print(f"moe_einsum: out of memory: {error}; use a smaller --scale or fewer --tokens", file=sys.stderr)
        return 4
    except BrokenPipeError:
        # Nobody reads on (`| head`): say nothing more, not even from the interpreter's own flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 4
    except KeyboardInterrupt:
        return 130
    return 0


def _report(options: argparse.Namespace) -> None:
    from numawise.workloads.moe.workers import run_workers

    layer = Layer.scaled(options.scale)
    parts = share_out(options.tokens, options.ranks * options.workers)
    mine = [part for part in parts[options.rank * options.workers :][: options.workers] if part]

    def work(worker: int, meet: Meet) -> Measured:
        return _measure(options, layer, mine[worker], meet)

    measured = run_workers(len(mine), work)

    import msgspec

    from numawise.workloads.moe.result import table, together

    itemsize = _ITEMSIZE[options.dtype]
    about: dict[str, object] = {
        "workload": WORKLOAD.name,
        **{name: getattr(options, name) for name in ("engine", "method", "layout", "dtype", "scale", "seed")},
        **msgspec.structs.asdict(layer),
        "weights_mib": layer.weights * itemsize / 2**20,
    }
    result = together(measured, about)
    notes = [m.limit_note for m in measured[:1] if m.limit_note]
    if len(mine) < options.workers:
        notes.append(f"{len(mine)} of {options.workers} workers started: there are no tokens for the others")
    print(table(result, notes))
    print(msgspec.json.encode(result).decode())


def _measure(options: argparse.Namespace, layer: Layer, tokens: range, meet: Meet) -> Measured:
    """One worker's part: create the weights, warm up, run the passes beside the others, read the limit."""
    from numawise.workloads.moe.layer import costs
    from numawise.workloads.moe.result import Measured
    from numawise.workloads.moe.storage import read_limit
    from numawise.workloads.moe.timing import time_passes

    started = time.perf_counter()
    engine = _engine(options)(
        layer,
        options.tokens,
        tokens,
        dtype=options.dtype,
        layout=options.layout,
        method=options.method,
        seed=options.seed,
    )
    checksum = engine.checksum(engine.forward(lambda _: None))
    pairs, experts = engine.work()
    setup_seconds = time.perf_counter() - started
    meet()
    passes = time_passes(engine.forward, options.repeat, options.seconds)
    meet()
    limit, note = None, ""
    if options.limit:
        try:
            limit = read_limit(engine.block, engine.computing_threads(), _LIMIT_SECONDS)
        except NumawiseError as error:
            note = f"no read bandwidth to compare with: {error}"
    return Measured(
        tokens=len(tokens),
        passes=tuple(passes),
        costs=costs(layer, len(tokens), pairs=pairs, experts=experts, itemsize=_ITEMSIZE[options.dtype]),
        threads=engine.threads(),
        computing_threads=engine.computing_threads(),
        checksum=checksum,
        setup_seconds=setup_seconds,
        read_gb_per_s=limit,
        limit_note=note,
    )


def _engine(options: argparse.Namespace) -> Any:
    if options.engine == "numpy":
        from numawise.workloads.moe.numpy_engine import NumPyEngine

        return NumPyEngine
    from numawise.workloads.moe.torch_engine import TorchEngine, set_threads

    if options.threads is not None:
        set_threads(options.threads)
    return TorchEngine


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m numawise.workloads.moe_einsum",
        description="Experts of a Mixtral-like layer on CPUs: time, GFLOP/s and GB/s of each operation.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--engine", choices=("numpy", "torch"), default="numpy", help="default: numpy")
    add(
        "--method",
        choices=("einsum", "optimized", "chosen"),
        default="einsum",
        help="einsum over all experts; the same with NumPy's optimize=True (BLAS); or a matrix product for "
        "each chosen expert only (default: einsum)",
    )
    add(
        "--scale",
        type=_number(0.0, 64.0),
        default=0.35,
        help="of hidden 2048 and intermediate 5632 (default 0.35)",
    )
    add("--tokens", type=_count(1 << 20), default=16, help="in the batch, shared by all workers (default 16)")
    add("--layout", choices=("contiguous", "non-contiguous"), default="contiguous", help="of the weights")
    add("--dtype", choices=tuple(_ITEMSIZE), default="float32", help="default: float32")
    add("--threads", type=_count(4096), help="of each worker (default: as the environment says)")
    add(
        "--workers",
        type=_count(4096),
        default=1,
        help="processes to start, each with its own weights (default 1)",
    )
    add(
        "--rank",
        type=_count(4095, least=0),
        default=0,
        help="which of --ranks such programs this is (default 0)",
    )
    add("--ranks", type=_count(4096), default=1, help="programs like this that share the batch (default 1)")
    add("--repeat", type=_count(1_000_000), default=3, help="passes to make at least (default 3)")
    add("--seconds", type=_number(-1.0, 86400.0), default=0.3, help="to go on for at least (default 0.3)")
    add("--seed", type=_count(2**63, least=0), default=0, help="of weights and tokens (default 0)")
    add(
        "--no-limit", dest="limit", action="store_false", help="do not measure read bandwidth to compare with"
    )
    options = parser.parse_args(argv)
    problem = _problem(options)
    if problem:
        parser.error(problem)
    return options


def _problem(options: argparse.Namespace) -> str:
    """What cannot be meant in options that are fine one by one, or nothing."""
    if options.engine == "torch":
        from importlib.util import find_spec

        if find_spec("torch") is None:
            return "--engine torch needs PyTorch: pip install 'numawise[torch]', or use --engine numpy"
        if options.method == "optimized":
            return "--method optimized is for NumPy; torch.einsum calls BLAS anyway: use --method einsum"
    elif options.dtype in ("bfloat16", "float16"):
        return f"NumPy has no fast {options.dtype}: use --dtype float32 or --engine torch"
    if options.rank >= options.ranks:
        return f"--rank {options.rank} is not one of --ranks {options.ranks}, which count from 0"
    if options.tokens < options.ranks:
        return f"--tokens {options.tokens} leaves some of --ranks {options.ranks} without work"
    layer, itemsize = Layer.scaled(options.scale), _ITEMSIZE[options.dtype]
    tokens = -(-options.tokens // (options.ranks * options.workers))
    inner = tokens * layer.experts * (4 * layer.intermediate + layer.hidden)
    needed = min(options.workers, options.tokens) * itemsize * (layer.weights + inner)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        return (
            f"this needs {needed / 2**30:.1f} GiB and the machine has {there / 2**30:.1f}: use a smaller "
            "--scale, fewer --tokens or fewer --workers"
        )
    return ""


def _count(most: int, least: int = 1) -> Callable[[str], int]:
    def count(text: str) -> int:
        import argparse

        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return count


def _number(above: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        import argparse

        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not above < value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {max(above, 0):g} to {most:g}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
