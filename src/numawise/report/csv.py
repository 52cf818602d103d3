"""Every trial as one row, for spreadsheets and data frames. Columns are added at the end, never moved."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from numawise.experiment.bench.results import blocks_of
from numawise.experiment.records import Candidate, Study, Trial
from numawise.linux.files import write_file
from numawise.report import bench_csv

COLUMNS = (
    "study",
    "number",
    "phase",
    "candidate",
    "status",
    "value",
    "seconds",
    "started",
    "exit_code",
    "policy",
    "workers",
    "threads",
    "smt",
    "thp",
    "residency",
    "sampled_pages",
    "cpus_used",
    "notes",
    "tail",
    "on_target",
    "dram_j",
    "energy_j",
)
"""`residency` reads `0:0.75 1:0.25` (node:share), `on_target` is the share of pages that are where the
placement wants them, `started` is Unix time, `energy_j` joules of all packages, `dram_j` of their memory; empty means
not known."""


def render(study: Study, trials: Sequence[Trial]) -> str:
    """The table with its header, RFC 4180 but for plain newlines."""
    by_name = {candidate.name: candidate for candidate in study.candidates}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if study.kind == "bench":
        writer.writerow((*COLUMNS, *bench_csv.COLUMNS))
        for block, members in enumerate(blocks_of(trials)):
            for trial in members.values():
                arm = by_name.get(trial.candidate)
                writer.writerow([*_row(study, trial, arm), *bench_csv.cells(trial, arm, block)])
        return text.getvalue()
    writer.writerow(COLUMNS)
    for trial in trials:
        writer.writerow(_row(study, trial, by_name.get(trial.candidate)))
    return text.getvalue()


def write(path: Path, study: Study, trials: Sequence[Trial]) -> Path:
    """Write the table to `path`, whole or not at all. Raises NumawiseError when it cannot be written."""
    write_file(path, render(study, trials).encode("utf-8", "replace"))
    return path


def _row(study: Study, trial: Trial, candidate: Candidate | None) -> list[object]:
    facts: list[object] = [""] * 5
    if candidate is not None:
        smt = "yes" if candidate.smt else "no"
        facts = [candidate.policy, _known(candidate.workers), _known(candidate.threads), smt, candidate.thp]
    return [
        study.id,
        trial.number,
        trial.phase,
        trial.candidate,
        trial.status,
        _known(trial.value),
        trial.seconds,
        repr(trial.started),
        trial.exit_code,
        *facts,
        " ".join(f"{node}:{share:.4f}" for node, share in sorted(trial.residency.items())),
        trial.sampled_pages,
        trial.cpus_used,
        "; ".join(trial.notes),
        trial.tail.replace("\0", ""),
        _known(trial.on_target),
        _known(trial.dram_j),
        _known(trial.energy_j),
    ]


def _known(value: float | None) -> object:
    return "" if value is None else value
