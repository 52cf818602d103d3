"""`numawise topology`, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from trees import machine

from numawise.machine import read


def topology(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "numawise", "topology", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_text_json_save_and_drawing(tmp_path: Path) -> None:
    root = machine(nodes=2, cores_per_node=2).folder(tmp_path / "machine")
    saved, drawing = tmp_path / "saved.tar.gz", tmp_path / "machine.svg"
    done = topology("--root", root, "--save", str(saved), "--svg", str(drawing))
    assert done.returncode == 0
    assert "2 sockets, 2 nodes, 4 cores, 8 CPUs" in done.stdout
    assert "Traceback" not in done.stderr
    assert drawing.read_text().startswith("<svg")
    assert read(saved) == read(root)
    document = json.loads(topology("--root", str(saved), "--json").stdout)
    assert document["nodes"][1] | {"id": 1, "cpus": "2-3,6-7", "kind": "dram"} == document["nodes"][1]


def test_this_machine() -> None:
    document = json.loads(topology("--json").stdout)
    assert document["cpus"] == str(read().cpus)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--root", "/nonexistent"], "/nonexistent"),
        (["--root", "/etc/hostname"], "not a tar archive"),
        (["--svg", "/nonexistent/m.svg"], "/nonexistent/m.svg"),
        (["--save", "/"], "EISDIR"),
        (["--wrong"], "--wrong"),
        (["extra"], "extra"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(arguments: list[str], words: str) -> None:
    done = topology(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
