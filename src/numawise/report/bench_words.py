"""What a bench says, as words and rows: one source for its terminal table, its page and its JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from numawise.experiment.bench.advice import Advice, advice, amount
from numawise.experiment.bench.results import Arm, arms
from numawise.experiment.bench.run import SAME_WORK
from numawise.experiment.bench.scenarios import memories, selection
from numawise.experiment.records import Outcome, Study, Trial, Verdict
from numawise.experiment.sequential import first_look
from numawise.linux.cpuset import CPUSet, format_list
from numawise.report import words
from numawise.report.energy import ArmEnergy, arm_energies, why_unavailable

_SETTINGS = ("memory policy inherited", "NUMA balancing", "THP defrag", "zone reclaim", "frequency governor")
VERDICTS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "inconclusive": "not decided",
    "not-delivered": "NOT DELIVERED",
}


class Row(msgspec.Struct, frozen=True):
    """One arm as the tables show it; texts are empty where nothing is known."""

    arm: Arm
    median: str
    change: str
    """Against its reference, in words; the sign is of what was measured."""
    verdict: str
    gflops: str
    gb_per_s: str
    of_read: str
    energy: str
    per_joule: str
    pages: str


class Group(msgspec.Struct, frozen=True):
    """The arms of one axis that are judged against the same."""

    title: str
    rows: tuple[Row, ...]


class Operations(msgspec.Struct, frozen=True):
    """What each operation of the layer took with one method, under the default placement."""

    method: str
    rows: tuple[tuple[str, float, float, float, float | None], ...]
    """Name, ms, GFLOP/s, GB/s, share of the read bandwidth; the whole pass last."""
    about: str


class Report(msgspec.Struct, frozen=True):
    """Everything a bench has to say."""

    say: words.Words
    groups: tuple[Group, ...]
    operations: tuple[Operations, ...]
    advice: tuple[Advice, ...]
    settings: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    energy_why: str
    """Why there are no joules; empty when there are."""


def report(study: Study, trials: Sequence[Trial], outcome: Outcome | None) -> Report:
    """Gather it; `outcome` None: of a run that is not finished, as far as it went."""
    found = arms(study, trials, outcome)
    energies = {each.name: each for each in arm_energies(study, trials)}
    said = advice(study, trials, outcome)
    design = study.bench
    left_out = {**(design.left_out if design else {}), **(outcome.left_out if outcome else {})}
    return Report(
        say=_words(study, trials, outcome, found),
        groups=tuple(_groups(study, found, energies)),
        operations=tuple(_operations(study, found)),
        advice=said,
        settings=settings(study),
        left_out=tuple(left_out.items()),
        failed=tuple(outcome.failed.items()) if outcome else (),
        notes=tuple(sorted({note for trial in trials for note in trial.notes})),
        energy_why=why_unavailable(study, trials),
    )


def incomplete(study: Study, outcome: Outcome | None) -> bool:
    """Is anything missing that was meant to be there?"""
    permitted = study.bench is None or not any(
        "not allowed" in why or "is allowed here" in why for why in study.bench.left_out.values()
    )
    return outcome is None or bool(outcome.failed or outcome.left_out) or not permitted


def value_text(value: float, study: Study) -> str:
    """A measured value with its unit: the built-in suite's in milliseconds."""
    if study.bench is not None and study.bench.built_in:
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
    return words.value_text(value, study)


def change(verdict: Verdict, study: Study, other: str = "") -> str:
    """How much against the reference, with its interval, in words."""
    timed = not study.metric or (study.bench is not None and study.bench.built_in)
    return amount(verdict, other, timed=timed)


def settings(study: Study) -> tuple[tuple[str, str], ...]:
    """The NUMA settings in force when it began, for people."""
    topology = study.topology
    nodes = [
        f"{node.id}: {f'CPUs {node.cpus}' if node.cpus else 'no CPUs'}, {node.memory_kib / 2**20:.4g} GiB {node.kind}"
        for node in topology.nodes
    ]
    rows = [("nodes", "; ".join(nodes))]
    if topology.distances and len(topology.nodes) > 1:
        rows.append(("distances", distance_text(topology.distances)))
    rows.append(
        ("allowed", f"CPUs {topology.allowed.cpus}; memory of nodes {format_list(topology.allowed.nodes)}")
    )
    rows += [(name, study.settings[name]) for name in _SETTINGS if name in study.settings]
    rows.append(("transparent huge pages", topology.transparent_huge_pages or "none in this kernel"))
    rows += [(name, value) for name, value in study.settings.items() if name not in (*_SETTINGS, "energy")]
    return tuple(rows)


def distance_text(distances: dict[int, dict[int, int]]) -> str:
    """The SLIT matrix in a line: each node's row.

    >>> distance_text({0: {0: 10, 1: 21}, 1: {0: 21, 1: 10}})
    'node 0: 10 21; node 1: 21 10'
    """
    return "; ".join(
        f"node {node}: {' '.join(str(far) for _, far in sorted(row.items()))}"
        for node, row in sorted(distances.items())
    )


