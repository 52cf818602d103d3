"""The detailed log of a bench: a line for each trial as it ended, with what was measured and where it really ran."""

from __future__ import annotations

import time

from numawise.experiment.records import Study, Trial
from numawise.report import words
from numawise.report.bench_words import settings


def heading(study: Study, now: float) -> str:
    """What was run, where and how; `now` is Unix time."""
    lines = [
        f"numawise {study.numawise_version} bench, run {study.id}, {_clock(now)}",
        f"command: {words.clean(words.command_text(study))}",
        f"seed {study.seed}, alpha {study.alpha:g}, delta {study.delta:g}, metric {words.metric_text(study)}",
        *(f"{name}: {value}" for name, value in settings(study)),
    ]
    for candidate in study.candidates:
        against = f", against {candidate.against}" if candidate.against else ""
        arguments = f"; adds {' '.join(candidate.arguments)}" if candidate.arguments else ""
        lines.append(f"arm {candidate.name}: {words.placement_text(candidate)}{arguments}{against}")
    lines += [
        f"left out {name}: {why}" for name, why in (study.bench.left_out if study.bench else {}).items()
    ]
    return "".join(f"# {words.clean(line)}\n" for line in lines)


def line(trial: Trial) -> str:
    """One trial; what is not known is not in it."""
    parts = [
        _clock(trial.started),
        f"trial {trial.number}",
        trial.candidate,
        trial.status,
        f"value {trial.value:.6g}" if trial.value is not None else "",
        f"wall {trial.seconds:.3f} s",
        "pages " + " ".join(f"{node}:{share:.1%}" for node, share in trial.residency.items())
        if trial.residency
        else "",
        f"on target {trial.on_target:.1%}" if trial.on_target is not None else "",
        f"{trial.sampled_pages} pages sampled" if trial.sampled_pages else "",
        f"CPUs {trial.cpus_used}" if trial.cpus_used else "",
        f"energy {trial.energy_j:.4g} J" if trial.energy_j is not None else "",
        *(f"{key} {value:.5g}" for key, value in trial.figures.items()),
        *(f"note: {note}" for note in trial.notes),
        " / ".join(trial.tail.split("\n")) if trial.tail else "",
    ]
    return words.clean("; ".join(part for part in parts if part)).replace("\n", " ") + "\n"


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
