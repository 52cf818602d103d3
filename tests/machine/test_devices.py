"""Devices: what they are, and the node they are attached to."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import machine

from numawise.machine import read
from numawise.machine.devices import kind_of, read_devices
from numawise.machine.root import open_root


@pytest.mark.parametrize(
    ("class_code", "vendor", "device", "address", "kind"),
    [
        (0x030200, 0x10DE, 0x2330, "0000:51:00.0", "gpu"),  # NVIDIA H100
        (0x030000, 0x10DE, 0x2684, "0000:01:00.0", "gpu"),  # NVIDIA with a display output
        (0x038000, 0x1002, 0x740C, "0000:0e:00.0", "gpu"),  # AMD MI250X
        (0x120000, 0x1002, 0x74A1, "0000:05:00.0", "gpu"),  # AMD MI300X
        (0x038000, 0x8086, 0x0BD5, "0000:29:00.0", "gpu"),  # Intel Max 1550
        (0x030000, 0x8086, 0xA7A0, "0000:00:02.0", "display"),  # graphics of the processor
        (0x038000, 0x0000, 0x0000, "0000:03:00.0", "gpu"),  # a tree that lost its vendor ids
        (0x038000, 0x1AF4, 0x1050, "0000:80:00.0", "display"),  # virtio-gpu
        (0x030000, 0x1A03, 0x2000, "0000:03:00.0", "display"),  # ASPEED
        (0x030000, 0x102B, 0x0532, "0000:09:03.0", "display"),  # Matrox
        (0x030000, 0x1002, 0x515E, "0000:01:04.0", "display"),  # ES1000 on a server board
        (0x120000, 0x1DA3, 0x1020, "0000:33:00.0", "accelerator"),  # Gaudi 2
        (0x020000, 0x15B3, 0x1021, "0000:41:00.0", "nic"),
        (0x020700, 0x15B3, 0x101B, "0000:0b:00.0", "nic"),  # InfiniBand
        (0x0C0600, 0x1077, 0x7322, "0000:43:00.0", "nic"),  # InfiniBand as a serial bus
        (0x010802, 0x144D, 0xA80A, "0000:01:00.0", "nvme"),
        (0x060400, 0x1022, 0x14C7, "0000:0c:00.0", "other"),
        (0x068000, 0x10DE, 0x22A3, "0000:07:00.0", "other"),  # NVSwitch
    ],
)
def test_kinds(class_code: int, vendor: int, device: int, address: str, kind: str) -> None:
    assert kind_of(class_code, vendor, device, address) == kind


def test_identity_from_uevent(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    tree.device(
        "0000:51:00.0",
        0,
        0,
        0,
        1,
        uevent="DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:2330\nPCI_SLOT_NAME=x\n",
    )
    (device,) = read(tree.folder(tmp_path)).devices
    assert (device.kind, device.vendor, device.device, device.node) == ("gpu", "0x10de", "0x2330", 1)


def test_node_known_unknown_and_by_the_second_witness(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.device("0000:01:00.0", 0x030200, 0x10DE, 1, 1)
    tree.device("0000:02:00.0", 0x030200, 0x10DE, 1, -1)
    tree.device("0000:03:00.0", 0x030200, 0x10DE, 1, -1, local_cpulist="0-7\n")
    tree.device("0000:04:00.0", 0x030200, 0x10DE, 1, -1, local_cpulist="2-3,6-7\n")
    tree.device("0000:05:00.0", 0x030200, 0x10DE, 1, -1, local_cpulist="2\n")
    tree.device("0000:06:00.0", 0x030200, 0x10DE, 1, 5)
    topology = read(tree.folder(tmp_path))
    assert [device.node for device in topology.devices] == [1, None, None, 1, None, None]
    assert topology.notes == (
        "device 0000:06:00.0 is said to be on node 5, which does not exist: taken as unknown",
    )


def test_one_node_for_a_machine_that_contradicts_itself(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files["sys/devices/system/node/node1/cpulist"] = "0-7\n"
    tree.device("0000:01:00.0", 0x030200, 0x10DE, 1, 1)
    tree.device("0000:02:00.0", 0x030200, 0x10DE, 1, -1)
    assert [device.node for device in read(tree.folder(tmp_path)).devices] == [0, None]


def test_names_but_none_that_holds_a_mac_address(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    for interface in ("ens3f0np0", "enx0123456789ab"):
        tree.device("0000:41:00.0", 0x020000, 0x15B3, 0x1021, 0, **{f"net__{interface}__mtu": "1500\n"})
    tree.device("0000:41:00.0", 0x020000, 0x15B3, 0x1021, 0, infiniband__mlx5_0__node_type="1\n")
    (device,) = read(tree.folder(tmp_path)).devices
    assert device.names == ("ens3f0np0", "mlx5_0")


def test_every_function_is_listed_by_address_and_strangers_are_not(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    for address in ("10000:e1:00.0", "0000:ff:1f.7", "0000:00:00.0", "not-an-address"):
        tree.device(address, 0x060400, 0x8086, 1, 0)
    devices = read(tree.folder(tmp_path)).devices
    assert [device.address for device in devices] == ["0000:00:00.0", "0000:ff:1f.7", "10000:e1:00.0"]


def test_only_some_kinds(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    tree.device("0000:01:00.0", 0x030200, 0x10DE, 1, 1)
    tree.device("0000:02:00.0", 0x020000, 0x15B3, 1, 7)  # whose strange node is then nobody's business
    root = open_root(tree.folder(tmp_path))
    nodes = read(tmp_path, devices=False).nodes
    devices, notes = read_devices(root, nodes, one_for_all=False, kinds=("gpu",))
    assert ([device.address for device in devices], notes) == (["0000:01:00.0"], ())


def test_devices_can_be_left_out(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    tree.device("0000:01:00.0", 0x030200, 0x10DE, 1, 1)
    assert read(tree.folder(tmp_path), devices=False).devices == ()