def level_text(study: Study, outcome: Outcome | None) -> str:
    """How the level is shared, in a sentence."""
    compared = len(outcome.verdicts) if outcome else 0
    if outcome is None or not compared or outcome.alpha_per_arm is None:
        return ""
    return (
        f"{compared} comparison{'s' if compared > 1 else ''} share alpha {study.alpha:g}: "
        f"{outcome.alpha_per_arm:.2g} each, first looked at after {first_look(outcome.alpha_per_arm)} blocks"
    )


def _words(
    study: Study, trials: Sequence[Trial], outcome: Outcome | None, found: Sequence[Arm]
) -> words.Words:
    if outcome is None:
        detail = f"{len(trials)} trials so far. The same command with --resume goes on from here."
        return words.Words("Not finished", "", detail, "open")
    placed = [
        arm
        for arm in found
        if arm.axis in SAME_WORK and arm.against == study.default and arm.verdict is not None
    ]
    kinds = {arm.verdict.kind for arm in placed if arm.verdict}
    field = f"{len(found)} arms in {outcome.trials} trials"
    if outcome.best != study.default:
        best = next(candidate for candidate in study.candidates if candidate.name == outcome.best)
        figure = f"{change(outcome.verdict, study, study.default)}, {outcome.verdict.pairs} blocks"
        options = selection(best)
        return words.Words(
            f"Run it like this: {options}", figure, f"{outcome.best}, of {field}.", "good", subject=options
        )
    if not placed:
        one = len(memories(study.topology)) < 2
        headline = (
            "One node of memory: no other placement to try" if one else "No other placement was compared"
        )
        return words.Words(headline, "", f"{field}.", "same" if one else "open")
    if kinds <= {"equivalent", "worse"}:
        detail = f"Of {len(placed)} other placements none is better than {study.default}; {field}."
        return words.Words("Leave it as it is", "", detail, "same")
    undecided = sum(arm.verdict.kind == "inconclusive" for arm in placed if arm.verdict)
    detail = f"Against {study.default}, {undecided} of {len(placed)} could not be decided; {field}."
    return words.Words("Nothing was shown better", "", detail, "open")


def _groups(study: Study, found: Sequence[Arm], energies: dict[str, ArmEnergy]) -> list[Group]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for arm in found:
        groups.setdefault((arm.axis, arm.against), []).append(_row(arm, study, energies.get(arm.name)))
    titles = {"": "What the others are judged against", "dtype": "Type of the weights"}
    return [
        Group(
            f"{titles.get(axis) or axis.capitalize()}{f', against {against}' if against else ''}", tuple(rows)
        )
        for (axis, against), rows in groups.items()
    ]


def _row(arm: Arm, study: Study, energy: ArmEnergy | None) -> Row:
    figures = arm.figures

    def text(key: str, form: str) -> str:
        return format(figures[key], form) if key in figures else ""

    tokens = figures.get("tokens", 0.0) * figures.get("repeats", 0.0)
    done = tokens if study.bench is not None and study.bench.built_in else 1.0
    verdict = arm.verdict
    return Row(
        arm=arm,
        median="" if arm.value is None else value_text(arm.value, study),
        change="" if verdict is None or verdict.kind == "not-delivered" else change(verdict, study),
        verdict=(arm.why and "left out") if verdict is None else VERDICTS[verdict.kind],
        gflops=text("gflops", ".1f"),
        gb_per_s=text("gb_per_s", ".1f"),
        of_read=text("share_of_read", ".0%"),
        energy=f"{energy.energy_j:.3g}" if energy else "",
        per_joule=f"{done / energy.energy_j:.3g}" if energy and done else "",
        pages=", ".join(f"node {node} {share:.0%}" for node, share in arm.residency.items()),
    )


def _operations(study: Study, found: Sequence[Arm]) -> list[Operations]:
    tables = []
    for arm in found:
        if arm.name != study.default and arm.axis != "method":
            continue
        names = [
            key.split(".")[1] for key in arm.figures if key.startswith("operations.") and key.endswith(".ms")
        ]
        limit = arm.figures.get("read_gb_per_s")
        rows = []
        for name in names:
            ms, gflops, rate = (
                arm.figures[f"operations.{name}.{unit}"] for unit in ("ms", "gflops", "gb_per_s")
            )
            rows.append((name, ms, gflops, rate, rate / limit if limit else None))
        if not rows or arm.value is None:
            continue
        figures = arm.figures
        share = figures.get("share_of_read")
        rows.append(("whole pass", arm.value * 1e3, figures["gflops"], figures["gb_per_s"], share))
        tables.append(Operations(arm.name, tuple(rows), _about(figures)))
    return tables


def _about(figures: dict[str, float]) -> str:
    limit = figures.get("read_gb_per_s")
    parts = [
        f"{figures['tokens']:.0f} token{'s' if figures['tokens'] != 1 else ''}, "
        f"{figures['weights_mib']:.0f} MiB of weights, {figures['computing_threads']:.0f} computing "
        f"thread{'s' if figures['computing_threads'] != 1 else ''}"
    ]
    if limit:
        parts.append(f"which read {limit:.1f} GB/s doing nothing else")
    return ", ".join(parts)


def cpus_seen(trials: Sequence[Trial], name: str) -> CPUSet:
    """The CPUs on which threads of an arm were seen."""
    return CPUSet(cpu for trial in trials if trial.candidate == name for cpu in trial.cpus_used)
