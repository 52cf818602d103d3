"""Joules in the reports: right figures, never one where none is known, and the reason once."""

from __future__ import annotations

import csv as stdlib_csv
import io
import json
import random

import made_up
import msgspec
import pytest

from numawise.experiment.metric import PACKAGE_ENERGY
from numawise.experiment.records import Outcome, Study, Trial
from numawise.report import csv, energy, html, json_forms, terminal

Made = tuple[Study, tuple[Trial, ...], Outcome]

WHY = "the kernel shows no /sys/class/powercap (ENOENT); perf has no power PMU (ENOENT)"
COUNTED = {"energy": "powercap: package-0, package-1, dram"}


def metered(made: Made, thrift: dict[str, float], watts: float = 400.0, **changes: object) -> Made:
    """The study on a machine that counts: its power by candidate, 2% noise, a tenth of it in memory."""
    study, trials, outcome = made
    noise = random.Random(5)
    counted = []
    for trial in trials:
        joules = trial.seconds * watts * thrift.get(trial.candidate, 1.0) * noise.gauss(1, 0.02)
        counted.append(msgspec.structs.replace(trial, energy_j=joules, dram_j=joules / 10))
    return msgspec.structs.replace(study, settings=COUNTED, **changes), tuple(counted), outcome


def printed(made: Made) -> str:
    out = io.StringIO()
    terminal.show(*made, file=out)
    return out.getvalue()


def test_an_arm_that_draws_less_is_shown_to_use_less() -> None:
    study, trials, _ = metered(made_up.compared(), {"--node 1": 0.6})  # 1.19 times as long
    thrifty, dear = energy.arm_energies(study, trials)
    assert (thrifty.name, dear.name) == ("--node 1", "--node 0")
    assert (dear.ratio, dear.low) == (1.0, None)
    assert thrifty.low is not None
    assert thrifty.high is not None
    assert thrifty.low < 0.6 * 1.19 < thrifty.high
    own = sorted(t.energy_j or 0 for t in trials if t.candidate == "--node 1")
    assert thrifty.energy_j == own[7]
    assert thrifty.runs == 15
    assert thrifty.runs_per_j * thrifty.energy_j == pytest.approx(1)
    assert thrifty.dram_j == pytest.approx(thrifty.energy_j / 10)


def test_a_rate_is_also_told_by_the_power_it_took() -> None:
    study, trials, _ = metered(made_up.compared(), {}, watts=200.0)  # 400 tokens a run
    for arm in energy.arm_energies(study, trials):
        assert arm.value_per_w == pytest.approx(400 / arm.energy_j, rel=0.1)
    assert "tokens/s per W" in energy.header(study, energy.arm_energies(study, trials))
    timed = msgspec.structs.replace(study, maximize=False)
    assert [arm.value_per_w for arm in energy.arm_energies(timed, trials)] == [None, None]


def test_the_verdict_stays_with_the_time() -> None:
    made = metered(made_up.compared(), {"--node 1": 0.1})
    form = json_forms.compare_json(*made)
    assert form["verdict"] == "worse", "though it draws a tenth"
    text = printed(made)
    assert (
        "energy of the whole packages, whoever else used them (powercap: package-0, package-1, dram)" in text
    )
    assert "it explores, the verdict is on tokens/s" in text


def test_a_study_judged_by_joules_says_joules() -> None:
    study, trials, outcome = metered(made_up.tuned(), {})
    judged = msgspec.structs.replace(study, metric=PACKAGE_ENERGY)
    as_joules = tuple(msgspec.structs.replace(t, value=t.value and t.energy_j) for t in trials)
    text = printed((judged, as_joules, outcome))
    assert "package energy" in text
    assert " J  " in text
    assert "the verdict is on it, this table explores" in text


def test_json_holds_every_candidate_of_which_it_is_known() -> None:
    study, trials, outcome = metered(made_up.tuned(), {})
    form = json.loads(json.dumps(json_forms.tune_json(study, trials, outcome), allow_nan=False))
    told = form["energy"]
    assert (told["source"], told["unavailable"]) == ("powercap", None)
    assert told["counted"] == ["package-0", "package-1", "dram"]
    assert len(told["arms"]) == 47, "one failed"
    assert {"name", "runs", "energy_j", "dram_j", "ratio", "low", "high", "runs_per_j"} <= told["arms"][
        0
    ].keys()
    for arm in form["verdict"]["arms"]:
        finals = [t.energy_j for t in trials if t.candidate == arm["name"] and t.phase == "final"]
        assert min(finals) < arm["energy_j"] < max(finals)


def test_the_table_of_trials_ends_with_the_joules() -> None:
    study, trials, _ = metered(made_up.compared(), {})
    mixed = (msgspec.structs.replace(trials[0], energy_j=None, dram_j=None), *trials[1:])
    header, *rows = stdlib_csv.reader(io.StringIO(csv.render(study, mixed)))
    assert header[-2:] == ["dram_j", "energy_j"]
    assert rows[0][-2:] == ["", ""]
    for row, trial in zip(rows[1:], mixed[1:], strict=True):
        assert (float(row[-2]), float(row[-1])) == (trial.dram_j, trial.energy_j)


def test_the_page_shows_every_candidate_and_folds_the_many() -> None:
    page = html.render(*metered(made_up.tuned(), {}))
    assert page.count('<h2 id="h-energy">') == 1
    section = page.partition('<h2 id="h-energy">')[2].partition("</section>")[0]
    assert "whoever else used them" in section
    assert section.count("<tr ") == 47 + 2
    assert "31 more candidates" in section


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"energy": f"unavailable: {WHY}"}, WHY),
        ({}, "it was not looked for when this run was made"),
        (COUNTED, "the counters answered when the run began, and in none of its trials"),
    ],
)
def test_what_is_not_known_has_a_reason_once_and_no_figure(settings: dict[str, str], why: str) -> None:
    study, trials, outcome = made_up.compared()
    made = msgspec.structs.replace(study, settings=settings), trials, outcome
    assert energy.arm_energies(*made[:2]) == ()
    text = printed(made)
    assert text.count("energy: unavailable: ") == 1
    assert why in text
    assert " J" not in text.replace(why, "")
    form = json_forms.compare_json(*made)
    assert form["energy"] == {"source": None, "counted": [], "unavailable": why, "arms": []}
    assert [arm["energy_j"] for arm in form["arms"]] == [None, None]
    page = html.render(*made)
    assert "h-energy" not in page
    assert page.count(f"unavailable: {why}") == 1


def test_some_trials_without_joules_leave_the_others() -> None:
    study, trials, outcome = metered(made_up.compared(), {})
    lost = tuple(msgspec.structs.replace(t, energy_j=None) if t.number < 6 else t for t in trials)
    assert [arm.runs for arm in energy.arm_energies(study, lost)] == [12, 12]
    assert "unavailable" not in printed((study, lost, outcome))


def test_one_arm_without_joules_gives_the_other_no_ratio() -> None:
    study, trials, outcome = metered(made_up.compared(), {})
    lost = tuple(
        msgspec.structs.replace(t, energy_j=None) if t.candidate == "--node 0" else t for t in trials
    )
    (arm,) = energy.arm_energies(study, lost)
    assert (arm.name, arm.ratio, arm.low) == ("--node 1", None, None)
    printed((study, lost, outcome))
    html.render(study, lost, outcome)


def test_what_has_not_begun_says_nothing_of_energy() -> None:
    study, _, _ = made_up.compared()
    out = io.StringIO()
    terminal.show(study, (), None, file=out)
    assert "energy" not in out.getvalue()
