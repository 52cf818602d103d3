"""`numactl --show`: the memory policy and affinity that a program started from here would have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from numawise.cli.classic.complaint import refused
from numawise.cli.classic.policies import allowed_nodes
from numawise.linux import syscalls
from numawise.linux.nodes import read_cpu_nodes
from numawise.linux.procfs import read_text

_WEIGHTS = "/sys/kernel/mm/mempolicy/weighted_interleave"


def lines() -> Iterator[str]:
    """The lines of `--show`. Raises Complaint when the kernel refuses to tell."""
    try:
        mode, nodes = syscalls.get_mempolicy()
        balancing = bool(syscalls.mempolicy_flags() & syscalls.MPOL_F_NUMA_BALANCING)
        following = syscalls.next_interleave_node() if mode.endswith("interleave") else None
    except OSError as error:
        raise refused("reading this process's memory policy", error) from None
    yield f"policy: {mode}{' (numa balancing)' if balancing else ''}"
    yield f"preferred node: {_preferred(mode, nodes, following)}"
    if following is not None:
        yield f"interleavemask: {_spaced(nodes)}"
        if mode == "weighted-interleave":
            yield f"interleaveweights: {_spaced(_weights(nodes))}"
        yield f"interleavenode: {following}"
    cpus = os.sched_getaffinity(0)
    of = read_cpu_nodes()
    near = _spaced(sorted({of[cpu] for cpu in cpus if cpu in of}))
    yield f"physcpubind: {_spaced(sorted(cpus))}"
    yield f"cpubind: {near}"
    yield f"nodebind: {near}"
    yield f"membind: {_spaced(nodes if mode == 'bind' else allowed_nodes())}"
    yield f"preferred: {_spaced(nodes)}"


def _preferred(mode: str, nodes: tuple[int, ...], following: int | None) -> str:
    if following is not None:
        return f"{following} (interleave next)"
    if not nodes:
        return "current"
    return f"{nodes[0]} (preferred-many)" if mode == "preferred-many" else str(nodes[0])


def _weights(nodes: Iterable[int]) -> Iterator[str]:
    for node in nodes:
        try:
            yield read_text(f"{_WEIGHTS}/node{node}").strip()
        except OSError:
            yield "?"


def _spaced(values: Iterable[object]) -> str:
    """Each with a blank after it, the last one too: what scripts have been reading for twenty years."""
    return "".join(f"{value} " for value in values)
