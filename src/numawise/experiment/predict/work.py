"""What a program does, as far as placement can change its time."""

from __future__ import annotations

from typing import Literal

import msgspec

from numawise.errors import UsageError
from numawise.experiment.predict.machine import Machine

FirstTouch = Literal["own", "one", "spread", "near"]
"""Who touches the pages first, where the policy leaves it to that: `own`, each thread those it uses; `one`, a single
loader; `spread`, whoever happens to, so that they lie on all nodes its threads run on, beside nobody; `near`, every
page is beside whoever uses it, as with a copy on each node."""
_WAITING_SHARE = 0.1
"""Of busy time, believed to go into waiting for single loads where only a run was seen. Prior."""
POSSIBLE: tuple[FirstTouch, ...] = ("own", "one", "spread")
"""Those that a program of which nothing is known may have."""


class Work(msgspec.Struct, frozen=True):
    """One unit of work (a pass, a token, a batch), all processes and threads together."""

    gigabytes: float = 0.0
    """10**9 bytes to and from memory, beyond the caches."""
    core_s: float = 0.0
    """Seconds one core computes."""
    loads: float = 0.0
    """10**9 loads that wait for each other."""
    device_s: float = 0.0
    """Seconds of copies to and from a device next to the memory."""
    fixed_s: float = 0.0
    """Seconds that no placement changes: a GPU computes, a disk reads."""
    serial: float = 0.05
    """Share of it that one thread of each worker does alone (Amdahl)."""
    first_touch: FirstTouch | None = None
    """None: not known, and the error says so."""
    footprint_kib: int = 0
    """Memory of each process; 0: small against a node."""
    threads: int | None = None
    """Of each worker where the placement does not say; None: one for each CPU."""
    device_node: int | Literal["own"] | None = None
    """Where the device is; `own`: each process has one, beside the first node of its CPUs."""
    sigma: float = 0.3
    """Standard deviation of the log of each of the shares above."""
    serial_sigma: float = 0.7


def from_shares(
    machine: Machine,
    *,
    bandwidth: float = 0.0,
    compute: float = 0.0,
    latency: float = 0.0,
    device: float = 0.0,
    fixed: float = 0.0,
    cores: int | None = None,
    **rest: object,
) -> Work:
    """A work whose parallel part takes a second on one node with all memory near, divided as said.

    Args:
        machine: the shares are of its time.
        bandwidth: share of the second that the node's memory is saturated.
        compute: share that its cores compute.
        latency: share that they wait for dependent loads.
        device: share that copies to or from a device take.
        fixed: share that no placement changes.
        cores: of the node that take part; None: all of them.
        rest: further fields of `Work`.

    Raises UsageError for a share below 0, or when there is none.
    """
    shares = (bandwidth, compute, latency, device, fixed)
    if min(shares) < 0 or not sum(shares) > 0:
        raise UsageError("the shares of a work must be 0 or more, and one of them above 0")
    drawn, used = _one_node(machine, cores)
    fields = {
        "gigabytes": bandwidth * drawn,
        "core_s": compute * used,
        "loads": latency * used / _own_wait(machine),
        "device_s": device,
        "fixed_s": fixed,
        **rest,
    }
    return msgspec.convert(fields, Work)


def from_roofline(
    machine: Machine,
    *,
    gigabytes: float,
    gflop: float,
    latency_bound: float = 0.0,
    threads: int | None = None,
) -> Work:
    """A work of so many bytes (10**9) and operations (10**9), which overlap, and of waiting for single loads.

    `latency_bound` is the share of its time on one node, all memory near, that goes into such waiting. Operations
    are computed at the machine's rate for a core. Raises UsageError for a share that is not from 0 to 1.
    """
    if not 0 <= latency_bound < 1:
        raise UsageError(f"a share of {latency_bound:g} of the time is none: give one from 0 to 1")
    drawn, used = _one_node(machine, threads)
    core_s = gflop / machine.gflops_per_core
    streamed = max(gigabytes / drawn, core_s / used)
    loads = latency_bound / (1 - latency_bound) * streamed * used / _own_wait(machine)
    return Work(gigabytes=gigabytes, core_s=core_s, loads=loads, threads=threads)


