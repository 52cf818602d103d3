"""What a bench looks like: terminal, page, JSON, CSV and log; whole, unfinished, and with hostile words in it."""

from __future__ import annotations

import csv as csv_reader
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import made_up_bench as made_up
import msgspec
import pytest
from html_page import Page
from machines import one_node

from numawise.experiment.records import Candidate, Outcome, Study, Trial
from numawise.machine.codec import to_json
from numawise.report import bench_csv, bench_log, csv, html, json_forms, terminal

QUICK = made_up.carried_out(made_up.study())
OWN = made_up.carried_out(made_up.study(own=True, full=True))
STUDIES: dict[str, tuple[Study, tuple[Trial, ...], Outcome | None]] = {
    "quick": QUICK,
    "full": made_up.carried_out(made_up.study(full=True)),
    "own": OWN,
    "equal": made_up.carried_out(made_up.study(own=True), made_up.nothing_matters),
    "one node": made_up.carried_out(made_up.study(one_node())),
    "rate": made_up.carried_out(made_up.study(own=True, metric="rate: (.*)", maximize=True)),
    "unfinished": (QUICK[0], QUICK[1][:23], None),
    "begun": (QUICK[0], (), None),
}
EVIL = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}\x1b[31m\x00"


def evil() -> tuple[Study, tuple[Trial, ...], Outcome]:
    study, trials, outcome = OWN

    def name(one: str) -> str:
        return one + EVIL if one else one

    def arm(candidate: Candidate) -> Candidate:
        return msgspec.structs.replace(candidate, name=name(candidate.name), against=name(candidate.against))

    assert study.bench is not None
    return (
        msgspec.structs.replace(
            study, id=EVIL, command=(EVIL,), default=name(study.default), metric=EVIL,
            candidates=tuple(arm(candidate) for candidate in study.candidates), settings={EVIL: EVIL},
            topology=msgspec.structs.replace(study.topology, model_name=EVIL),
            bench=msgspec.structs.replace(study.bench, left_out={EVIL: EVIL}),
        ),
        tuple(msgspec.structs.replace(t, candidate=name(t.candidate), notes=(EVIL,), tail=EVIL) for t in trials),
        msgspec.structs.replace(
            outcome, best=name(outcome.best), winner=name(outcome.winner), left_out={}, failed={name("bind:1"): EVIL},
            verdicts={name(k): msgspec.structs.replace(v, reason=EVIL) for k, v in outcome.verdicts.items()},
        ),
    )  # fmt: skip


def printed(study: Study, trials: tuple[Trial, ...], outcome: Outcome | None) -> str:
    out = io.StringIO()
    terminal.show(study, trials, outcome, file=out)
    return out.getvalue()


class TestTerminal:
    def test_settings_operations_arms_and_advice_are_there(self) -> None:
        text = printed(*QUICK)
        assert text.startswith("Run it like this: --node ")
        for said in (
            "distances",
            "memory policy inherited  default",
            "gate",
            "whole pass",
            "of read",
            "What follows",
        ):
            assert said in text
        assert re.search(r"bind:0 +\d.* ms  better +\d+% faster \(", text)
        assert re.search(r"9 comparisons share alpha 0.05: 0.0056 each, first looked at after 7 blocks", text)
        assert "[best-placement]" in text and "[remote-memory]" in text

    def test_joules_where_they_are_known_and_one_line_where_not(self) -> None:
        assert "J/run" in printed(*QUICK)
        study, trials, outcome = QUICK
        without = tuple(msgspec.structs.replace(trial, energy_j=None) for trial in trials)
        settings = {**study.settings, "energy": "unavailable: no counter here"}
        text = printed(msgspec.structs.replace(study, settings=settings), without, outcome)
        assert "J/run" not in text
        assert text.count("energy: unavailable: no counter here") == 1

    def test_what_was_left_out_is_told_once_a_reason(self) -> None:
        study, trials, outcome = QUICK
        outcome = msgspec.structs.replace(outcome, left_out={"a": "no time", "b": "no time"})
        assert "  a; b: no time\n" in printed(study, trials, outcome)

    def test_an_unfinished_run_claims_nothing(self) -> None:
        text = printed(*STUDIES["unfinished"])
        assert text.startswith("Not finished")
        assert "better" not in text.split("What follows")[0]
        assert "--resume" in text
        assert "Not finished" in printed(*STUDIES["begun"])

    def test_no_escape_of_a_program_reaches_the_terminal(self) -> None:
        assert "\x1b" not in printed(*evil()) and "\x00" not in printed(*evil())


class TestPage:
    @pytest.mark.parametrize("name", STUDIES)
    def test_it_loads_nothing_from_outside_and_has_one_script(self, name: str) -> None:
        raw = html.render(*STUDIES[name])
        page = Page(raw)
        assert not {"img", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
        assert page.tags.count("script") == 1
        assert not {"src", "href", "xlink:href", "srcset", "action"} & {
            name for _, name, _ in page.attributes
        }
        assert not re.search(r"url\(|@import|https?:", raw.replace("http://www.w3.org/2000/svg", ""))
        assert "default-src 'none'" in raw

    def test_every_arm_and_every_sentence_is_on_it(self) -> None:
        text = " ".join(Page(html.render(*QUICK)).text.split())
        form = json_forms.study_json(*QUICK)
        for arm in form["arms"]:
            assert arm["name"] in text
        for advice in form["advice"]:
            assert " ".join(advice["sentence"].split()) in text
            assert f"rule {advice['rule']}" in text
        assert "node 0: 10 21" in text

    def test_what_programs_wrote_stays_text(self) -> None:
        raw = html.render(*evil())
        page = Page(raw)
        assert page.tags.count("script") == 1 and "img" not in page.tags
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert "<script>alert(1)" in page.text
        assert "\x1b" not in raw and "\x00" not in raw

    @pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
    @pytest.mark.parametrize("width", [400, 1280])
    def test_no_page_scrolls_sideways(self, width: int, tmp_path: Path) -> None:
        frames = []
        for name, content in {**STUDIES, "evil": evil()}.items():
            file = name.replace(" ", "-")
            (tmp_path / f"{file}.html").write_text(html.render(*content), "utf-8")
            frames.append(
                f'<iframe id="{file}" src="{file}.html" style="width:{width}px;height:700px"></iframe>'
            )
        (tmp_path / "probe.html").write_text(
            "<!doctype html>" + "".join(frames) + '<pre id="told"></pre><script>onload = () => {'
            'told.textContent = "TOLD " + [...document.querySelectorAll("iframe")].map(f => f.id + "|" + '
            'f.contentDocument.documentElement.scrollWidth).join(";") + " END"}</script>'
        )
        done = subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
                *(f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", f"file://{tmp_path / 'probe.html'}"),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        told = re.search(r"TOLD (.*?) END", done.stdout)
        assert told is not None
        widths = dict(each.split("|") for each in told[1].split(";"))
        assert len(widths) == len(STUDIES) + 1
        assert {name: int(wide) for name, wide in widths.items() if int(wide) > width} == {}


class TestExports:
    def test_the_json_form_holds_what_scripts_rely_on(self) -> None:
        for study, trials, outcome in STUDIES.values():
            form: dict[str, Any] = json.loads(to_json(json_forms.study_json(study, trials, outcome)))
            assert {
                *(
                    "suite",
                    "built_in",
                    "best",
                    "verdict",
                    "arms",
                    "advice",
                    "left_out",
                    "failed",
                    "incomplete",
                ),
                *("alpha", "alpha_per_arm", "delta", "settings", "nodes", "distances", "allowed", "energy"),
                *("trials", "study", "history", "metric", "maximize", "command"),
            } <= set(form)
            assert (form["verdict"] is None) == (outcome is None)
            for arm in form["arms"]:
                assert {"name", "axis", "against", "verdict", "median", "selection", "placements"} <= set(arm)

    def test_every_trial_is_a_row_with_its_block(self) -> None:
        study, trials, _ = QUICK
        rows = list(csv_reader.DictReader(io.StringIO(csv.render(study, trials))))
        assert len(rows) == len(trials)
        assert tuple(rows[0])[-len(bench_csv.COLUMNS) :] == bench_csv.COLUMNS
        assert tuple(rows[0])[: len(csv.COLUMNS)] == csv.COLUMNS
        assert {row["block"] for row in rows[: len(study.candidates)]} == {"0"}
        assert float(rows[0]["gate_ms"]) > 0 and float(rows[0]["share_of_read"]) > 0

    def test_the_log_is_a_line_a_trial(self) -> None:
        study, trials, _ = evil()
        heading = bench_log.heading(study, 0.0)
        assert all(line.startswith("# ") for line in heading.splitlines())
        for trial in trials:
            line = bench_log.line(trial)
            assert line.count("\n") == 1 and "\x1b" not in line
        line = bench_log.line(QUICK[1][0])
        assert "on target" in bench_log.line(next(t for t in QUICK[1] if t.on_target is not None))
        assert "einsum, default; ok; value" in line and "operations.gate.ms" in line and "energy" in line
