"""`bind_rank`: put the process that calls it where its rank belongs, by what torchrun, srun, mpirun or Ray told it."""

from __future__ import annotations

from numawise.launch.inside.place import as_started, place, tell
from numawise.launch.inside.values import Bound
from numawise.machine import read


def bind_rank(*, strict: bool = False, move: bool = True) -> Bound:
    """Put this process next to its rank's GPU, or at its part of the cores: what `numawise run --per rank` does.

    Every local rank comes to the same shares by itself; what the launcher has bound already is kept.

    Args:
        strict: as for `bind`.
        move: as for `bind`.

    Raises as `bind` does; UsageError also where no launcher started this process.
    """
    with as_started():
        from numawise.launch.ranks import this_rank

        topology = read("/", devices=False)
        rank, made = this_rank(topology)
        asked = f"rank={rank.local_rank} ({rank.launcher})"
        bound = place(asked, made.placements[0], topology, strict=strict, move=move, notes=made.notes)
    return tell(bound)
