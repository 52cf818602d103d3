"""Zones of energy counters: which there are, which count, what they hold."""

from __future__ import annotations

import errno
from pathlib import Path

import power_trees
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numawise.linux import powercap


def zones_of(root: Path, tree: power_trees.Zones) -> tuple[powercap.Zone, ...]:
    power_trees.powercap(root, tree)
    return powercap.read_zones(str(root))


@pytest.mark.parametrize(
    ("tree", "packages", "memories"),
    [
        (
            power_trees.INTEL_TWO_SOCKETS,
            ["intel-rapl:0", "intel-rapl:1"],
            ["intel-rapl:0:0", "intel-rapl:1:0"],
        ),
        (power_trees.INTEL_CLIENT, ["intel-rapl:0"], []),
        (power_trees.AMD, ["intel-rapl:0", "intel-rapl:1"], []),
        (power_trees.DIES, [f"intel-rapl:{i}" for i in range(4)], []),
        ({"intel-rapl-mmio:0": ("package-0", 1, 9)}, ["intel-rapl-mmio:0"], []),
        ({"dtpm:0": ("pkg", 1, 9), "intel-rapl:1": ("psys", 1, 9)}, [], []),
    ],
    ids=["two sockets", "client", "amd", "dies", "mmio alone", "no package"],
)
def test_packages_count_once_and_nothing_else_does(
    tmp_path: Path, tree: power_trees.Zones, packages: list[str], memories: list[str]
) -> None:
    zones = zones_of(tmp_path, tree)
    assert {zone.id for zone in zones} == tree.keys(), "the folder of an interface is no zone"
    chosen = powercap.packages(zones)
    assert [zone.id for zone in chosen] == packages
    assert [zone.id for zone in powercap.inside(zones, chosen, "dram")] == memories
    for zone in zones:
        assert (zone.name, powercap.read_energy_uj(zone), zone.range_uj) == tree[zone.id]


def test_more_than_nine_packages_keep_their_order(tmp_path: Path) -> None:
    tree = {f"intel-rapl:{i}": (f"package-{i}", i, 100) for i in range(12)}
    assert [zone.name for zone in powercap.packages(zones_of(tmp_path, tree))] == [
        f"package-{i}" for i in range(12)
    ]


@pytest.mark.parametrize(
    "content", ["", "n/a", "-5", "1e9", "12 34", "0x10", "\u0661", "9" * 30, str(power_trees.INTEL_RANGE + 1)]
)
def test_what_is_no_value_of_the_counter_is_none(tmp_path: Path, content: str) -> None:
    zone = zones_of(tmp_path, power_trees.INTEL_CLIENT)[0]
    Path(zone.path, "energy_uj").write_text(content)
    with pytest.raises(OSError, match="energy_uj") as raised:
        powercap.read_energy_uj(zone)
    assert raised.value.errno == errno.EIO


@pytest.mark.parametrize("content", [None, "0", "", "many", "-1", "9" * 20])
def test_a_range_that_is_not_said_is_not_known(tmp_path: Path, content: str | None) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.AMD)
    file = folder / "intel-rapl:0/max_energy_range_uj"
    file.unlink() if content is None else file.write_text(content)
    assert powercap.read_zones(str(tmp_path))[0].range_uj is None


def test_a_zone_that_cannot_be_read_leaves_no_sum_without_it(tmp_path: Path) -> None:
    folder = power_trees.powercap(tmp_path, power_trees.INTEL_TWO_SOCKETS)
    # What a container that masks /sys/devices/virtual/powercap leaves behind.
    (folder / "intel-rapl:2").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:2")
    with pytest.raises(FileNotFoundError, match="intel-rapl:2"):
        powercap.read_zones(str(tmp_path))


def test_no_interface_at_all_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sys/class/powercap"):
        powercap.read_zones(str(tmp_path))


@given(st.integers(1, 2**50), st.data())
def test_going_round_once_loses_nothing(highest: int, data: st.DataObject) -> None:
    before, step = data.draw(st.integers(0, highest)), data.draw(st.integers(0, highest))
    after = (before + step) % (highest + 1)
    assert powercap.advance_uj(before, after, highest) == step


def test_backwards_without_a_range_is_not_known() -> None:
    assert powercap.advance_uj(5, 4, None) is None
