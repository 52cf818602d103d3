"""Terminal, table and JSON: the forms that people and scripts rely on."""

from __future__ import annotations

import csv as stdlib_csv
import io
import json
import math
import os
import pty
import subprocess
import sys
from pathlib import Path

import made_up
import msgspec
import pytest

from numawise.experiment.records import Verdict
from numawise.experiment.store import Store
from numawise.report import csv, json_forms, terminal


def test_the_json_of_tune_keeps_its_contract() -> None:
    study, trials, outcome = made_up.tuned()
    form = json.loads(json.dumps(json_forms.tune_json(study, trials, outcome), allow_nan=False))
    assert {"best", "verdict", "trials", "candidates", "profile"} <= form.keys()
    assert (form["trials"], form["candidates"], form["profile"]) == (len(trials), 48, "serve")
    assert form["best"]["cpus"] == "0-15"
    assert form["best"]["memory"] == {"mode": "bind", "nodes": [0]}
    assert [placement["cpus"] for placement in form["best"]["placements"]] == ["0-15", "16-31"]
    verdict = form["verdict"]
    assert verdict["verdict"] == "better"
    assert verdict["low"] < verdict["ratio"] < verdict["high"] < 1
    assert [arm["name"] for arm in verdict["arms"]] == ["default", outcome.winner]
    assert verdict["arms"][0]["residency"] == {"0": 0.71, "1": 0.29}
    assert [trial["number"] for trial in form["history"]] == [trial.number for trial in trials]
    assert form["history"][0]["tail"].endswith("Killed")


def test_the_json_of_compare_keeps_its_contract() -> None:
    study, trials, outcome = made_up.compared()
    form = json.loads(json.dumps(json_forms.compare_json(study, trials, outcome), allow_nan=False))
    assert {"verdict", "ratio", "low", "high", "pairs", "arms"} <= form.keys()
    assert form["verdict"] == "worse"
    assert form["ratio"] > 1
    first, second = form["arms"]
    assert (first["name"], second["name"]) == ("--node 0", "--node 1")
    assert first["median"] > second["median"], "as measured: tokens/s"
    assert second["residency"] == {"0": 0.01, "1": 0.99}


def test_what_is_not_bounded_is_null_in_json() -> None:
    study, trials, outcome = made_up.compared()
    verdict = Verdict("not-delivered", math.nan, 0.0, math.inf, 0, "asked node 1, saw node 0")
    form = json_forms.compare_json(study, trials[:1], msgspec.structs.replace(outcome, verdict=verdict))
    assert (form["ratio"], form["low"], form["high"]) == (None, 0.0, None)
    assert form["arms"][0] == {
        "name": "--node 0",
        "median": None,
        "energy_j": None,
        "residency": {},
    }
    json.dumps(form, allow_nan=False)


def test_every_trial_is_a_row() -> None:
    study, trials, _ = made_up.tuned()
    odd = (msgspec.structs.replace(trials[0], tail='quote " comma , newline\nnul \0 end'), *trials[1:])
    rows = list(stdlib_csv.DictReader(io.StringIO(csv.render(study, odd))))
    assert len(rows) == len(trials)
    assert rows[0]["tail"] == 'quote " comma , newline\nnul  end'
    assert (rows[0]["status"], rows[0]["value"], rows[0]["exit_code"]) == ("failed", "", "137")
    for row, trial in zip(rows[1:], trials[1:], strict=True):
        assert int(row["number"]) == trial.number
        assert float(row["value"]) == trial.value
        assert float(row["started"]) == trial.started
        assert row["candidate"] == trial.candidate
    default = next(row for row in rows if row["candidate"] == "default")
    assert default["residency"] == "0:0.7100 1:0.2900"
    assert default["cpus_used"] == "0-63"


def test_the_columns_stay_where_scripts_expect_them() -> None:
    assert csv.COLUMNS[:9] == (
        "study",
        "number",
        "phase",
        "candidate",
        "status",
        "value",
        "seconds",
        "started",
        "exit_code",
    )


