"""Saved machines: equal when read back, nothing personal in them, whole or not there."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest
from trees import Tree, machine

from numawise.errors import NumawiseError, SnapshotError, UsageError
from numawise.machine import load, read, save
from numawise.machine.codec import to_json
from numawise.machine.topology import Topology


def secretive() -> Tree:
    """A machine whose files hold what must not get out."""
    tree = machine(nodes=2, cores_per_node=2)
    tree.files |= {
        "proc/mounts": "secret-host:/home/alice /home nfs rw 0 0\nnone /dev/cpuset cpuset rw 0 0\n",
        "proc/self/cpuset": "/secret-user/job\n",
        "dev/cpuset/secret-user/job/cpus": "0-3\n",
        "dev/cpuset/secret-user/job/mems": "1\n",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Made Up CPU\nSerial\t\t: secret\nHardware\t: secret\n",
        "proc/meminfo": "MemTotal: 1 kB\nMemFree: 1 kB\nsecret-line: 1 kB\n",
        "proc/hwloc-nofile-info": "HostName: secret-host\nArchitecture: x86_64\n",
        "proc/driver/nvidia/gpus/0000:51:00.0/numa_status": "Node: 1\nsecret-line: 3\n",
        "proc/driver/nvidia/gpus/0000:51:00.0/information": "GPU UUID: secret-uuid\n",
        "sys/devices/virtual/dmi/id/product_serial": "secret-serial\n",
    }
    tree.device(
        "0000:51:00.0", 0x030200, 0x10DE, 0x2330, 1, uevent="PCI_CLASS=30200\nPCI_ID=10DE:2330\nsecret=1\n"
    )
    tree.device("0000:41:00.0", 0x020000, 0x15B3, 0x1021, 0, net__eth0__address="secret:mac\n")
    tree.device("0000:42:00.0", 0x020000, 0x15B3, 0x1021, 0, net__enx0123456789ab__mtu="1500\n")
    return tree


def test_read_back_equal_and_nothing_personal(tmp_path: Path) -> None:
    root = secretive().folder(tmp_path / "machine")
    path = tmp_path / "saved.tar.gz"
    topology = save(path, root)
    assert (str(topology.allowed.cpus), topology.allowed.nodes) == ("0-3", (1,))
    assert read(path) == topology == read(root)
    with tarfile.open(path) as tar:
        everything = "\n".join(
            f"{m.name} {m.uname} {m.gname} {m.linkname} "
            + (tar.extractfile(m).read().decode() if m.isreg() else "")  # type: ignore[union-attr]
            for m in tar
        )
        assert all(m.isreg() or m.isdir() for m in tar)
        assert {(m.mtime, m.uid, m.gid) for m in tar} == {(0, 0, 0)}
    assert "secret" not in everything
    assert "alice" not in everything
    assert "0123456789ab" not in everything
    assert b"saved" not in path.read_bytes()[:64]  # gzip's own header can hold a name


def test_the_live_machine(tmp_path: Path) -> None:
    def lasting(topology: Topology) -> Topology:
        nodes = [
            msgspec.structs.replace(n, memory_kib=0, free_kib=0, reclaimable_kib=0) for n in topology.nodes
        ]
        return msgspec.structs.replace(topology, nodes=tuple(nodes))

    path = tmp_path / "live.tar.gz"
    saved = save(path)
    assert read(path) == saved
    assert lasting(saved) == lasting(read())
    with tarfile.open(path) as tar:
        content = "\n".join(tar.extractfile(m).read().decode() for m in tar if m.isreg())  # type: ignore[union-attr]
    assert os.uname().nodename not in content
    assert not re.search(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", content)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    root = machine(nodes=2).folder(tmp_path / "machine")
    save(tmp_path / "a.tar.gz", root)
    save(tmp_path / "b.tar.gz", tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_an_impossible_cpuset_is_saved_as_it_is(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files["proc/self/status"] = "Cpus_allowed_list:\t90\n"
    topology = save(tmp_path / "s.tar.gz", tree.folder(tmp_path / "m"))
    assert topology.notes
    assert read(tmp_path / "s.tar.gz") == topology


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    root = machine(nodes=1).folder(tmp_path / "machine")
    before = os.umask(0o027)
    try:
        save(tmp_path / "s.tar.gz", root)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s.tar.gz").stat().st_mode) == 0o640


@pytest.mark.parametrize("target", ["absent/s.tar.gz", "folder", "pipe"])
def test_places_that_cannot_be_written(tmp_path: Path, target: str) -> None:
    root = machine(nodes=1).folder(tmp_path / "machine")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="could not write"):
        save(tmp_path / target, root)
    assert sorted(os.listdir(tmp_path)) == ["folder", "machine", "pipe"]


def test_a_file_that_cannot_grow_leaves_nothing_behind(tmp_path: Path) -> None:
    """A full disk, as a limit on the size of files: the write fails part of the way."""
    root = machine(nodes=2).folder(tmp_path / "machine")
    target = tmp_path / "out" / "s.tar.gz"
    target.parent.mkdir()
    target.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        with pytest.raises(NumawiseError, match=r"could not write .*EFBIG"):
            save(target, root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["s.tar.gz"]


def test_facts_from_a_newer_version_are_refused(tmp_path: Path) -> None:
    tree = machine(nodes=1)
    tree.files["numawise.json"] = '{"version": 99, "something": "new"}'
    path = tree.archive(tmp_path / "new.tar.gz")
    with pytest.raises(SnapshotError, match=r"new\.tar\.gz: written by a newer numawise"):
        read(path)


@pytest.mark.parametrize("facts", ["{", "[]", '{"version": "one"}', "{}"])
def test_damaged_facts(tmp_path: Path, facts: str) -> None:
    tree = machine(nodes=1)
    tree.files["numawise.json"] = facts
    with pytest.raises(SnapshotError, match=r"m\.tar: numawise\.json"):
        read(tree.archive(tmp_path / "m.tar"))


def test_json(tmp_path: Path) -> None:
    topology = read(secretive().folder(tmp_path / "machine"))
    path = tmp_path / "m.json"
    path.write_bytes(to_json(topology, indent=2))
    assert read(path) == load(path) == topology
    # The fields that scripts rely on come first.
    document = json.loads(path.read_text())
    assert list(document)[:6] == ["cpus", "cores", "nodes", "distances", "allowed", "devices"]
    assert document["distances"]["0"] == {"0": 10, "1": 21}
    gpu = {"address": "0000:51:00.0", "kind": "gpu", "node": 1}
    assert document["devices"][2] | gpu == document["devices"][2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "written by a newer numawise"),
        ({"cpus": "3-1"}, "runs backwards"),
        ({"cores": "many"}, "cores"),
        ({"nodes": None}, "nodes"),
    ],
)
def test_json_that_cannot_be_used(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "m.json"
    document = json.loads(to_json(read(machine(nodes=1).folder(tmp_path / "machine"))))
    path.write_text(json.dumps(document | change))
    with pytest.raises(SnapshotError, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_json_without_a_field_names_it(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"cpus": "0", "cores": 1}')
    with pytest.raises(SnapshotError, match=r"m\.json.*nodes"):
        read(tmp_path / "m.json")


def test_reading_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys, msgspec; its = set(sys.modules); from numawise.machine import read; read();"
        "print([m for m in ('numpy','rich','click','tarfile','pathlib','dataclasses','subprocess','tempfile')"
        " if m in set(sys.modules) - its])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WITH_PATHS + code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# Without `site`, which an editable install makes import things of its own.
_WITH_PATHS = (
    f"import sys; sys.path[:] = {[p for p in sys.path if p] + [str(Path(__file__).parents[2] / 'src')]!r};"
)
