"""What a machine may be read from, and all that must be refused with one line that names it."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import CPU, machine

from numawise.errors import NumawiseError, SnapshotError
from numawise.machine import read
from numawise.machine.archive import ArchiveRoot


@pytest.mark.parametrize("name", ["m.tar", "m.tar.gz", "m.tgz"])
@pytest.mark.parametrize("top", ["./", "", "host-7/"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_archive_and_folder_are_the_same_machine(tmp_path: Path, name: str, top: str, form: int) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    for cpu in range(8):
        tree.files[f"{CPU}/cpufreq/policy{cpu}/cpuinfo_max_freq"] = (
            "3000000\n" if cpu % 4 < 2 else "2000000\n"
        )
        tree.links[f"{CPU}/cpu{cpu}/cpufreq"] = f"../cpufreq/policy{cpu}"
    topology = read(tree.archive(tmp_path / name, top=top, form=form))
    assert topology == read(tree.folder(tmp_path / "folder"))
    assert len(topology.cpu_kinds) == 2


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_long_links(tmp_path: Path, form: int) -> None:
    deep = "/".join(["a-folder-with-a-long-name"] * 9)
    tree = machine(nodes=2, cores_per_node=2)
    tree.files[f"{deep}/online"] = tree.files.pop(f"{CPU}/online").replace("7", "6")
    tree.links[f"{CPU}/online"] = f"../../../../{deep}/online"
    assert str(read(tree.archive(tmp_path / "m.tar.gz", form=form)).cpus) == "0-6"


def test_hard_links(tmp_path: Path) -> None:
    path = tmp_path / "m.tar"
    machine(nodes=2, cores_per_node=2).archive(path)
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(f"./{CPU}/online")
        member.type, member.linkname = tarfile.LNKTYPE, f"./{CPU}/cpu3/topology/core_siblings_list"
        tar.addfile(member)
    assert str(read(path).cpus) == "2-3,6-7"


@pytest.mark.parametrize("bad", ["../outside", "/etc/passwd", "sys/../../outside", "./../x"])
def test_members_that_lead_out_are_refused(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "evil.tar"
    machine().archive(path)
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo(bad), io.BytesIO())
    with pytest.raises(SnapshotError, match=r"evil\.tar: refused: its member .* leads out of the archive"):
        read(path)
    assert os.listdir(tmp_path) == ["evil.tar"]


@pytest.mark.parametrize("target", ["../../../../../../../../outside", "../../../../../outside"])
def test_links_out_of_the_tree_are_not_followed_and_told(tmp_path: Path, target: str) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    del tree.files[f"{CPU}/online"]
    tree.links[f"{CPU}/online"] = target
    (tmp_path / "outside").write_text("0-1\n")
    for root in (tree.folder(tmp_path / "tree"), tree.archive(tmp_path / "tree.tar")):
        topology = read(root)
        assert str(topology.cpus) == "0-7"
        assert any("lead out of the tree" in note and f"{CPU}/online" in note for note in topology.notes)


def test_a_folder_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    machine(nodes=1).folder(tmp_path / "real")
    (tmp_path / "tree" / "proc").mkdir(parents=True)
    (tmp_path / "tree" / "sys").symlink_to("../real/sys")
    with pytest.raises(SnapshotError, match="links out of the tree are not followed: sys"):
        read(tmp_path / "tree")


def test_absolute_links_start_at_the_top_of_the_tree(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files["proc/list"] = "0-3\n"
    del tree.files[f"{CPU}/online"]
    tree.links[f"{CPU}/online"] = "/proc/list"
    for root in (
        tree.folder(tmp_path / "tree"),
        tree.archive(tmp_path / "tree.tar"),
        tree.archive(tmp_path / "top.tar", top="name/"),
    ):
        assert str(read(root).cpus) == "0-3"


def test_loops_end(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    del tree.files[f"{CPU}/online"]
    tree.links |= {f"{CPU}/online": "other", f"{CPU}/other": "online", "sys/loop": "."}
    for root in (tree.folder(tmp_path / "tree"), tree.archive(tmp_path / "tree.tar")):
        assert str(read(root).cpus) == "0-7"


def test_pipes_and_devices_are_passed_over(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    del tree.files[f"{CPU}/online"]
    root = Path(tree.folder(tmp_path / "tree"))
    os.mkfifo(root / CPU / "online")
    assert str(read(root).cpus) == "0-7"
    tree.archive(tmp_path / "tree.tar")
    with tarfile.open(tmp_path / "tree.tar", "a") as tar:
        member = tarfile.TarInfo(f"{CPU}/online")
        member.type = tarfile.FIFOTYPE
        tar.addfile(member)
    assert str(read(tmp_path / "tree.tar").cpus) == "0-7"


def test_nothing_of_an_archive_is_written(tmp_path: Path) -> None:
    path = machine().archive(tmp_path / "m.tar.gz")
    before = sorted(os.listdir(tmp_path))
    read(path)
    assert sorted(os.listdir(tmp_path)) == before


def one_line(error: NumawiseError, *words: str) -> None:
    text = str(error)
    assert "\n" not in text
    assert all(word in text for word in words), text


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["cut.tar", "cut.tar.gz"])
def test_truncated(tmp_path: Path, name: str, share: float) -> None:
    whole = Path(machine(nodes=2).archive(tmp_path / f"whole-{name}")).read_bytes()
    if name.endswith("tar"):
        whole = whole.rstrip(b"\0")  # the padding of the last block is no loss
    path = tmp_path / name
    path.write_bytes(whole[: max(3, int(len(whole) * share))])
    with pytest.raises(SnapshotError) as caught:
        read(path)
    one_line(caught.value, str(path))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not a tar archive"),
        (b"hello", "not a tar archive"),
        (b"\x00" * 10240, "neither sys/ nor proc/"),
        (bytes(range(256)) * 16, "not a tar archive"),
        (b"\x1f\x8bnonsense", "gzip"),
        (gzip.compress(b"hello"), "not a tar archive"),
    ],
)
def test_not_an_archive(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "what.tar.gz"
    path.write_bytes(content)
    with pytest.raises(SnapshotError) as caught:
        read(path)
    one_line(caught.value, str(path), word)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = Path(machine().archive(tmp_path / "m.tar.gz"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(bytes(raw))
    with pytest.raises(SnapshotError, match=r"m\.tar\.gz"):
        read(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)) * 520)
    with pytest.raises(SnapshotError, match="unpacks to more than 512 MiB"):
        read(path)


def test_streams_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.tar.gz"
    path.write_bytes(gzip.compress(b"") * 2000)
    with pytest.raises(SnapshotError, match="gzip streams"):
        read(path)


def test_a_huge_member_is_not_read(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files[f"{CPU}/online"] = "0" * (5 << 20)
    assert str(read(tree.archive(tmp_path / "m.tar.gz")).cpus) == "0-7"


def test_missing_and_wrong_kinds_of_file(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError) as caught:
        read(tmp_path / "absent")
    one_line(caught.value, "absent", "ENOENT")
    with pytest.raises(SnapshotError, match="neither sys/ nor proc/"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SnapshotError, match="pipe: neither a folder nor a regular file"):
        read(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SnapshotError, match="ELOOP"):
        read(tmp_path / "loop")
    for nonsense in ("", "a\0b"):
        with pytest.raises(NumawiseError, match="not a path"):
            read(nonsense)


@given(st.binary(max_size=2000))
def test_no_bytes_break_the_archive_reader(raw: bytes) -> None:
    try:
        ArchiveRoot("x.tar", raw)
    except SnapshotError as error:
        assert "x.tar" in str(error)


@given(st.integers(0, 511), st.integers(0, 255))
def test_no_header_breaks_the_archive_reader(position: int, value: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("sys/x")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"0-1"))
    raw = bytearray(buffer.getvalue())
    raw[position] = value
    # A true checksum, so that the damage gets past it.
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    try:
        ArchiveRoot("x.tar", bytes(raw))
    except SnapshotError as error:
        assert "x.tar" in str(error)
