"""Ascend NPUs: their numbers are those of /dev/davinciN, which no file ties to an address."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpu_trees import gpus
from trees import Tree, machine

from numawise.errors import UsageError
from numawise.machine.gpus.values import Gpu
from numawise.machine.gpus.vendors import variables
from numawise.machine.gpus.vendors.ascend import numbers_in
from numawise.placement.gpu import choose

# As `npu-smi info` prints it for two cards of a server, and for a card of two chips.
CARDS = """
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc1                 Version: 24.1.rc1                                             |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 93.1        41                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3353 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | Warning       | 91.3        40                0    / 0             |
| 0                         | 0000:01:00.0  | 0           0    / 0          3353 / 65536         |
+===========================+===============+====================================================+
"""
CHIPS = """
| 4     310P3               | OK            | NA          44                0    / 0             |
| 0     6                   | 0000:81:00.0  | 0           1536 / 43693                           |
+---------------------------+---------------+----------------------------------------------------+
| 4     310P3               | OK            | NA          44                0    / 0             |
| 1     7                   | 0000:81:00.0  | 0           1536 / 43693                           |
"""


def box(count: int, files: tuple[int, ...] = ()) -> Tree:
    tree = machine(nodes=2)
    for i in range(count):
        tree.device(f"0000:{i + 1:02x}:00.0", 0x120000, 0x19E5, 0xD802, i % 2)
    for number in files:
        tree.files[f"dev/davinci{number}"] = ""
    tree.files["dev/davinci_manager"] = ""
    return tree


def test_one_of_each_belong_together(tmp_path: Path) -> None:
    (npu,) = gpus(box(1, (5,)), tmp_path).visible
    assert variables([npu]) == {"ASCEND_RT_VISIBLE_DEVICES": "5"}


def test_several_are_not_paired_by_guess(tmp_path: Path) -> None:
    found = gpus(box(2, (0, 1)), tmp_path)
    assert [gpu.nodes for gpu in found.visible] == [(0,), (1,)]
    assert variables(found.visible) == {}
    assert any("is not known here (npu-smi info tells it)" in note for note in found.notes)
    with pytest.raises(UsageError, match="name it by PCI address"):
        choose("1", found)
    assert choose("02:00.0", found)[0].nodes == (1,)


def test_the_vendors_tool_tells() -> None:
    assert numbers_in(CARDS) == {"0000:c1:00.0": (0,), "0000:01:00.0": (1,)}
    assert numbers_in(CHIPS) == {"0000:81:00.0": (6, 7)}
    assert numbers_in("no such thing") == {}


def test_ascending_as_cann_demands() -> None:
    npus = [Gpu(f"0000:0{i}:00.0", vendor="ascend", number=n) for i, n in enumerate(("10", "9"))]
    assert variables(npus) == {"ASCEND_RT_VISIBLE_DEVICES": "9,10"}


def test_an_inherited_list_restricts(tmp_path: Path) -> None:
    found = gpus(box(1, (5,)), tmp_path, ASCEND_RT_VISIBLE_DEVICES="4")
    assert found.visible == ()
    assert "ASCEND_RT_VISIBLE_DEVICES=4" in found.hidden["0000:01:00.0"]
