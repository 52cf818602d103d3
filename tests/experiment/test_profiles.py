"""What a profile promises: it comes back as it went in, and says when the machine is another one."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from numawise.errors import NumawiseError, SnapshotError, UsageError
from numawise.experiment.profiles import (
    Profile,
    check_name,
    differences,
    list_profiles,
    load_profile,
    save_profile,
)
from numawise.experiment.records import Verdict
from numawise.linux.cpuset import CPUSet
from numawise.machine.identity import machine_facts, topology_key
from numawise.machine.topology import Allowed, Device, Node, Socket, Topology
from numawise.placement.values import MemoryPolicy, Placement, Plan

TOPOLOGY = Topology(
    cpus=CPUSet(range(8)),
    cores=4,
    nodes=(
        Node(id=0, cpus=CPUSet([0, 1, 4, 5]), memory_kib=263_000_000, kind="dram", free_kib=1),
        Node(id=8, cpus=CPUSet([2, 3, 6, 7]), memory_kib=264_000_000, kind="dram"),
    ),
    distances={0: {0: 10, 8: 21}, 8: {0: 21, 8: 10}},
    allowed=Allowed(cpus=CPUSet(range(8)), nodes=(0, 8)),
    devices=(Device(address="0000:51:00.0", kind="gpu", node=8, names=("card0",)),),
    smt_siblings=tuple(CPUSet([i, i + 4]) for i in range(4)),
    sockets=(Socket(0, CPUSet([0, 1, 4, 5])), Socket(1, CPUSet([2, 3, 6, 7]))),
    architecture="x86_64",
)


def a_profile(name: str = "serve") -> Profile:
    return Profile(
        name=name,
        plan=Plan((Placement(rank=0, cpus=CPUSet([2, 3]), memory=MemoryPolicy("bind", (8,)), threads=2),)),
        command=("python", "serve.py"),
        topology_key=topology_key(TOPOLOGY),
        machine=machine_facts(TOPOLOGY),
        candidate="bind:8 1x2 no-smt",
        policy="bind:8",
        workers=1,
        threads=2,
        smt=False,
        verdict=Verdict("better", 0.9, 0.85, 0.95, 11),
        created=1.5,
        study="one",
    )


def changed(topology: Topology, **changes: object) -> Topology:
    return msgspec.structs.replace(topology, **changes)


def test_it_comes_back_as_it_went_in(tmp_path: Path) -> None:
    path = save_profile(a_profile(), tmp_path / "profiles")
    assert load_profile("serve", tmp_path / "profiles") == a_profile()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    save_profile(a_profile("other"), tmp_path / "profiles")
    save_profile(a_profile(), tmp_path / "profiles")
    assert list_profiles(tmp_path / "profiles") == ("other", "serve")
    assert sorted(p.name for p in path.parent.iterdir()) == ["other.json", "serve.json"]


def test_it_lives_under_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMAWISE_HOME", str(tmp_path))
    assert list_profiles() == ()
    assert save_profile(a_profile()) == tmp_path / "profiles" / "serve.json"
    assert load_profile("serve").name == "serve"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "../x", "-rf", "a b", "a\n", "a\0b", "é", "x" * 65, "/etc/passwd"],
)
def test_a_name_that_could_leave_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    for act in (
        lambda: check_name(name),
        lambda: load_profile(name, tmp_path),
        lambda: save_profile(a_profile(name)),
    ):
        with pytest.raises(UsageError, match="not a profile name"):
            act()


def test_an_unknown_name_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no profile 'x' in .*numawise tune"):
        load_profile("x", tmp_path)
    save_profile(a_profile(), tmp_path)
    with pytest.raises(UsageError, match=r"no profile 'x' in .* \(there: serve\)"):
        load_profile("x", tmp_path)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (lambda form: "{", "truncated"),
        (lambda form: "", "truncated"),
        (lambda form: "[]", "array"),
        (lambda form: json.dumps({**form, "version": 2}), "version 2 is from a newer numawise"),
        (lambda form: json.dumps({k: v for k, v in form.items() if k != "plan"}), "`plan`"),
        (lambda form: json.dumps({k: v for k, v in form.items() if k != "version"}), "`version`"),
        (lambda form: json.dumps({**form, "workers": "two"}), r"\$\.workers"),
        (lambda form: json.dumps({**form, "machine": {**form["machine"], "cores": ["3-1"]}}), "backwards"),
    ],
)
def test_a_file_that_is_no_profile_is_named_with_its_field(
    tmp_path: Path, change: object, answer: str
) -> None:
    path = save_profile(a_profile(), tmp_path)
    path.write_text(change(json.loads(path.read_text())))  # type: ignore[operator]
    with pytest.raises(SnapshotError, match=answer) as error:
        load_profile("serve", tmp_path)
    assert str(path) in str(error.value)


def test_fields_that_a_later_minor_version_added_are_ignored(tmp_path: Path) -> None:
    path = save_profile(a_profile(), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "good"}))
    assert load_profile("serve", tmp_path) == a_profile()


def test_the_key_stays_while_the_machine_does() -> None:
    nodes = tuple(
        msgspec.structs.replace(n, free_kib=7, memory_kib=n.memory_kib - 3_000_000) for n in TOPOLOGY.nodes
    )
    same = changed(
        TOPOLOGY,
        nodes=nodes[::-1],
        devices=(),
        notes=("x",),
        sockets=TOPOLOGY.sockets[::-1],
        smt_siblings=TOPOLOGY.smt_siblings[::-1],
        allowed=Allowed(cpus=CPUSet([0]), nodes=(0,)),
        transparent_huge_pages="always",
    )
    assert topology_key(same) == topology_key(TOPOLOGY)
    assert differences(a_profile(), same) == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "aarch64"}, "architecture was x86_64, is aarch64"),
        ({"nodes": TOPOLOGY.nodes[:1]}, "node 8 is not here"),
        ({"nodes": (*TOPOLOGY.nodes, Node(9, CPUSet(), 1, "cxl"))}, "node 9 was not there"),
        (
            {"nodes": (TOPOLOGY.nodes[0], Node(8, CPUSet([2, 3]), 264_000_000, "dram"))},
            "node 8 had CPUs 2-3,6-7, has 2-3",
        ),
        (
            {"nodes": (TOPOLOGY.nodes[0], Node(8, CPUSet([2, 3, 6, 7]), 130_000_000, "dram"))},
            "node 8 had 256 GiB of memory, has 128 GiB",
        ),
        (
            {"sockets": TOPOLOGY.sockets[:1]},
            "sockets were 2 (CPUs 0-1,4-5 and 2-3,6-7), are 1 (CPUs 0-1,4-5)",
        ),
        ({"smt_siblings": tuple(CPUSet([i]) for i in range(8))}, "there were 4 physical cores, are 8"),
        (
            {"smt_siblings": tuple(CPUSet([2 * i, 2 * i + 1]) for i in range(4))},
            "SMT siblings are numbered otherwise: CPUs 0,4 were a core, 0-1 are",
        ),
    ],
)
def test_each_way_of_being_another_machine_is_said(changes: dict[str, object], words: str) -> None:
    other = changed(TOPOLOGY, **changes)
    assert differences(a_profile(), other) == (words,)
    # The key leaves the amount of memory out: it changes while a virtual machine runs.
    assert (topology_key(other) == topology_key(TOPOLOGY)) is ("of memory" in words)


def test_a_folder_that_cannot_be_written_gets_a_line() -> None:
    with pytest.raises(NumawiseError, match=r"could not .*/proc/.*NUMAWISE_HOME"):
        save_profile(a_profile(), Path("/proc/self/profiles"))


def test_the_fast_path_loads_nothing_slow() -> None:
    program = (
        "import sys; import numawise.experiment.profiles\n"
        "print([m for m in ('sqlite3','numpy','rich','jinja2','click',"
        "'tarfile','dataclasses','tempfile','asyncio','argparse','hashlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
