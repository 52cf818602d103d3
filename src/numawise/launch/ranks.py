"""Which rank this process is, by the variables that its launcher set, whichever launcher that was.

- `launchers`: one file a launcher
- `Rank`, `read_rank`: who this process is among those of its launch
- `placement_of_rank`, `this_rank`: where it belongs (see `rank_places` and `rank_binding`)
"""

from __future__ import annotations

from collections.abc import Mapping

from numawise.errors import UsageError
from numawise.launch.launchers import LOOSE, Rank, modules

__all__ = ["Rank", "read_rank"]


def read_rank(environ: Mapping[str, str]) -> Rank | None:
    """This process's rank; None when no launcher's variables are there.

    Where launchers are nested (torchrun inside of a Slurm step) the innermost started this process. Raises UsageError
    for variables that contradict each other, naming them.

    >>> read_rank({"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}).local_rank
    1
    """
    innermost: Rank | None = None
    level = LOOSE
    for launcher in modules():
        found: Rank | None = launcher.read(environ)
        if found is None:
            continue
        _check(found)
        if innermost is None:
            innermost, level = found, launcher.LEVEL
        elif launcher.LEVEL in (level, LOOSE) and found.variables.keys() != innermost.variables.keys():
            _check_same(innermost, found)
    return innermost


def _check(rank: Rank) -> None:
    """Raise UsageError when a rank is none of those that there are."""
    for number, of, what in (
        (rank.local_rank, rank.local_world, "ranks on this machine"),
        (rank.rank, rank.world, "ranks"),
    ):
        if number is not None and of is not None and number >= of:
            raise UsageError(f"{_said(rank)} contradict: rank {number} of {of} {what}, which count from 0")
    if rank.local_world is not None and rank.world is not None and rank.local_world > rank.world:
        raise UsageError(f"{_said(rank)} contradict: {rank.local_world} ranks here, {rank.world} in all")


def _check_same(first: Rank, second: Rank) -> None:
    """Raise UsageError when two launchers, neither started by the other, do not say the same."""
    differ = [
        (mine, its)
        for mine, its in (
            (first.local_rank, second.local_rank),
            (first.local_world, second.local_world),
            (first.rank, second.rank),
        )
        if mine is not None and its is not None and mine != its
    ]
    if differ:
        raise UsageError(
            f"{first.launcher} ({_said(first)}) and {second.launcher} ({_said(second)}) contradict each other; "
            "unset the variables of the one that did not start this process"
        )


def _said(rank: Rank) -> str:
    return " ".join(f"{name}={value}" for name, value in rank.variables.items())
