"""What a worker measured, what all of them measured together, and how it is printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from numawise.workloads.moe.layer import OPERATIONS, Cost
from numawise.workloads.moe.timing import Pass


class Measured(msgspec.Struct, frozen=True):
    """What one worker measured."""

    tokens: int
    passes: tuple[Pass, ...]
    costs: dict[str, Cost]
    threads: int
    """That it was told, or took by itself."""
    computing_threads: int
    """That an operation is computed with, and that the read bandwidth was measured with."""
    checksum: float
    setup_seconds: float
    read_gb_per_s: float | None = None
    limit_note: str = ""
    """Why there is no `read_gb_per_s`."""


class Operation(msgspec.Struct, frozen=True):
    """One operation of the pass. The time is that of the slowest worker, the work that of all of them."""

    name: str
    ms: float
    gflops: float
    gb_per_s: float


class Result(msgspec.Struct, frozen=True):
    """The JSON line. Keys are only ever added."""

    workload: str
    engine: str
    method: str
    layout: str
    dtype: str
    scale: float
    hidden: int
    intermediate: int
    experts: int
    top: int
    seed: int
    weights_mib: float
    """Of one worker."""
    tokens: int
    """Of this process and its workers."""
    workers: int
    threads: int
    """Of each worker."""
    repeats: int
    """Passes of the worker that made the fewest."""
    seconds: float
    """Median time of a forward pass; of the slowest worker, since the batch is done when all are."""
    seconds_min: float
    seconds_max: float
    setup_seconds: float
    """Creating the weights and one pass that is not counted."""
    tokens_per_s: float
    gflops: float
    """GFLOP/s of what was computed."""
    gb_per_s: float
    """10**9 bytes a second, each array counted once a pass."""
    read_gb_per_s: float | None
    """What the threads that compute read from the same weights doing nothing else; null with --no-limit."""
    share_of_read: float | None
    """gb_per_s / read_gb_per_s. Over 1 when caches hold part of the weights between operations."""
    checksum: float
    operations: tuple[Operation, ...]
    computing_threads: int
    """Of each worker: fewer than `threads` where the method uses only one."""


def together(measured: Sequence[Measured], about: dict[str, object]) -> Result:
    """All workers' measurements as one; `about` holds the fields that only repeat what was asked for."""
    seconds = [statistics.median(p.seconds for p in m.passes) for m in measured]
    slowest = max(seconds)
    flops = sum(cost.flops for m in measured for cost in m.costs.values())
    moved = sum(cost.bytes for m in measured for cost in m.costs.values())
    limits = [m.read_gb_per_s for m in measured]
    limit = sum(value for value in limits if value is not None) if None not in limits else None
    tokens = sum(m.tokens for m in measured)
    fields = about | {
        "tokens": tokens,
        "workers": len(measured),
        "threads": measured[0].threads,
        "repeats": min(len(m.passes) for m in measured),
        "seconds": slowest,
        "seconds_min": max(min(p.seconds for p in m.passes) for m in measured),
        "seconds_max": max(max(p.seconds for p in m.passes) for m in measured),
        "setup_seconds": max(m.setup_seconds for m in measured),
        "tokens_per_s": tokens / slowest,
        "gflops": flops / slowest / 1e9,
        "gb_per_s": moved / slowest / 1e9,
        "read_gb_per_s": limit,
        "share_of_read": moved / slowest / 1e9 / limit if limit else None,
        "checksum": sum(m.checksum for m in measured),
        "operations": tuple(_operation(name, measured) for name in OPERATIONS),
        "computing_threads": measured[0].computing_threads,
    }
    return msgspec.convert(fields, Result)


def table(result: Result, notes: Sequence[str]) -> str:
    """The measurement for people."""
    of_read = "" if result.share_of_read is None else "  of read"
    lines = [
        f"{result.engine} {result.method}, {result.layout} {result.dtype} weights of "
        f"{result.weights_mib:.0f} MiB "
        f"({result.experts} experts, top {result.top}, hidden {result.hidden}, "
        f"intermediate {result.intermediate})",
        f"{result.tokens} tokens, {result.workers} worker(s) x {result.threads} thread(s), "
        f"{result.repeats} passes{' or more each' if result.workers > 1 else ''}",
        "",
        f"{'operation':<12}{'ms':>10}{'GFLOP/s':>10}{'GB/s':>8}{of_read}",
    ]
    rows = [(o.name, o.ms, o.gflops, o.gb_per_s) for o in result.operations]
    rows.append(("forward", result.seconds * 1e3, result.gflops, result.gb_per_s))
    for name, ms, gflops, rate in rows:
        share = "" if result.read_gb_per_s is None else f"{rate / result.read_gb_per_s:>9.0%}"
        lines.append(f"{name:<12}{ms:>10.3f}{gflops:>10.2f}{rate:>8.2f}{share}")
    if result.read_gb_per_s is not None:
        lines += [
            "",
            f"{result.workers * result.computing_threads} thread(s), those that compute, read these weights at "
            f"{result.read_gb_per_s:.1f} GB/s, doing nothing else",
        ]
    return "\n".join([*lines, *notes])


def _operation(name: str, measured: Sequence[Measured]) -> Operation:
    seconds = max(statistics.median(p.operations.get(name, 0.0) for p in m.passes) for m in measured)
    flops = sum(m.costs[name].flops for m in measured)
    moved = sum(m.costs[name].bytes for m in measured)
    least = max(seconds, 1e-9)  # an operation can be shorter than the clock's tick
    return Operation(name=name, ms=seconds * 1e3, gflops=flops / least / 1e9, gb_per_s=moved / least / 1e9)
