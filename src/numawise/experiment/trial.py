"""One trial: the command run once under one candidate, in fresh processes, timed and looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from numawise.experiment.figures import read_figures
from numawise.experiment.metric import PACKAGE_ENERGY, Metric, NoMetricError, read_metric
from numawise.experiment.records import Candidate, Trial
from numawise.launch.output import Kept
from numawise.launch.process import Process
from numawise.launch.supervise import supervise
from numawise.launch.values import LaunchEnd
from numawise.linux.cpuset import CPUSet
from numawise.linux.files import drop_page_cache
from numawise.machine.topology import Topology
from numawise.observe.energy import EnergyMeter
from numawise.observe.proof import Proof, Watcher

TAIL_LINES = 12
# Characters: what has no line ends must not fill the store, nor the line that says what failed.
_TAIL_LINE = 500


class Conditions(msgspec.Struct, frozen=True):
    """What is the same for every trial of a study."""

    command: tuple[str, ...]
    metric: Metric
    topology: Topology
    timeout_s: float | None = None
    cold_files: tuple[str, ...] = ()
    """Files whose page cache is dropped before each trial, so that each reads them under its own policy."""
    env: dict[str, str] = {}
    """Added to the environment of every process."""
    energy_root: str = "/"
    """Under which the energy counters are looked for."""
    figures: bool = False
    """Keep the numbers of the JSON line that the program printed last."""


def run_trial(
    number: int, candidate: Candidate, phase: Literal["race", "final", "pair"], conditions: Conditions
) -> Trial:
    """Run the command under `candidate`.

    Raises KeyboardInterrupt when somebody interrupts it, NumawiseError when it cannot be started at all.
    """
    for path in conditions.cold_files:
        drop_page_cache(path)
    kept, watcher = Kept(), Watcher(conditions.topology)
    meter = EnergyMeter(conditions.energy_root)

    def look(processes: Sequence[Process]) -> None:
        meter.poll()  # in time, so that no counter goes round unseen
        watcher.look(processes)

    began = time.time()
    with meter:
        end = supervise(
            candidate.plan,
            (*conditions.command, *candidate.arguments),
            conditions.topology,
            sink=kept,
            look=look,
            timeout_s=conditions.timeout_s,
            grace_s=2.0,
            env={**os.environ, **conditions.env},
            disposable=True,
        )
    if end.interrupted is not None:
        raise KeyboardInterrupt
    ranks = [placement.rank for placement in candidate.plan.placements]
    outputs = [kept.text(rank, 1) + "\n" + kept.text(rank, 2) for rank in ranks]
    seconds = max(ended.seconds for ended in end.ends)
    status, value, why = _judge(end, outputs, conditions, seconds, meter)
    proofs = tuple(watcher.proofs.values())
    steps = [step for ended in end.ends for step in ended.process.steps]
    if meter.source is not None and meter.energy is None:  # where there is no counter, the study says so once
        steps.append(f"energy not known: {meter.why_unavailable}")
    return Trial(
        number=number,
        candidate=candidate.name,
        phase=phase,
        status=status,
        value=value,
        seconds=seconds,
        started=began,
        exit_code=end.exit_code,
        tail=why,
        residency=_pooled(proofs),
        on_target=_on_target(proofs),
        sampled_pages=sum(proof.sampled_pages for proof in proofs),
        cpus_used=CPUSet(cpu for proof in proofs for cpu in proof.cpus_used),
        notes=tuple(dict.fromkeys(steps)),
        energy_j=meter.energy.package_j if meter.energy else None,
        dram_j=meter.energy.dram_j if meter.energy else None,
        figures=_figures(outputs, proofs) if conditions.figures else {},
    )


def _judge(
    end: LaunchEnd, outputs: Sequence[str], conditions: Conditions, seconds: float, meter: EnergyMeter
) -> tuple[Literal["ok", "failed", "no-metric", "timeout"], float | None, str]:
    lines = [line for text in outputs for line in text.rstrip().splitlines()[-TAIL_LINES:]]
    last = "\n".join(
        line if len(line) <= _TAIL_LINE else f"... {line[-_TAIL_LINE:]}" for line in lines
    ).strip()
    if end.timed_out:
        return "timeout", None, f"stopped after {conditions.timeout_s:g} s\n{last}"
    if end.exit_code:
        return "failed", None, f"exit code {end.exit_code}\n{last}"
    try:
        energy_j = meter.energy.package_j if meter.energy else None
        return "ok", read_metric(conditions.metric, outputs, seconds, energy_j), ""
    except NoMetricError as error:
        why = f": {meter.why_unavailable}" if conditions.metric.text == PACKAGE_ENERGY else ""
        return "no-metric", None, f"{error}{why}\n{last}"


def _figures(outputs: Sequence[str], proofs: Sequence[Proof]) -> dict[str, float]:
    """What the program said of itself, and the most memory that it was seen to hold."""
    held = sum(proof.anonymous_kib for proof in proofs) / 1024
    return {**read_figures(outputs), **({"held_mib": held} if held else {})}


def _pooled(proofs: Sequence[Proof]) -> dict[int, float]:
    """Share of pages on each node over all processes, each weighing as much as it holds."""
    total = sum(proof.anonymous_kib for proof in proofs if proof.residency)
    pooled: dict[int, float] = {}
    for proof in proofs:
        for node, share in proof.residency.items():
            pooled[node] = pooled.get(node, 0.0) + share.share * proof.anonymous_kib / max(total, 1)
    return dict(sorted(pooled.items()))


def _on_target(proofs: Sequence[Proof]) -> float | None:
    asked = [proof for proof in proofs if proof.on_target is not None]
    total = sum(proof.anonymous_kib for proof in asked)
    if not total:
        return None
    return (
        sum(proof.on_target.share * proof.anonymous_kib for proof in asked if proof.on_target is not None)
        / total
    )