def with_copies(work: Work, machine: Machine, share: float, node: int) -> Work:
    """`work` with copies to and from a device beside `node`, taking that share of its time on one node."""
    drawn, used = _one_node(machine, work.threads)
    rest = (
        max(work.gigabytes / drawn, work.core_s / used)
        + work.loads * _own_wait(machine) / used
        + work.fixed_s
    )
    return msgspec.structs.replace(work, device_s=share / (1 - share) * rest, device_node=node)


def _one_node(machine: Machine, cores: int | None) -> tuple[float, int]:
    """GB/s that so many cores (None: all) of the first node draw from its memory, and how many that are."""
    node = min(machine.gb_per_s)
    own = machine.topology.node(node)
    there = sum(bool(core & own.cpus) for core in machine.topology.smt_siblings) or len(own.cpus)
    used = max(1, min(cores or there, there))
    width = machine.gb_per_s[node].get(node) or max(machine.gb_per_s[node].values())
    return min(width, machine.core_gb_per_s * used), used


def _own_wait(machine: Machine) -> float:
    row = machine.latency_ns[min(machine.latency_ns)]
    return min(row.values())


def from_run(
    machine: Machine,
    *,
    seconds: float,
    busy: float,
    cpus: int,
    idle: float | None = None,
    gigabytes: float | None = None,
    footprint_kib: int = 0,
    first_touch: FirstTouch | None = None,
) -> Work:
    """What a short run of the program shows, under the placement it has today.

    Args:
        machine: where it ran.
        seconds: of one unit of work.
        busy: CPUs that were busy on average, from its CPU time over its wall time.
        cpus: CPUs it could have used.
        idle: how many of them had nothing to do meanwhile, on average; None: not known, nobody else used them. A
            program that used less than one CPU while none was idle did not wait, it was kept waiting.
        gigabytes: what it moved, where the program says so (10**9 bytes); otherwise half of its CPU time is believed to
            be waiting for memory, give or take a lot.
        footprint_kib: the most memory it held.
        first_touch: as in `Work`.

    Idle CPUs are taken as Amdahl's: busy = 1 / (serial + (1 - serial) / threads).
    """
    active = min(max(busy, 0.05), cpus)
    waiting = min(max(0.0, 1.0 - active), 1.0 if idle is None else idle) * seconds
    threads = max(1, cpus)
    serial = 0.0
    if threads > 1:
        serial = min(max((1 / max(active, 1.0) - 1 / threads) / (1 - 1 / threads), 0.0), 1.0)
    on_cpu = (seconds - waiting) * max(active, 1.0)
    moved = gigabytes if gigabytes is not None else 0.5 * on_cpu * machine.core_gb_per_s
    # What is not spent moving bytes at a core's best rate is spent on the rest.
    left = on_cpu - min(moved / machine.core_gb_per_s, on_cpu)
    if left > on_cpu / 2:
        left = on_cpu  # bytes that arrive while it computes cost nothing
    return Work(
        gigabytes=moved,
        core_s=left * (1 - _WAITING_SHARE),
        loads=on_cpu * _WAITING_SHARE / _own_wait(machine),
        fixed_s=waiting,
        serial=serial,
        first_touch=first_touch,
        footprint_kib=footprint_kib,
        sigma=0.2 if gigabytes is not None else 0.7,
        serial_sigma=0.3,
    )


def unknown(machine: Machine) -> Work:
    """A program of which nothing is known: some of everything, with an error to match."""
    return from_shares(machine, bandwidth=0.5, compute=0.3, latency=0.2, sigma=0.7)
