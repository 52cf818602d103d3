"""Slurm scripts and systemd units: what their own programs say to them, and what the processes get."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from machines import two_sockets
from placement.test_render_words import Dump, needs_systemd

from numawise.linux.cpuset import CPUSet
from numawise.placement.plan import plan
from numawise.placement.render import export
from numawise.placement.render.shared.job import Job
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy, Placement, Plan

MACHINE = two_sockets(weighted=True)
POLICIES = ("default", "local", "bind", "preferred", "preferred-many", "interleave", "weighted-interleave")


def per_node(mode: str, *command: str) -> Job:
    policy = MemoryPolicy(mode)  # type: ignore[arg-type]
    return Job(plan(MACHINE, Request(per="node", memory=policy, env={"RANK": "{rank}"})), command)


@pytest.mark.parametrize(
    ("mode", "option"),
    [
        ("default", ""),
        ("local", "--mem-bind=local"),
        ("bind", "--mem-bind=mask_mem:0x1,0x2"),
        ("preferred", "--mem-bind=prefer,map_mem:0,1"),
        ("preferred-many", "numactl --preferred-many=1 "),
        ("interleave", "numactl --interleave=0-1 "),
        ("weighted-interleave", "numactl --weighted-interleave=0-1 "),
    ],
)
def test_slurm_policies(mode: str, option: str) -> None:
    made = export(per_node(mode, "true"), "slurm")
    assert option in made.text
    assert "--cpu-bind=mask_cpu:0xff00ff,0xff00ff00 " in made.text
    assert ("--mem-bind" in made.text) is option.startswith("--mem")
    assert any("srun has no option" in note for note in made.notes) is option.startswith("numactl")


@pytest.mark.parametrize("mode", POLICIES)
def test_slurm_scripts_are_bash(mode: str) -> None:
    text = export(per_node(mode, "serve", "it's", "{rank}"), "slurm").text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.skipif(shutil.which("srun") is None, reason="Slurm is not installed (Debian: slurm-client)")
def test_slurm_knows_the_options(tmp_path: Path) -> None:
    """Its programs read all options before they miss the controller."""
    conf = tmp_path / "slurm.conf"
    conf.write_text(
        "ClusterName=c\nSlurmctldHost=localhost\nNodeName=localhost CPUs=2\nPartitionName=p Nodes=ALL Default=YES\n"
        "TaskPlugin=task/affinity\nMessageTimeout=2\n"
    )
    environment = {**os.environ, "SLURM_CONF": str(conf)}

    def said(*words: str) -> str:
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        return done.stderr

    script = tmp_path / "job"
    for mode in ("local", "bind", "preferred"):
        text = export(per_node(mode, "true"), "slurm").text
        script.write_text(text)
        assert "Unable to contact slurm controller" in said("sbatch", "--test-only", str(script))
        srun = next(line for line in text.splitlines() if line.startswith("srun"))
        assert "Unable to contact slurm controller" in said(*srun.split()[:4], "--immediate=1", "true")
    assert "unrecognized" in said("srun", "--mem-bind=nonsense:0", "true")


def test_slurm_gives_each_task_its_own(tmp_path: Path) -> None:
    """`srun` stands in for the cluster's: as many tasks, with the numbers that Slurm gives them."""
    fake = tmp_path / "srun"
    fake.write_text('#!/bin/bash\nshift 3\nfor n in 0 1; do SLURM_PROCID=$n "$@"; done\n')
    fake.chmod(0o755)
    text = export(per_node("bind", "sh", "-c", "echo $RANK $0 $OMP_NUM_THREADS", "node{node}"), "slurm").text
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    seen = subprocess.run(["bash"], input=text, env=environment, text=True, capture_output=True, check=True)
    assert seen.stdout == "0 node0 8\n1 node1 8\n"


def test_slurm_asks_for_gpus_and_says_who_picks_them() -> None:
    places = (
        Placement(rank=0, cpus=CPUSet([0]), devices=("a",), ranks=2),
        Placement(rank=1, cpus=CPUSet([1]), devices=("b",), ranks=2),
    )
    made = export(Job(Plan(places), ("true",)), "slurm")
    assert "#SBATCH --gres=gpu:2\n" in made.text
    assert any("Slurm picks 2" in note for note in made.notes)


@needs_systemd
@pytest.mark.parametrize("mode", POLICIES)
def test_systemd_reads_cpus_and_policy(mode: str) -> None:
    made = export(per_node(mode, "/bin/true", "LASTWORD"), "systemd")
    assert list(made.files) == ["numawise-0.service", "numawise-1.service"]
    dump = Dump(made.files["numawise-1.service"])
    assert dump.field("CPUAffinity") == "8-15 24-31"
    command = dump.command("LASTWORD")
    if mode in ("preferred-many", "weighted-interleave"):
        assert command[:2] == ["numactl", f"--{mode}={'1' if mode == 'preferred-many' else '0-1'}"]
        assert any("NUMAPolicy= has no word" in note for note in made.notes)
    else:
        assert command == ["/bin/true"]
        if mode != "default":
            assert dump.field("NUMAPolicy") == mode
        if mode in ("bind", "preferred", "interleave"):
            assert dump.field("NUMAMask") == ("0-1" if mode == "interleave" else "1")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for mode in ("bind", "interleave", "local"):
        made = export(per_node(mode, "sh", "-c", "echo 100% $HOME; exit"), "systemd")
        for name, text in made.files.items():
            (tmp_path / name).write_text(text)
        units = [str(tmp_path / name) for name in made.files]
        line = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units]
        done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        assert not [said for said in done.stderr.splitlines() if "numawise" in said]
    (tmp_path / "bad.service").write_text("[Service]\nExecStart=/bin/true\nNUMAPolicy=nonsense\n")
    done = subprocess.run(
        [*line[:4], str(tmp_path / "bad.service")], capture_output=True, text=True, check=False
    )
    assert "nonsense" in done.stderr


def test_thp_never_is_said_everywhere() -> None:
    for tool in ("numactl", "taskset", "docker", "compose", "k8s", "slurm", "systemd"):
        placed = plan(MACHINE, Request(thp="never"))
        made = export(Job(placed, ("true",), image="i", size_kib=1), tool)
        assert "--thp never is lost" in made.text
        assert any("--thp never is lost" in note for note in made.notes)
    assert "transparent huge pages never" in export(Job(placed, ()), "env").text
