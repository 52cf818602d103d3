"""Bad input: one clear line, the right exit code, never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from numawise.experiment.metric import Metric, NoMetricError, read_metric


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


def by_shell(line: str, home: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell line in which `"$@"` is numawise's console script."""
    start = "from numawise.cli.main import console; console()"
    return subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, "-c", start],
        capture_output=True,
        env={**os.environ, "NUMAWISE_HOME": str(home), **variables},
        timeout=120,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(closed: str, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    listing = f"for fd in 0 1 2; do test -e /proc/$$/fd/$fd && echo $fd; done >{seen}; true"
    for words in (f"run -q -- sh -c '{listing}'", "run -q --workers 1 -- true", "report --list"):
        result = by_shell(f'"$@" {words} {closed}', tmp_path)
        assert result.returncode == 0, (words, result.stderr)
        assert result.stderr == b""
    # The program gets a closed stream closed, and nothing of ours in its place. ($$ has 1 redirected for the loop.)
    kept = {fd for fd, text in (("0", "<&-"), ("2", "2>&-")) if text not in closed}
    assert set(seen.read_text().split()) - {"1"} == kept


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a second placement needs two CPUs")
def test_compare_with_closed_output(tmp_path: Path) -> None:
    words = "compare --arm '--cpus 0' --max-pairs 6 --metric '5' -- echo 5 <&- >&- 2>&-"
    assert by_shell(f'"$@" {words}', tmp_path).returncode == 0


def test_a_reader_that_leaves_early_is_no_negative_answer(tmp_path: Path) -> None:
    result = by_shell('"$@" topology --json | true; echo ${PIPESTATUS[0]}', tmp_path, PYTHONUNBUFFERED="1")
    assert result.stdout in (b"141\n", b"0\n")  # 0: it was all in the pipe before the reader left
    late = by_shell('{ sleep 1; "$@" topology --json; echo $? >&2; } | true', tmp_path)
    assert late.stderr.split() == [b"141"]


def test_the_programs_exit_code_even_when_nobody_can_be_told(tmp_path: Path) -> None:
    result = by_shell('"$@" run --node 0 -- sh -c "exit 5" 2>/dev/full', tmp_path)
    assert result.returncode == 5
    assert by_shell('"$@" run --json -- sh -c "exit 6" 2>/dev/full', tmp_path).returncode == 6
    assert by_shell('"$@" run --node 0 -- no-such-program 2>/dev/full', tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("1,234.5", "more than one way"),
        ("1_000", "more than one way"),
        ("0x10", "more than one way"),
        ("1e-320", "1e-100 to 1e100"),
        ("1e308", "1e-100 to 1e100"),
        ("1e400", "positive number"),
        ("0", "positive number"),
        ("-5", "positive number"),
        ("nan", "holds no number"),
    ],
)
def test_numbers_that_are_none(printed: str, said: str) -> None:
    with pytest.raises(NoMetricError, match=said):
        read_metric(Metric(r"v: (\S+)"), [f"v: {printed}\n"], 1.0)


@pytest.mark.parametrize("printed", ["3.5,", "3.5x", "3.5_", "+3.5", "3.5e0", "3.5s,"])
def test_numbers_that_are_followed_by_something(printed: str) -> None:
    assert read_metric(Metric(r"v: (\S+)"), [f"v: {printed} 2\n"], 1.0) == 3.5


def test_json_that_no_reader_takes() -> None:
    for text, said in (
        ('{"a": ' + "9" * 400 + "}", "positive number"),
        ('{"a": ' + "[" * 200_000, "holds no number"),
    ):
        with pytest.raises(NoMetricError, match=said):
            read_metric(Metric("json:a"), [text], 1.0)


def test_a_program_whose_last_words_have_no_line_end(tmp_path: Path) -> None:
    code = "head -c 300000 /dev/zero | tr '\\0' x; exit 3"
    result = numawise("compare", "--arm", "--node 0", "--", "sh", "-c", code, home=tmp_path)
    refused(result, 4, "exit code 3")
    assert len(result.stderr) < 1000


def test_a_command_that_is_not_utf8(tmp_path: Path) -> None:
    result = by_shell("\"$@\" compare --arm '--node 0' -- echo $'a\\xff'", tmp_path)
    assert result.returncode == 2
    assert b"is not UTF-8" in result.stderr


def test_in_a_pid_namespace_with_the_old_proc(tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-p", "-f", "true"], capture_output=True).returncode:
        pytest.skip("a PID namespace takes root")
    # The stranger must live: in the old /proc, ids of our namespace are other processes, with other children.
    line = (
        'unshare -p -f bash -c \'sleep 50 & "$@" run -q --workers 1 -- sh -c "kill -TERM $$"; "$@" run -- sleep 0.3\
 ; kill $!\' bash "$@"'
    )
    result = by_shell(line, tmp_path)
    assert result.returncode == 0, result.stderr
    assert b"not looked at: /proc is not of this PID namespace" in result.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"placements": []}, "no placement"),
        ({"rank": 1}, "do not count up"),
        ({"cpus": ""}, "has no CPU"),
        ({"env": {"": "x"}}, "environment variable"),
        ({"env": {"A": "\0"}}, "environment variable"),
        ({"cpus": "0-999999999"}, "out of range"),
    ],
)
def test_a_profile_mended_to_death(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    placement = {"rank": 0, "cpus": "0", "memory": {"mode": "default", "nodes": []}, **wrong}
    machine = {"architecture": "x86_64", "nodes": [], "sockets": [], "cores": []}
    plan = {"placements": wrong.get("placements", [placement])}
    profile = {"name": "p", "plan": plan, "command": [], "topology_key": "", "machine": machine, "version": 1}
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "p.json").write_text(json.dumps(profile))
    refused(numawise("run", "--profile", "p", "--", "true", home=tmp_path), 2, said, "p.json")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a second placement needs two CPUs")
def test_resume_with_other_options(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    arm = ("compare", "--max-pairs", "6", "--arm", f"--cpus {cpu}")
    program = ("--", "echo", "5")
    assert numawise(*arm, "--metric", "5", *program, home=tmp_path).returncode == 0
    assert numawise(*arm, "--metric", "5", "--resume", *program, home=tmp_path).returncode == 0
    refused(numawise(*arm, "--metric", ".", "--resume", *program, home=tmp_path), 2, "measures 5")
    other = ("compare", "--arm", "--no-smt", "--metric", "5", "--resume", *program)
    refused(numawise(*other, home=tmp_path), 2, f"compares default with '--cpus {cpu}'".replace("'", ""))


def test_ports_beyond_the_last(tmp_path: Path) -> None:
    words = ("run", "--profile", "two", "--port", "65535", "--", "echo", "{port}")
    cpu = str(min(os.sched_getaffinity(0)))
    places = [
        {"rank": rank, "cpus": cpu, "memory": {"mode": "default", "nodes": []}, "ranks": 2} for rank in (0, 1)
    ]
    machine = {"architecture": "x86_64", "nodes": [], "sockets": [], "cores": []}
    profile = {
        "name": "two",
        "plan": {"placements": places},
        "command": [],
        "topology_key": "",
        "machine": machine,
    }
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "two.json").write_text(json.dumps({**profile, "version": 1}))
    refused(numawise(*words, home=tmp_path), 2, "--port 65535 leaves no port")
