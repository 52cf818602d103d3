"""Several processes seen as one: a program and all that it started."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from numawise.errors import UsageError
from numawise.linux import procfs
from numawise.linux.nodes import read_cpu_nodes
from numawise.linux.pagemap import PAGE
from numawise.observe.errors import ProcessGone
from numawise.observe.exact import exact_residency
from numawise.observe.interval import share_of
from numawise.observe.process import process_residency
from numawise.observe.values import NodeShare, Residency


def tree(pid: int) -> list[int]:
    """A process (0: this one) and all its living descendants, itself first, parents before children.

    What was adopted by another process (its parent ended first) is not found. Raises ProcessGone.
    """
    pid = pid or os.getpid()
    if not procfs.is_alive(pid):
        raise ProcessGone(f"process {pid} does not exist or has ended; check the process id")
    return [pid, *procfs.descendants(pid)]


def residency_of_pids(
    pids: Iterable[int],
    *,
    pages: int = 1000,
    seed: int | None = None,
    exact: bool = False,
    cpu_nodes: Mapping[int, int] | None = None,
) -> Residency:
    """Where the memory of several processes is, taken together (`merge`), `pages` looked at in each.

    Processes that end meanwhile are left out; ProcessGone when none is left. Raises as `residency` does.
    """
    nodes = read_cpu_nodes() if cpu_nodes is None else cpu_nodes
    seen: list[Residency] = []
    gone: ProcessGone | None = None
    for pid in pids:
        try:
            seen.append(
                exact_residency(pid, cpu_nodes=nodes)
                if exact
                else process_residency(pid, pages=pages, seed=seed, cpu_nodes=nodes)
            )
        except ProcessGone as error:
            gone = error
    if not seen and gone is not None:
        raise gone
    return merge(seen)


def merge(seen: Sequence[Residency]) -> Residency:
    """Several processes as one, each weighing by its resident memory; `pid` is the first one's.

    Memory that processes share counts in each of them, as it does in their resident sizes. The intervals
    take the processes as strata of equal spread, which makes them too wide rather than too narrow.

    Raises UsageError for an empty sequence.
    """
    if not seen:
        raise UsageError("no process to look at; name at least one")
    if len(seen) == 1:
        return seen[0]
    every, size = _merged(
        [(_weight(r.rss_kib, r.sampled_pages), r.residency, r.effective_pages) for r in seen]
    )
    some, some_size = _merged(
        [
            (_weight(r.anonymous_kib, r.anonymous_pages), r.anonymous, r.anonymous_effective_pages)
            for r in seen
        ]
    )
    return Residency(
        pid=seen[0].pid,
        rss_kib=sum(r.rss_kib for r in seen),
        residency=every,
        sampled_pages=sum(r.sampled_pages for r in seen),
        unmapped_pages=sum(r.unmapped_pages for r in seen),
        threads=tuple(place for r in seen for place in r.threads),
        anonymous=some,
        anonymous_kib=sum(r.anonymous_kib for r in seen),
        anonymous_pages=sum(r.anonymous_pages for r in seen),
        effective_pages=size,
        anonymous_effective_pages=some_size,
    )


def _weight(kib: int, pages: int) -> int:
    # The kernel's count of a small process may lag behind on a machine with hundreds of CPUs.
    return max(kib, pages * PAGE // 1024)


def _merged(
    parts: Sequence[tuple[int, dict[int, NodeShare], float | None]],
) -> tuple[dict[int, NodeShare], float | None]:
    looked_at = [part for part in parts if part[1]]
    total = sum(weight for weight, _, _ in looked_at)
    if not looked_at:
        return {}, 0.0
    # Variance of a stratified share (Cochran, 5.3), with one p(1 - p) for all strata: its largest value, as
    # it is concave in p.
    variance = sum((weight / total) ** 2 / size for weight, _, size in looked_at if size is not None)
    size = 1 / variance if variance else None
    nodes = sorted({node for _, shares, _ in looked_at for node in shares})
    share = {
        node: sum(weight * shares[node].share for weight, shares, _ in looked_at if node in shares) / total
        for node in nodes
    }
    return {node: share_of(value, size) for node, value in share.items()}, size
