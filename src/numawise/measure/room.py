"""How much memory may be taken for measuring: never so much that a node, or a control group, runs dry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from numawise.errors import NumawiseError
from numawise.linux.memory_limit import room_kib

SHARE = 0.5
"""Of what is available; the other half is for everybody else. BIND past a node's capacity is an OOM kill."""
RESERVE_KIB = 64 * 1024
"""Left on each node in any case, for what the kernel itself needs there."""


class NoRoom(NumawiseError):  # noqa: N818 - reads as what happened
    """There is not enough free memory where it is needed."""


class Room(NamedTuple):
    """KiB that may be taken on each node, and by the process in all (None: no limit is known)."""

    nodes: dict[int, int]
    limit_kib: int | None

    def most_kib(self, nodes: Iterable[int]) -> int:
        """The largest buffer that may be spread evenly over these nodes."""
        wanted = list(nodes)
        least = min((self.nodes.get(node, 0) for node in wanted), default=0) * len(wanted)
        return least if self.limit_kib is None else min(least, self.limit_kib)


def look() -> Room:
    """What is free now."""
    # Read anew each time: what was free when the machine was read is history after the first buffer.
    from numawise.machine import read

    limit = room_kib()
    return Room(
        nodes={
            node.id: max(0, round((node.available_kib - RESERVE_KIB) * SHARE))
            for node in read(devices=False).nodes
        },
        limit_kib=None if limit is None else round(limit * SHARE),
    )


def fit(wanted_kib: int, floor_kib: int, nodes: Iterable[int], room: Room) -> int:
    """`wanted_kib`, or as much of it as there is room for. Raises NoRoom when that is less than `floor_kib`.

    >>> fit(1024, 64, [0, 1], Room({0: 4096, 1: 256}, None))
    512
    """
    nodes = tuple(nodes)
    most = room.most_kib(nodes)
    if most < min(floor_kib, wanted_kib):
        where = "node " + ", ".join(map(str, nodes))
        limited = room.limit_kib is not None and room.limit_kib <= most
        what = "the memory limit of the control group leaves" if limited else f"{where} leaves"
        raise NoRoom(
            f"no room: {what} {most >> 10} MiB to measure in (half of what is free), and {floor_kib >> 10} MiB is the "
            "least; free some memory there"
        )
    return min(wanted_kib, most)
