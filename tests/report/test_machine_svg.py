"""The drawing and the text of a machine: well-formed, complete, for the smallest and the largest."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from machines import two_sockets
from trees import NODE, machine

from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.machine.topology import Allowed, CPUKind, Device, Topology
from numawise.report.machine_svg import draw
from numawise.report.machine_text import describe

SVG = "{http://www.w3.org/2000/svg}"


def drawn(topology: Topology, highlight: str = "") -> ET.Element:
    return ET.fromstring(draw(topology, highlight=CPUSet.parse(highlight)))


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if f"nwm-{name}" in (element.get("class") or "").split()]


def words(root: ET.Element) -> str:
    return " | ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def test_every_cpu_is_drawn_once() -> None:
    topology = two_sockets(8)
    numbers = [int(element.text or "") for element in of_class(drawn(topology), "n")]
    assert sorted(numbers) == list(topology.cpus)


def test_states() -> None:
    topology = two_sockets(4, allowed_cpus="0-3,8-11")
    root = drawn(topology, "0-1")
    assert sorted(int(e.text or "") for e in of_class(root, "n") if "nwm-h" in e.get("class", "")) == [0, 1]
    assert sorted(int(e.text or "") for e in of_class(root, "n") if "nwm-x" in e.get("class", "")) == [
        *range(4, 8),
        *range(12, 16),
    ]
    assert "not allowed to this process" in words(root)
    assert "highlighted" in words(root)
    plain = words(drawn(two_sockets(4)))
    assert "not allowed" not in plain
    assert "highlighted" not in plain


def test_kinds_of_core() -> None:
    topology = msgspec.structs.replace(
        two_sockets(2, smt=False),
        cpu_kinds=(CPUKind("performance", CPUSet([0, 1])), CPUKind("efficiency", CPUSet([2, 3]))),
    )
    root = drawn(topology)
    assert sorted(int(e.text or "") for e in of_class(root, "n") if "nwm-e" in e.get("class", "")) == [2, 3]
    assert "efficiency core" in words(root)


def test_devices_stand_at_their_node_and_bridges_nowhere() -> None:
    devices = (
        Device("0000:51:00.0", "gpu", 1, vendor="0x10de", device="0x2330"),
        Device("0000:41:00.0", "nic", None, vendor="0x15b3", device="0x1021", names=("eth<0>",)),
        Device("0000:00:00.0", "other", 0, vendor="0x8086"),
    )
    root = drawn(msgspec.structs.replace(two_sockets(2), devices=devices))
    text = words(root)
    assert "NVIDIA GPU | 0000:51:00.0" in text
    assert "0000:41:00.0 eth<0>" in text
    assert "their node is not known" in text
    assert "0000:00:00.0" not in text


def test_many_devices_are_counted() -> None:
    devices = tuple(Device(f"0000:{i:02x}:00.0", "nic", 0) for i in range(64))
    assert "+40" in words(drawn(msgspec.structs.replace(two_sockets(2), devices=devices)))


def test_memory_that_is_not_allowed_says_so() -> None:
    topology = two_sockets(2)
    topology = msgspec.structs.replace(topology, allowed=Allowed(topology.cpus, (1,)))
    assert words(drawn(topology)).count("not allowed") == 1


def test_cpuless_nodes_and_distances() -> None:
    root = drawn(two_sockets(2, cpuless=True))
    assert "no CPUs" in words(root)
    topology = two_sockets(2)
    distances = {a: {b: 10 if a == b else 47 for b in (0, 1)} for a in (0, 1)}
    assert words(drawn(msgspec.structs.replace(topology, distances=distances))).count("47") == 2


def test_everything_stays_inside_the_picture_and_the_page(tmp_path: Path) -> None:
    trees = [
        machine(nodes=1, cores_per_node=1, threads=1),
        machine(nodes=2, cores_per_node=64, l3_cores=8),
        machine(nodes=8, cores_per_node=64, l3_cores=8),
        machine(nodes=2, cores_per_node=4, threads=8),
        machine(nodes=24, cores_per_node=2, threads=1),
    ]
    for i, tree in enumerate(trees):
        svg = draw(read(tree.folder(tmp_path / str(i))))
        root = ET.fromstring(svg)
        _, _, width, height = map(float, (root.get("viewBox") or "").split())
        assert width <= 1280
        for rect in root.iter(f"{SVG}rect"):
            x, y, w, h = (float(rect.get(name, "0")) for name in ("x", "y", "width", "height"))
            assert x >= -1 and y >= -1 and x + w <= width and y + h <= height
        # Made for pages that hold other things: no ids, and no rule that reaches out of the drawing.
        assert " id=" not in svg
        selectors = re.findall(r"([^{}]+)\{", (root.find(f"{SVG}style").text or ""))  # type: ignore[union-attr]
        assert all(selector.strip().startswith((".nwm", "@media")) for selector in selectors)


def test_sockets_that_hold_nodes_and_nodes_that_hold_sockets(tmp_path: Path) -> None:
    tree = machine(nodes=4, cores_per_node=2, threads=1)
    for cpu in range(8):
        tree.files[f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"] = f"{cpu // 4}\n"
    text = words(drawn(read(tree.folder(tmp_path / "a"))))
    assert text.index("Socket 0") < text.index("Node 1") < text.index("Socket 1") < text.index("Node 2")
    tree = machine(nodes=2, cores_per_node=2, threads=1)
    tree.files = {name: body for name, body in tree.files.items() if not name.startswith(NODE)}
    text = words(drawn(read(tree.folder(tmp_path / "b"))))
    assert text.index("Node 0") < text.index("Socket 0") < text.index("Socket 1")


@pytest.mark.parametrize("nodes", [1, 2, 8, 24])
def test_text_fits_eighty_columns(tmp_path: Path, nodes: int) -> None:
    tree = machine(nodes=nodes, cores_per_node=16, l3_cores=4, threads=2)
    tree.device("0000:51:00.0", 0x030200, 0x10DE, 0x2330, 0)
    tree.files["sys/devices/system/cpu/online"] = f"0-{nodes * 32 - 3}\n"
    tree.files["proc/self/status"] = (
        f"Cpus_allowed_list:\t{','.join(str(c) for c in range(0, nodes * 16, 3))},1\n"
    )
    text = describe(read(tree.folder(tmp_path)))
    assert max(map(len, text.splitlines())) <= 85 if nodes > 8 else max(map(len, text.splitlines())) <= 80
    assert "0000:51:00.0  gpu" in text
    assert "offline: CPUs" in text


def test_text_says_what_is_strange_and_what_is_not_known(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files[f"{NODE}/node1/cpulist"] = "0-7\n"
    tree.device("0000:51:00.0", 0x030200, 0x10DE, 0x2330, -1)
    tree.hmat(0, [0], latency=90, bandwidth=204_800)
    text = describe(read(tree.folder(tmp_path)))
    assert "note: the node directories contradict each other" in text
    assert "the kernel does not know the node" in text


def test_text_shows_what_the_firmware_claims(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.hmat(1, [1], latency=90, bandwidth=204_800)
    assert "90 ns, 200 GiB/s" in describe(read(tree.folder(tmp_path)))
