"""The page: everything on it, nothing from outside, nothing that runs but its own, fit for any width."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import made_up
import msgspec
import pytest
from html_page import Page

from numawise.errors import NumawiseError
from numawise.experiment.records import Outcome, Study, Trial
from numawise.report import html

STUDIES = {
    "better": made_up.tuned(),
    "equivalent": made_up.tuned(best_effect=1.0),
    "compare": made_up.compared(),
    "unfinished": (*made_up.tuned()[:2], None),
    "begun": (made_up.tuned()[0], (), None),
}


@pytest.mark.parametrize("name", STUDIES)
def test_it_loads_nothing_from_outside(name: str) -> None:
    page = Page(html.render(*STUDIES[name]))
    assert not {"img", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert page.tags.count("script") == 1
    for tag, attribute, value in page.attributes:
        assert attribute not in {"src", "href", "xlink:href", "srcset", "action"}, (tag, attribute, value)
        assert not attribute.startswith("on"), (tag, attribute)
    raw = html.render(*STUDIES[name]).replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"url\(|@import|https?:", raw)


def test_it_says_the_verdict_the_command_and_every_candidate() -> None:
    study, trials, outcome = made_up.tuned()
    text = " ".join(Page(html.render(study, trials, outcome)).text.split())
    assert "Run it like this: per-node 2x16 no-smt thp" in text
    assert (
        "numawise run --profile serve -- python serve.py --model mixtral-8x7b --threads '{threads}'" in text
    )
    assert "numactl --physcpubind=16-31 --membind=1 python serve.py" in text
    for candidate in study.candidates:
        assert text.count(candidate.name) >= 2, "in the race, and in what was placed where"
    assert "can't allocate memory" in text
    assert "node 0 71%, node 1 29%" in text
    assert study.id in text


def test_every_trial_is_drawn() -> None:
    study, trials, outcome = made_up.tuned()
    page = html.render(study, trials, outcome)
    for trial in trials:
        assert f"trial {trial.number}, " in page


def test_steps_down_the_ladder_are_told() -> None:
    assert "mbind refused (EPERM)" in Page(html.render(*made_up.compared())).text


EVIL = "</title></style></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}&lt;"
EVIL += "\x1b[31m\x00"


def evil_study() -> tuple[Study, tuple[Trial, ...], Outcome]:
    study, trials, outcome = made_up.tuned()
    names = {c.name: c.name + EVIL for c in study.candidates}
    topology = msgspec.structs.replace(study.topology, model_name=EVIL, notes=(EVIL,), architecture=EVIL)
    study = msgspec.structs.replace(
        study,
        id=EVIL,
        command=(EVIL, EVIL),
        default=names[study.default],
        candidates=tuple(
            msgspec.structs.replace(c, name=names[c.name], policy=EVIL) for c in study.candidates
        ),
        topology=topology,
        metric=EVIL,
        numawise_version=EVIL,
        settings={EVIL: EVIL},
    )
    trials = tuple(
        msgspec.structs.replace(t, candidate=names[t.candidate], tail=t.tail + EVIL, notes=(EVIL,))
        for t in trials
    )
    outcome = msgspec.structs.replace(
        outcome,
        best=names[outcome.best],
        winner=names[outcome.winner],
        failed={names[name]: EVIL for name in outcome.failed},
        profile=EVIL,
        verdict=msgspec.structs.replace(outcome.verdict, reason=EVIL),
    )
    return study, trials, outcome


def test_what_programs_and_people_wrote_stays_text() -> None:
    study, trials, outcome = evil_study()
    for ended in (outcome, None, msgspec.structs.replace(outcome, best=study.default)):
        raw = html.render(study, trials, ended)
        page = Page(raw)
        assert page.tags.count("script") == 1
        assert "img" not in page.tags
        assert not any(name.startswith("on") for _, name, _ in page.attributes)
        assert "<script>alert(1)" in page.text, "shown as what it is"
        assert "49" not in "".join(re.findall(r"`(.{0,9})&lt;", raw)), "no template is run in it"
        assert "\x1b" not in raw
        assert "\x00" not in raw


def test_a_lone_surrogate_in_the_output_does_not_stop_the_page(tmp_path: Path) -> None:
    study, trials, outcome = made_up.tuned()
    odd = tuple(msgspec.structs.replace(t, tail="\udc80 bytes") for t in trials)
    html.write(tmp_path / "page.html", msgspec.structs.replace(study, command=("a\udcff",)), odd, outcome)
    assert " bytes" in (tmp_path / "page.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_gets_a_line(tmp_path: Path) -> None:
    with pytest.raises(NumawiseError, match=r"could not write .*ENOENT"):
        html.write(tmp_path / "no" / "page.html", *made_up.compared())


# In a real browser


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium, to look at the page as people will"
)

PROBE = """<!doctype html><style>* {{ margin: 0; border: 0 }}</style>{frames}<pre id="told"></pre><script>
onload = () => {{
  const told = [...document.querySelectorAll("iframe")].map((frame) => {{
    const inside = frame.contentDocument;
    const button = inside.querySelector("button.copy");
    return [frame.id, inside.documentElement.scrollWidth, inside.documentElement.clientWidth,
      inside.querySelectorAll("svg.plot .mark").length, button ? button.hidden : "none",
      getComputedStyle(inside.body).backgroundColor].join("|");
  }});
  document.getElementById("told").textContent = "TOLD " + told.join(" ; ") + " END";
}};
</script>"""
"""Holds pages in frames of the width asked for (a window has a least width), tells what they became."""


def _probe(folder: Path, *pages: tuple[str, int]) -> str:
    frames = "".join(
        f'<iframe id="{page}-{width}" src="{page}.html" style="width:{width}px;height:900px"></iframe>'
        for page, width in pages
    )
    (folder / "probe.html").write_text(PROBE.format(frames=frames))
    return f"file://{folder / 'probe.html'}"


def _chromium(tmp_path: Path, *arguments: str) -> str:
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'browser'}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    return done.stdout


@needs_browser
def test_no_page_scrolls_sideways_at_400_or_1280_px(tmp_path: Path) -> None:
    studies = {**STUDIES, "evil": evil_study()}
    for name, content in studies.items():
        text = html.render(*content).replace("<details>", "<details open>")
        (tmp_path / f"{name}.html").write_text(text, "utf-8")
    pages = [(name, width) for name in studies for width in (400, 1280)]
    told = re.search(r"TOLD (.*?) END", _chromium(tmp_path, "--dump-dom", _probe(tmp_path, *pages)))
    assert told is not None
    seen = [frame.split("|") for frame in told[1].split(" ; ")]
    assert len(seen) == len(pages)
    for (name, width), (_, scroll, client, marks, hidden, _) in zip(pages, seen, strict=True):
        assert int(client) == width
        assert int(scroll) <= width, (name, width)
        assert int(marks) >= len(studies[name][1]), "every trial is a mark"
        assert hidden in {"false", "none"}, "its own script runs under its content security policy"


@needs_browser
@pytest.mark.parametrize(("scheme", "paper"), [("1", "rgb(246, 247, 249)"), ("0", "rgb(16, 21, 27)")])
def test_it_follows_light_and_dark(scheme: str, paper: str, tmp_path: Path) -> None:
    html.write(tmp_path / "page.html", *STUDIES["better"])
    setting = f"--blink-settings=preferredColorScheme={scheme}"
    assert paper in _chromium(tmp_path, setting, "--dump-dom", _probe(tmp_path, ("page", 1280)))


@needs_browser
@pytest.mark.parametrize("width", [400, 1280])
def test_a_picture_can_be_taken_of_it(width: int, tmp_path: Path) -> None:
    html.write(tmp_path / "page.html", *STUDIES["better"])
    picture = tmp_path / "page.png"
    size = f"--window-size={max(width, 600)},900"
    _chromium(tmp_path, size, f"--screenshot={picture}", _probe(tmp_path, ("page", width)))
    raw = picture.read_bytes()
    assert raw.startswith(b"\x89PNG")
    assert len(raw) > 30_000, "a blank page packs to a few kB"
