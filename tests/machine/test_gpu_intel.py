"""Intel GPUs: by number in PCI order, tiles counted as Level Zero counts them."""

from __future__ import annotations

from pathlib import Path

from gpu_trees import gpus
from trees import Tree, machine

from numawise.machine.gpus.values import Gpus
from numawise.machine.gpus.vendors import variables


def box() -> Tree:
    """The processor's own graphics, a card of two tiles, and one of one."""
    tree = machine(nodes=2)
    tree.device("0000:00:02.0", 0x030000, 0x8086, 0xA7A0, 0)
    tree.device("0000:29:00.0", 0x038000, 0x8086, 0x0BD5, 0)
    tree.device("0000:9a:00.0", 0x038000, 0x8086, 0x0BDA, 1)
    for tile in (0, 1):
        tree.files[f"sys/bus/pci/devices/0000:29:00.0/tile{tile}/gt0/freq0/max_freq"] = "1600\n"
    return tree


def masks(found: Gpus) -> list[tuple[str, str]]:
    return [(gpu.address, variables([gpu])["ZE_AFFINITY_MASK"]) for gpu in found.visible]


def test_tiles_are_devices_and_the_processors_graphics_is_one_too(tmp_path: Path) -> None:
    found = gpus(box(), tmp_path)
    assert masks(found) == [("0000:29:00.0", "1,2"), ("0000:9a:00.0", "3")]
    assert variables(found.visible[1:])["ZE_ENABLE_PCI_ID_DEVICE_ORDER"] == "1"
    assert any("no UUID" in note for note in found.notes)


def test_cards_are_devices_where_the_program_is_told_so(tmp_path: Path) -> None:
    found = gpus(box(), tmp_path, ZE_FLAT_DEVICE_HIERARCHY="COMPOSITE")
    assert masks(found) == [("0000:29:00.0", "1"), ("0000:9a:00.0", "2")]


def test_tiles_by_the_model_where_no_driver_lists_them(tmp_path: Path) -> None:
    tree = box()
    tree.files = {name: text for name, text in tree.files.items() if "/tile" not in name}
    assert masks(gpus(tree, tmp_path))[1] == ("0000:9a:00.0", "3")


def test_an_inherited_mask_is_kept_to(tmp_path: Path) -> None:
    assert masks(gpus(box(), tmp_path / "a", ZE_AFFINITY_MASK="2,3")) == [
        ("0000:29:00.0", "2"),
        ("0000:9a:00.0", "3"),
    ]
    found = gpus(box(), tmp_path / "b", ZE_AFFINITY_MASK="1.1", ZE_FLAT_DEVICE_HIERARCHY="COMPOSITE")
    assert masks(found) == [("0000:29:00.0", "1.1")]
    assert "ZE_AFFINITY_MASK" in found.hidden["0000:9a:00.0"]


def test_the_processors_graphics_alone_is_a_display(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    tree.device("0000:00:02.0", 0x030000, 0x8086, 0xA7A0, 0)
    found = gpus(tree, tmp_path)
    assert [gpu.address for gpu in found.visible] == ["0000:00:02.0"]
    assert any("display" in note for note in found.notes)
