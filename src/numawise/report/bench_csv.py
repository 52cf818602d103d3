"""The further columns of a bench's table: the arm's axis and reference, and what its program said of itself."""

from __future__ import annotations

from numawise.experiment.records import Candidate, Trial

_FIGURES = ("gflops", "gb_per_s", "read_gb_per_s", "share_of_read", "tokens_per_s", "held_mib")
_OPERATIONS = ("router", "gate", "up", "activation", "down", "combine")
COLUMNS = (
    *("block", "axis", "against", "arguments"),
    *_FIGURES,
    *(f"{name}_{unit}" for name in _OPERATIONS for unit in ("ms", "gflops", "gb_per_s")),
)
"""After those of every study (`csv.COLUMNS`). `block` counts from 0, the warm-up."""


def cells(trial: Trial, candidate: Candidate | None, block: int) -> list[object]:
    """The cells of one trial; empty where nothing is known."""
    about: list[object] = ["", "", ""]
    if candidate is not None:
        about = [candidate.axis, candidate.against, " ".join(candidate.arguments)]
    figures = [trial.figures.get(key, "") for key in _FIGURES]
    operations = [
        trial.figures.get(f"operations.{name}.{unit}", "")
        for name in _OPERATIONS
        for unit in ("ms", "gflops", "gb_per_s")
    ]
    return [block, *about, *figures, *operations]
