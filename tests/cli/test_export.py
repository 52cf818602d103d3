"""`plan --export`: text on standard output, everything else on standard error; files and JSON on request."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from trees import machine

from numawise.placement.render import formats


def plan(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "numawise", "plan", *words]
    return subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)


@pytest.fixture
def two_nodes(tmp_path: Path) -> str:
    return machine().folder(tmp_path / "machine")


def test_every_format_has_its_place_in_the_help() -> None:
    said = " ".join(plan("--help").stdout.split())
    for tool in formats():
        assert tool in said


@pytest.mark.parametrize("tool", formats())
def test_every_format_fills_the_command_in(tool: str, two_nodes: str) -> None:
    words = ("--root", two_nodes, "--per", "node", "--port", "8000", "--size", "1M", "--export", tool)
    done = plan(*words, "--", "serve", "--port={port}", "--rank={rank}", "{node}{threads}")
    assert done.returncode == 0, done.stderr
    assert not re.search(r"\{(port|rank|node|threads)\}", done.stdout)
    assert all(line.startswith("numawise: note: ") for line in done.stderr.splitlines())
    if tool == "env":
        assert "OMP_NUM_THREADS" in done.stdout
    elif tool in ("nginx", "haproxy"):
        assert "127.0.0.1:8001" in done.stdout
    else:
        assert "--port=8001" in done.stdout
        assert "--rank=1" in done.stdout


def test_files(two_nodes: str, tmp_path: Path) -> None:
    words = ("--root", two_nodes, "--per", "node", "--export", "systemd", "--name", "llm")
    out = tmp_path / "new" / "units"
    done = plan(*words, "--write", str(out), "--", "serve")
    assert done.stdout.split() == [str(out / "llm-0.service"), str(out / "llm-1.service")]
    assert "CPUAffinity=4-7,12-15" in (out / "llm-1.service").read_text()
    together = plan(*words, "--", "serve")
    assert together.stdout.startswith("# llm-0.service\n[Unit]")
    assert "--write DIR writes each" in together.stderr
    data = json.loads(plan(*words, "--json", "--", "serve").stdout)
    assert data["files"] == {name.name: name.read_text() for name in out.iterdir()}
    assert data["tool"] == "systemd"


def test_placeholders_are_said(two_nodes: str) -> None:
    done = plan("--root", two_nodes, "--node", "1", "--export", "docker")
    assert done.stdout.split()[-1] == "IMAGE"
    assert "--image NAME fills it in" in done.stderr
    assert "COMMAND stands for" in plan("--root", two_nodes, "--export", "numactl").stderr
    done = plan("--root", two_nodes, "--mem", "interleave", "--export", "docker", "--image", "x:1")
    assert done.stdout.split()[-1] == "COMMAND"
    assert "COMMAND stands for" in done.stderr


def test_gpus(tmp_path: Path) -> None:
    tree = machine()
    tree.device("0000:41:00.0", 0x030200, 0x10DE, 0x20B0, 1)
    tree.files["proc/driver/nvidia/gpus/0000:41:00.0/information"] = "GPU UUID: \t GPU-12345678-aaaa\n"
    tree.files["dev/nvidia0"] = ""
    root = tree.folder(tmp_path / "machine")
    words = ("--root", root, "--gpu", "0", "--size", "100M")
    made = {
        tool: plan(*words, "--export", tool, "--", "serve").stdout
        for tool in ("docker", "compose", "k8s", "slurm")
    }
    assert "--gpus=device=GPU-12345678-aaaa" in made["docker"]
    assert "--cpuset-mems=1" in made["docker"]
    assert 'device_ids: ["GPU-12345678-aaaa"]' in made["compose"]
    assert "nvidia.com/gpu: 1" in made["k8s"]
    assert "--gres=gpu:1" in made["slurm"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--export", "excel"), "no export called 'excel'"),
        (("--image", "x"), "--image goes with --export"),
        (("--export", "systemd", "--image", "x"), "has no use for --image"),
        (("--export", "docker", "--image", "-v"), "not the name of an image"),
        (("--export", "docker", "--name", "a b"), "--name takes"),
        (("--export", "nginx"), "add --port"),
        (("--export", "nginx", "--port", "65535", "--workers", "2"), "leaves no port"),
        (("--export", "k8s"), "add --size"),
        (("--export", "numactl", "--", "serve", "{port}"), "add --port"),
        (("--export", "systemd", "--", "./serve"), "absolute path"),
        (("--export", "nginx", "--port", "80", "--listen", "0"), "--listen"),
        (("--export", "env", "--write", "/proc/nowhere"), "cannot write /proc/nowhere"),
    ],
)
def test_refusals(words: tuple[str, ...], said: str, two_nodes: str) -> None:
    done = plan("--root", two_nodes, *words)
    assert done.returncode == (4 if "/proc/nowhere" in words else 2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_arguments_of_a_container_may_begin_with_an_option(two_nodes: str) -> None:
    words = ("--root", two_nodes, "--export", "docker", "--image", "i")
    assert plan(*words, "--", "--port", "1").stdout.endswith("  i --port 1\n")
    done = plan(*words, "--mem", "interleave", "--", "--port", "1")
    assert done.returncode == 2
    assert "begins with the name of a program" in done.stderr


def test_documented_examples(repo: Path, tmp_path: Path) -> None:
    """docs/exports.md shows what is written today, notes included."""
    tree = machine()
    tree.device("0000:41:00.0", 0x030200, 0x10DE, 0x20B0, 1)
    uuid = "GPU-5a1c7be2-0f3d-9a41-8d2e-6b7c1f0a9e34"
    tree.files["proc/driver/nvidia/gpus/0000:41:00.0/information"] = f"GPU UUID: \t {uuid}\n"
    for node in (0, 1):
        cpus = [*range(4 * node, 4 * node + 4), *range(8 + 4 * node, 12 + 4 * node)]
        tree.node(node, cpus, memory_kib=64 << 20, free_kib=60 << 20)
    tree.archive(tmp_path / "server.tar.gz")
    document = (repo / "docs/exports.md").read_text()
    examples = re.findall(r"^```console\n\$ numawise (.*?)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 8
    for line, shown in examples:
        command = [sys.executable, "-m", "numawise", *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout + done.stderr == shown, line


def test_a_word_that_is_not_utf8(two_nodes: str) -> None:
    line = [
        os.fsencode(sys.executable),
        b"-m",
        b"numawise",
        b"plan",
        b"--export",
        b"numactl",
        b"--",
        b"x",
        b"\xff",
    ]
    done = subprocess.run(line, capture_output=True, check=False, timeout=100)
    assert done.returncode == 2
    assert b"is not UTF-8" in done.stderr
