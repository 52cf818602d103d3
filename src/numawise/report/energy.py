"""Joules beside the times: what each candidate's runs used, against the default's; or why that is not known.

The figures are of whole packages, whoever else used them, and they explore: the verdict rests on what the study was
judged by.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec

from numawise.experiment.metric import PACKAGE_ENERGY
from numawise.experiment.records import Study, Trial
from numawise.observe.energy import UNAVAILABLE
from numawise.report import words
from numawise.report.estimates import effects, measured


class ArmEnergy(msgspec.Struct, frozen=True):
    """The energy of one candidate's runs, of those that worked and of which it is known."""

    name: str
    runs: int
    energy_j: float
    """Median over the runs, of all packages together."""
    dram_j: float | None
    """Median; None where memory is not counted apart."""
    ratio: float | None
    """Over the default's, from the same runs and by the same fit as that of the times; None without a default."""
    low: float | None
    high: float | None
    """95% interval of `ratio`; None when nothing was run twice."""
    value_per_w: float | None = None
    """For a metric to maximize: the value over the mean power of its run, median. Of a rate, such as tokens a second,
    that is work a joule, taken over the whole run, its start included."""

    @property
    def runs_per_j(self) -> float:
        """How many runs a joule pays for."""
        return 1 / self.energy_j


def arm_energies(study: Study, trials: Sequence[Trial]) -> tuple[ArmEnergy, ...]:
    """Every candidate of which some run's energy is known, the thriftiest first."""
    known = [trial for trial in measured(trials) if trial.energy_j]
    as_values = [msgspec.structs.replace(trial, value=trial.energy_j) for trial in known]
    of_energy = msgspec.structs.replace(study, metric=PACKAGE_ENERGY, maximize=False)
    found = []
    for effect in effects(of_energy, as_values):
        own = [trial for trial in known if trial.candidate == effect.name]
        if effect.median is not None:
            found.append(
                ArmEnergy(
                    name=effect.name,
                    runs=effect.runs,
                    energy_j=effect.median,
                    dram_j=_median([trial.dram_j for trial in own]),
                    ratio=effect.ratio,
                    low=effect.low,
                    high=effect.high,
                    value_per_w=_median([_per_watt(t) for t in own]) if study.maximize else None,
                )
            )
    return tuple(found)


def why_unavailable(study: Study, trials: Sequence[Trial]) -> str:
    """Why no trial has a figure; empty when one has, or when there was none."""
    if not trials or any(trial.energy_j is not None for trial in trials):
        return ""
    noted = study.settings.get("energy", "")
    if noted.startswith(UNAVAILABLE):
        return noted.removeprefix(UNAVAILABLE)
    if noted:
        return "the counters answered when the run began, and in none of its trials"
    return "it was not looked for when this run was made"


def caption(study: Study) -> str:
    """What the figures are of, and what they do not say."""
    counted = study.settings.get("energy", "")
    source = f" ({counted})" if counted and not counted.startswith(UNAVAILABLE) else ""
    verdict = (
        "the verdict is on it, this table explores"
        if study.metric == PACKAGE_ENERGY
        else f"it explores, the verdict is on {words.metric_name(study)}"
    )
    return f"energy of the whole packages, whoever else used them{source}; {verdict}"


def header(study: Study, found: Sequence[ArmEnergy]) -> tuple[str, ...]:
    """The names of the columns that `cells` fills."""
    more = []
    if any(arm.value_per_w is not None for arm in found):
        more.append(f"{words.metric_name(study)} per W")
    if any(arm.dram_j is not None for arm in found):
        more.append("memory, J")
    return ("J a run", "change", "runs/J", "runs", *more)


def cells(arm: ArmEnergy, found: Sequence[ArmEnergy]) -> tuple[str, ...]:
    """One arm's row, without its name."""
    change = "" if arm.ratio is None else words.relative(arm.ratio)
    if arm.low is not None and arm.high is not None:
        change += f" ({words.relative(arm.low)} to {words.relative(arm.high)})"
    more = []
    if any(one.value_per_w is not None for one in found):
        more.append("" if arm.value_per_w is None else _short(arm.value_per_w))
    if any(one.dram_j is not None for one in found):
        more.append("" if arm.dram_j is None else _short(arm.dram_j))
    return (_short(arm.energy_j), change, _short(arm.runs_per_j), str(arm.runs), *more)


def energy_json(study: Study, trials: Sequence[Trial]) -> dict[str, Any]:
    """What `--json` says of energy: where it is from, or why there is none, and each candidate's."""
    why = why_unavailable(study, trials)
    noted = study.settings.get("energy", "")
    source, _, counted = ("", "", "") if noted.startswith(UNAVAILABLE) or why else noted.partition(": ")
    return {
        "source": source or None,
        "counted": counted.split(", ") if counted else [],
        "unavailable": why or None,
        "arms": [
            {**msgspec.to_builtins(arm), "runs_per_j": arm.runs_per_j} for arm in arm_energies(study, trials)
        ],
    }


def _per_watt(trial: Trial) -> float | None:
    if not trial.value or not trial.energy_j:
        return None
    return trial.value * trial.seconds / trial.energy_j


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
