"""The page of measurements: all of it there, nothing from outside, readable at any width, and for those who listen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import made_measurements
import msgspec
import pytest
from html_page import Page
from made_measurements import MACHINES, TWO

from numawise.errors import NumawiseError
from numawise.machine.topology import Topology
from numawise.measure.claims import claims
from numawise.measure.values import Measurements
from numawise.report import measurements_html
from numawise.report.heatmap import Cell, heat_map, strength


def render(measurements: Measurements, topology: Topology) -> str:
    return measurements_html.render(measurements, topology, claims(measurements, topology))


@pytest.mark.parametrize("name", MACHINES)
def test_it_loads_nothing_from_outside(name: str) -> None:
    raw = render(*MACHINES[name])
    page = Page(raw)
    assert not {"img", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert page.tags.count("script") == 1
    for tag, attribute, value in page.attributes:
        assert attribute not in {"src", "href", "xlink:href", "srcset", "action"}, (tag, attribute, value)
        assert not attribute.startswith("on"), (tag, attribute)
    assert not re.search(r"url\(|@import|https?:", raw.replace("http://www.w3.org/2000/svg", ""))
    assert "default-src 'none'" in raw


def test_every_figure_stands_in_its_cell() -> None:
    for name in ("two", "eight"):
        measurements, topology = MACHINES[name]
        page = Page(render(measurements, topology))
        for reading in (*measurements.latency, *measurements.bandwidth):
            assert reading.figure is not None
            where = f"memory of node {reading.memory[0]} from CPUs of node {reading.cpu_node}: "
            assert re.search(where + rf"{reading.figure.median:.0f}(\.\d)? (ns|GB/s) ±", page.text) or (
                where + f"{reading.figure.median:.1f}" in page.text
            )


def test_claims_stand_in_the_cells_and_in_a_table() -> None:
    page = Page(render(*TWO))
    assert "1.61\u00d7, SLIT 2.1\u00d7" in page.text
    assert "23% below what is claimed" in page.text
    assert "published for this kind" in page.text
    assert "as published" in page.text


def test_drawings_are_told_to_those_who_do_not_see_them() -> None:
    labels = Page(render(*TWO)).labels
    assert re.search(
        r"latency by node, ns, .*; lowest 88\.\d ns, node \d from node \d; highest 143 ns", labels
    )
    assert re.search(r"node 0 saturates at \d+ cores of 36", labels)
    assert "more than twice the idle latency beyond" in labels
    assert re.search(r"latency between 8 CPUs, \d+(\.\d)? to \d+ ns", labels)


def test_what_is_missing_has_a_section_of_its_own_and_its_cells_stay_empty() -> None:
    measurements, topology = MACHINES["gaps"]
    page = Page(render(measurements, topology))
    assert page.text.index("What is missing") < page.text.index("The machine")
    assert "loaded latency: mbind refused (EPERM)" in page.text
    assert "memory of node 1 from CPUs of node 0: node 1 has 0.4 GiB free" in page.text
    assert "Latency under load" not in page.text
    without = sum(
        1
        for part in ("latency", "bandwidth", "aggregate", "scaling", "smt")
        for reading in getattr(measurements, part)
        if reading.figure is None
    )
    assert f"{without} of them without a figure" in page.text


def test_one_node_has_no_distance_to_tell() -> None:
    text = Page(render(*MACHINES["single"])).text
    assert "One node: all memory is equally near" in text
    assert "own memory" in text
    assert "another node" not in text


def test_devices_and_links_have_their_section() -> None:
    text = " ".join(Page(render(*MACHINES["gpus"])).text.split())
    assert "NVIDIA A100-SXM4-80GB, host to device" in text
    assert "NVIDIA A100-SXM4-80GB, device to host" in text
    assert text.count("NV12") == 12
    assert "PCIe 4.0 x16" in text


def test_a_machine_with_nothing_measured_still_has_a_page() -> None:
    measurements, topology = TWO
    bare = Measurements(measurements.topology_key, measurements.machine, measurements.created)
    page = Page(measurements_html.render(bare, topology))
    assert "2 nodes, of which no distance was measured" in page.text
    assert "0 readings" in page.text


EVIL = "</title></style></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}&lt;\x1b[31m\x00"


def test_what_a_file_says_stays_text() -> None:
    measurements, topology = MACHINES["gpus"]
    measurements = made_measurements.with_gaps(measurements)
    kernels = {
        part: tuple(
            msgspec.structs.replace(r, kernel=EVIL, why=EVIL, note=EVIL, bytes_counted=EVIL)
            for r in getattr(measurements, part)
        )
        for part in ("latency", "bandwidth", "aggregate", "scaling", "pages", "smt")
    }
    odd = msgspec.structs.replace(
        measurements,
        **kernels,
        topology_key=EVIL,
        model_name=EVIL,
        numawise_version=EVIL,
        settings={EVIL: EVIL},
        incomplete=(EVIL,),
        notes={"latency": (EVIL,)},
        device=tuple(
            msgspec.structs.replace(r, name=EVIL, device=EVIL, why=EVIL) for r in measurements.device
        ),
        links=tuple(msgspec.structs.replace(k, first=EVIL, nvlink_version=EVIL) for k in measurements.links),
    )
    said = tuple(msgspec.structs.replace(c, text=EVIL) for c in claims(*TWO))
    raw = measurements_html.render(
        odd, msgspec.structs.replace(topology, model_name=EVIL, notes=(EVIL,)), said
    )
    page = Page(raw)
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert "<script>alert(1)" in page.text, "shown as what it is"
    assert "\x1b" not in raw
    assert "\x00" not in raw


def test_noise_does_not_look_like_distance() -> None:
    assert strength(101, [100, 101]) - strength(100, [100, 101]) < 0.05
    assert strength(200, [100, 200]) - strength(100, [100, 200]) == 1


def test_a_map_of_nothing_is_still_a_drawing() -> None:
    drawn = heat_map(
        "nothing", ["a"], ["b"], {(0, 0): Cell(None, ("none",), "why & where")}, tone="far", least_width=300
    )
    assert 'class="cell none"' in drawn
    assert "why &amp; where" in drawn


def test_a_page_that_cannot_be_written_gets_a_line(tmp_path: Path) -> None:
    with pytest.raises(NumawiseError, match=r"page\.html"):
        measurements_html.write(tmp_path / "no" / "page.html", *TWO)


# In a real browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium, to look at the page as people will"
)

PROBE = """<!doctype html><style>* {{ margin: 0; border: 0 }}</style>{frames}<pre id="told"></pre><script>
onload = () => {{
  const told = [...document.querySelectorAll("iframe")].map((frame) => {{
    const page = frame.contentDocument;
    const cell = [...page.querySelectorAll("svg.heat > svg")];
    const spilled = cell.filter((one) => {{
      const box = one.querySelector("rect").getBoundingClientRect();
      return [...one.querySelectorAll("text")].some((text) => {{
        const words = text.getBoundingClientRect();
        return words.left < box.left - 1 || words.right > box.right + 1 || words.bottom > box.bottom + 1;
      }});
    }});
    const names = [...page.querySelectorAll("svg.heat")].flatMap((map) => {{
      const boxes = [...map.querySelectorAll(":scope > text")].map((text) => text.getBoundingClientRect());
      const cells = [...map.querySelectorAll("rect.cell")].map((one) => one.getBoundingClientRect());
      const left = Math.min(...cells.map((box) => box.left));
      return boxes.filter((box, i) => box.left < left - 30 && box.right > left + 1
        || i && boxes[i - 1].top === box.top && boxes[i - 1].right > box.left);
    }});
    return [frame.id, page.documentElement.scrollWidth, cell.length, spilled.length + names.length,
      getComputedStyle(page.querySelector("rect.cell")).fillOpacity,
      getComputedStyle(page.body).backgroundColor].join("|");
  }});
  document.getElementById("told").textContent = "TOLD " + told.join(" ; ") + " END";
}};
</script>"""


def _look(folder: Path, pages: list[tuple[str, int]], *options: str) -> list[list[str]]:
    frames = "".join(
        f'<iframe id="{page}-{width}" src="{page}.html" style="width:{width}px;height:900px"></iframe>'
        for page, width in pages
    )
    (folder / "probe.html").write_text(PROBE.format(frames=frames))
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--allow-file-access-from-files",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'browser'}",
            *options,
            "--dump-dom",
            f"file://{folder / 'probe.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(folder)},
    )
    told = re.search(r"TOLD (.*?) END", done.stdout)
    assert told is not None
    return [frame.split("|") for frame in told[1].split(" ; ")]


@needs_browser
def test_nothing_scrolls_sideways_and_no_words_leave_their_cells(tmp_path: Path) -> None:
    for name, content in MACHINES.items():
        (tmp_path / f"{name}.html").write_text(
            render(*content).replace("<details>", "<details open>"), "utf-8"
        )
    pages = [(name, width) for name in MACHINES for width in (400, 1280)]
    for (name, width), (_, scroll, cells, spilled, opacity, _) in zip(
        pages, _look(tmp_path, pages), strict=True
    ):
        assert int(scroll) <= width, (name, width)
        assert int(cells) >= 1, name
        assert int(spilled) == 0, (name, width)
        assert 0 < float(opacity) < 1, "the style sheet's arithmetic works"


@needs_browser
@pytest.mark.parametrize(("scheme", "paper"), [("1", "rgb(246, 247, 249)"), ("0", "rgb(16, 21, 27)")])
def test_it_follows_light_and_dark(scheme: str, paper: str, tmp_path: Path) -> None:
    measurements_html.write(tmp_path / "page.html", *TWO)
    (seen,) = _look(tmp_path, [("page", 1280)], f"--blink-settings=preferredColorScheme={scheme}")
    assert seen[-1] == paper
