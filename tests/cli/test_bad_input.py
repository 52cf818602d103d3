"""Bad input: one clear line, the right exit code, never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest


def numawise(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NUMAWISE_HOME": str(home)}
    command = [sys.executable, "-m", "numawise", *words]
    return subprocess.run(command, text=True, capture_output=True, env=environment, timeout=120)


def refused(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    lines = [line for line in result.stderr.splitlines() if line]
    assert result.returncode == code, result.stderr
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("numawise: ")
    assert "Traceback" not in result.stderr + result.stdout
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("plan", "--node", "7"), 2, "there is no node 7"),
        (("run", "--node", "7", "--", "true"), 2, "there is no node 7"),
        (("run", "--cpus", "3-1", "--", "true"), 2, "runs backwards"),
        (("run", "--cpus", "4000", "--", "true"), 2, "not on this machine"),
        (("run", "--cpus", "x", "--", "true"), 2, "not a list of ids"),
        (("run",), 2, "no command to run"),
        (("run", "--"), 2, "no command to run"),
        (("run", "--", ""), 2, "no command to run"),
        (("run", "--", "no-such-program"), 2, "command not found: no-such-program"),
        (("run", "--", "/etc/hostname"), 2, "cannot execute"),
        (("run", "--mem", "bnd:0", "--", "true"), 2, "unknown memory policy"),
        (("run", "--mem", "bind:0", "-i", "0", "--", "true"), 2, "one memory policy at a time"),
        (("run", "--node", "0", "--node", "0", "--", "true"), 2, "given twice"),
        (("run", "--workers", "0", "--", "true"), 2, "whole number from 1"),
        (("run", "--workers", "9999", "--", "true"), 2, "possible:"),
        (("run", "--size", "900T", "--", "true"), 2, "do not fit"),
        (("run", "--size", "lots", "--", "true"), 2, "not an amount of memory"),
        (("run", "--env", "NOEQUALS", "--", "true"), 2, "NAME=VALUE"),
        (("run", "--profile", "../../etc/passwd", "--", "true"), 2, "profile name"),
        (("run", "--profile", "nosuch", "--", "true"), 2, "nosuch"),
        (("run", "--", "true", "{port}"), 2, "add --port"),
        (("topology", "--root", "/no/such/place"), 2, "/no/such/place"),
        (("plan", "--root", "/no/such/place"), 2, "/no/such/place"),
        (("plan", "--export", "excel"), 2, "no export called"),
        (("compare", "--", "true"), 2, "one or two --arm"),
        (("compare", "--arm", "default"), 2, "no command"),
        (("compare", "--arm", "default", "--arm", "default", "--", "true"), 2, "same placement"),
        (("compare", "--arm", "python", "--", "true"), 2, "is no selection option"),
        (("compare", "--arm", "--cpus 0", "--metric", "(", "--", "true"), 2, "not a regular expression"),
        (("compare", "--arm", "--cpus 0", "--maximize", "--", "true"), 2, "--maximize needs a --metric"),
        (("compare", "--arm", "--cpus 0", "--resume", "--", "true"), 2, "was begun"),
        (("compare", "--arm", "--cpus 0", "--", "no-such-program"), 2, "command not found"),
        (("compare", "--arm", "--cpus 0", "--", "false"), 4, "failed"),
        (("compare", "--arm", "--cpus 0", "--metric", "speed: (.*)", "--", "echo", "slow"), 4, "holds no number"),
        (("tune", "--policies", "bnd", "--", "true"), 2, "bnd"),
        (("tune", "--budget", "soon", "--", "true"), 2, "--budget takes"),
        (("tune", "--budget", "2", "--", "true"), 2, "budget"),
        (("tune", "--workload", "nosuch"), 2, "no built-in workload"),
        (("tune", "--save", "a/b", "--", "true"), 2, "profile name"),
        (("tune", "--", "false"), 4, "default"),
        (("tune", "--metric", "speed: (.*)", "--", "echo", "slow"), 4, "holds no number"),
        (("report", "nosuch"), 2, "nosuch"),
        (("frobnicate",), 2, "No such command"),
        (("plan", "--frobnicate"), 2, "--frobnicate"),
    ],
)  # fmt: skip
def test_one_line_and_the_right_code(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    refused(numawise(*words, home=tmp_path), code, said)


def test_an_unreadable_root(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    refused(numawise("topology", "--root", str(folder), home=tmp_path), 2, str(folder))


def test_a_truncated_archive(tmp_path: Path) -> None:
    whole = tmp_path / "whole.tar.gz"
    assert numawise("topology", "--save", str(whole), home=tmp_path).returncode == 0
    for share in (0.1, 0.5, 0.95):
        cut = tmp_path / "cut.tar.gz"
        cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        refused(numawise("topology", "--root", str(cut), home=tmp_path), 2, "cut.tar.gz")


def test_an_archive_that_points_outside(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("../../evil")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    refused(numawise("topology", "--root", str(archive), home=tmp_path), 2, "evil.tar.gz")
    assert not (tmp_path.parent / "evil").exists()


def test_json_from_a_newer_version(tmp_path: Path) -> None:
    topology = json.loads(numawise("topology", "--json", home=tmp_path).stdout)
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps({**topology, "version": 99}))
    refused(numawise("topology", "--root", str(newer), home=tmp_path), 2, "newer.json", "99")
    missing = {key: value for key, value in topology.items() if key != "nodes"}
    newer.write_text(json.dumps(missing))
    refused(numawise("topology", "--root", str(newer), home=tmp_path), 2, "newer.json", "nodes")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    refused(numawise("compare", "--arm", "--cpus 0", "--", "true", home=tmp_path / "home"), 4, "home")


def test_a_full_disk_under_the_store(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=140k", "tmpfs", str(small)]).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        noisy = "echo took $((1000 + RANDOM % 500))"
        words = ("--metric", r"took (\d+)", "--max-pairs", "2000", "--alpha", "1e-9", "--delta", "1e-4")
        result = numawise(
            "compare", "--arm", "--cpus 0", *words, "--", "bash", "-c", noisy, home=small / "nw"
        )
        refused(result, 4, "nw", "NUMAWISE_HOME")
    finally:
        subprocess.run(["umount", str(small)], check=True)