def test_piped_text_is_plain_and_commands_are_in_one_piece() -> None:
    study, trials, outcome = made_up.tuned()
    out = io.StringIO()
    terminal.show(study, trials, outcome, report=Path("r.html"), file=out)
    text = out.getvalue()
    assert "\x1b" not in text
    lines = text.split("\n")
    assert lines[0] == "Run it like this: per-node 2x16 no-smt thp"
    assert lines[1].endswith("11 pairs")
    assert (
        "  numawise run --profile serve -- python serve.py --model mixtral-8x7b --threads '{threads}'"
        in lines
    )
    assert any(line.startswith("default ") for line in lines), "the default is in sight"
    assert "bind:1 4x8 no-smt failed: exit code 137 (killed)" in lines
    assert "  | Killed" in lines
    assert "report: r.html" in lines


def test_output_of_a_failed_program_cannot_steer_the_terminal() -> None:
    study, trials, outcome = made_up.tuned()
    evil = tuple(msgspec.structs.replace(t, tail="\x1b]0;owned\x07\x1b[2Jgone") for t in trials)
    out = io.StringIO()
    terminal.show(study, evil, outcome, file=out)
    assert "  | gone" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_no_trial_at_all_is_still_said() -> None:
    study, _, _ = made_up.tuned()
    out = io.StringIO()
    terminal.show(study, (), None, file=out)
    assert out.getvalue().startswith("Not finished\n0 trials so far")


def test_rich_is_loaded_for_a_terminal_only() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import made_up\nfrom numawise.report import terminal\n"
        "terminal.show(*made_up.compared()); print('rich' in sys.modules)"
    )
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert piped.stdout.endswith("False\n")
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # EIO: the other end is closed, see pty(7)
            pass
        os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[" in shown
    assert shown.endswith(b"True\r\n")


# The command


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("NUMAWISE_HOME", str(folder))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with Store.open() as store:
        for study, trials, outcome in (made_up.tuned(), made_up.compared()):
            store.create(study)
            for trial in trials[:20]:
                store.add_trial(study.id, trial)
            store.finish(study.id, outcome)
        store.create(msgspec.structs.replace(made_up.tuned()[0], id="251001-open", created=1.0))
    return folder


def numawise(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "numawise", *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_report_rebuilds_the_newest_page(home: Path) -> None:
    done = numawise("report")
    assert (done.returncode, done.stderr) == (0, "")
    page = home / "reports" / "251009-120000-77be.html"
    assert done.stdout == f"page: {page}\n"
    assert "--node 1 is worse than --node 0" in page.read_text("utf-8")


def test_report_writes_what_is_asked_for(home: Path, tmp_path: Path) -> None:
    done = numawise(
        "report", "251009-10", "--html", f"{tmp_path}/a.html", "--csv", f"{tmp_path}/a.csv", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"]["verdict"] == "better"
    assert len((tmp_path / "a.csv").read_text().split("\n")) > 20
    assert "Run it like this" in (tmp_path / "a.html").read_text("utf-8")
    assert not (home / "reports").exists()


def test_report_lists_what_is_kept(home: Path) -> None:
    lines = numawise("report", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["251009-120000-77be", "251009-104500-a1f3", "251001-open"]
    assert "not finished" in lines[2]
    assert json.loads(numawise("report", "--list", "--json").stdout)[0]["verdict"] == "worse"


def test_report_of_an_unfinished_run_says_so(home: Path) -> None:
    assert json.loads(numawise("report", "251001", "--json").stdout)["verdict"] is None
    assert numawise("report", "251001").returncode == 0
    assert "Not finished" in (home / "reports" / "251001-open.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        (("report", "nosuch"), 2, "no run 'nosuch' in "),
        (("report", "251009"), 2, "'251009' fits 2 runs: "),
        (("report", "--html", "/proc/x/y.html"), 2, "could not write /proc/x/y.html: "),
    ],
)
def test_what_cannot_be_gets_one_line(home: Path, words: tuple[str, ...], code: int, answer: str) -> None:
    done = numawise(*words)
    assert done.returncode == code
    assert done.stderr.startswith(f"numawise: {answer}")
    assert done.stderr.count("\n") == 1


def test_nothing_kept_yet_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMAWISE_HOME", str(tmp_path))
    done = numawise("report")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "numawise tune makes one" in done.stderr
