"""Did the placement take effect? Looks at the processes of a launch while they live; the best look counts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from numawise.errors import NumawiseError
from numawise.launch.process import Process
from numawise.linux import procfs
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Topology
from numawise.observe.errors import ProcessGone
from numawise.observe.processes import residency_of_pids, tree
from numawise.observe.values import NodeShare, Residency, ThreadPlace
from numawise.placement.values import MemoryPolicy, Placement


class Proof(msgspec.Struct, frozen=True):
    """Where the pages and threads of one process (and all it started) were, against where they should be."""

    rank: int
    pid: int
    rss_kib: int
    anonymous_kib: int
    """Of it, the memory that the placement governs; `residency` and `on_target` speak of this alone."""
    residency: dict[int, NodeShare]
    """Of anonymous and shared memory, not of the page cache of files."""
    sampled_pages: int
    wanted_nodes: tuple[int, ...]
    """Nodes the pages should be on; empty when the placement asks for none."""
    on_target: NodeShare | None
    """Share of pages where the policy wants them; for interleave, 1 less the distance from an even split."""
    threads: tuple[ThreadPlace, ...] = ()
    cpus_used: CPUSet = CPUSet()
    threads_outside: int = 0
    """Threads whose affinity reaches beyond the placement's CPUs."""


def wanted_nodes(placement: Placement, topology: Topology) -> tuple[int, ...]:
    """The nodes a placement's pages should be on; empty when it leaves that open."""
    if placement.memory.nodes:
        return placement.memory.nodes
    if placement.memory.mode == "local":
        return tuple(n.id for n in topology.nodes if n.cpus & placement.cpus)
    return ()


class Watcher:
    """Collects looks: hand `look` to `launch.supervise`, read `proofs` afterwards.

    The look that saw the most memory counts: early ones see a program that has not begun, late ones one that
    tidies up.
    """

    def __init__(self, topology: Topology, pages: int = 1000) -> None:
        self._topology, self._pages = topology, pages
        self._best: dict[int, Proof] = {}
        self._cpus: dict[int, set[int]] = {}
        self.refused: str = ""
        """Why nothing could be seen, when the system does not permit looking."""

    @property
    def proofs(self) -> dict[int, Proof]:
        """The best look at each rank."""
        return {
            rank: msgspec.structs.replace(proof, cpus_used=CPUSet(self._cpus.get(rank, ())))
            for rank, proof in sorted(self._best.items())
        }

    def look(self, processes: Sequence[Process]) -> None:
        """Look at each process and its descendants once; one that has just ended is passed over."""
        if not procfs.shows_us():
            self.refused = "/proc is not of this PID namespace; with unshare, add --mount-proc"
            return
        for process in processes:
            try:
                seen = residency_of_pids(tree(process.pid), pages=self._pages)
            except ProcessGone:
                continue
            except (NumawiseError, OSError) as error:
                # Whatever keeps us from looking is told, and must never touch the program that is looked at.
                self.refused = str(error)
                continue
            self._note(process, seen)

    def _note(self, process: Process, seen: Residency) -> None:
        placement = process.placement
        self._cpus.setdefault(placement.rank, set()).update(t.cpu for t in seen.threads if t.cpu is not None)
        best = self._best.get(placement.rank)
        if best is not None and (seen.rss_kib < best.rss_kib or seen.sampled_pages == 0):
            return
        nodes = wanted_nodes(placement, self._topology)
        self._best[placement.rank] = Proof(
            rank=placement.rank,
            pid=process.pid,
            rss_kib=seen.rss_kib,
            anonymous_kib=seen.anonymous_kib,
            residency=seen.anonymous,
            sampled_pages=seen.anonymous_pages,
            wanted_nodes=nodes,
            on_target=on_target(placement.memory, nodes, seen),
            threads=seen.threads,
            threads_outside=sum(1 for t in seen.threads if t.allowed - placement.cpus),
        )


def on_target(policy: MemoryPolicy, nodes: Sequence[int], seen: Residency) -> NodeShare | None:
    """The share of the memory that the placement controls that is where `policy` wants it: on `nodes`.

    None when nothing is asked for, or nothing was seen.
    """
    if not nodes or not seen.anonymous:
        return None
    if policy.mode != "interleave":
        return seen.on(nodes, anonymous=True)
    # What lies on a node beyond its even part should be on another: 1 less the total variation distance.
    fair = 1 / len(nodes)
    parts = [seen.on([node], anonymous=True) for node in nodes]
    share, low, high = (
        min(1.0, sum(min(getattr(part, end), fair) for part in parts)) for end in ("share", "low", "high")
    )
    return NodeShare(share, low, high)
