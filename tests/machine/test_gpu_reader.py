"""The GPUs of a machine: witnesses of their nodes, makers side by side, displays, and the nearest network card."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from trees import Tree, machine

from numawise.machine import read
from numawise.machine.codec import to_json
from numawise.machine.gpus.nics import adapters, nearest
from numawise.machine.gpus.reader import read_gpus
from numawise.machine.gpus.values import Gpus
from numawise.machine.reader import read_tree
from numawise.machine.root import Root, open_root
from numawise.machine.topology import Topology

GPU = (0x030200, 0x10DE, 0x2330)


def opened(tree: Tree, folder: Path) -> tuple[Topology, Root]:
    root = open_root(tree.folder(folder))
    return read_tree(root), root


def gpus(tree: Tree, folder: Path) -> Gpus:
    topology, root = opened(tree, folder)
    return read_gpus(topology, root)


@pytest.mark.parametrize(
    ("numa_node", "local", "nodes", "told"),
    [
        (1, "2-3,6-7", (1,), False),
        (-1, "2-3,6-7", (1,), False),  # only the second witness knows
        (1, "0-7", (1,), False),  # "local to all" means that it does not know
        (-1, "0-7", (), False),
        (-1, "", (), False),
        (-1, "3", (), False),  # part of a node is no node
        (0, "2-3,6-7", (0,), True),
        (7, "2-3,6-7", (1,), False),  # there is no node 7: no witness
    ],
)
def test_two_witnesses_in_files(
    numa_node: int, local: str, nodes: tuple[int, ...], told: bool, tmp_path: Path
) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.device("0000:51:00.0", *GPU, numa_node, local_cpulist=f"{local}\n")
    found = gpus(tree, tmp_path)
    assert found.visible[0].nodes == nodes
    contradiction = "numa_node says node 0, local_cpulist says node 1; taken as node 0"
    assert any(contradiction in note for note in found.notes) == told


def test_a_topology_alone_is_witness_enough(tmp_path: Path) -> None:
    tree = machine(nodes=2, node_ids=(0, 8))
    tree.device("0000:51:00.0", *GPU, 8)
    file = tmp_path / "topology.json"
    file.write_bytes(to_json(read(tree.folder(tmp_path / "tree"))))
    assert read_gpus(read(file)).visible[0].nodes == (8,)


def test_the_maker_with_a_driver_is_counted_and_the_other_named(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    tree.device("0000:01:00.0", *GPU, 1)
    tree.device("0000:0c:00.0", 0x030000, 0x1002, 0x164E, 0)  # graphics inside a Ryzen
    tree.files["proc/driver/nvidia/gpus/0000:01:00.0/information"] = "GPU UUID: GPU-1\nDevice Minor: 0\n"
    found = gpus(tree, tmp_path)
    assert [gpu.address for gpu in found.visible] == ["0000:01:00.0"]
    assert [gpu.address for gpu in found.others] == ["0000:0c:00.0"]
    assert any("count the NVIDIA ones" in note and "0000:0c:00.0" in note for note in found.notes)


def test_displays_count_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    tree = machine(nodes=2)
    tree.device("0000:81:00.0", 0x038000, 0x1AF4, 0x1050, 1)
    alone = gpus(tree, tmp_path / "alone")
    assert [gpu.address for gpu in alone.visible] == ["0000:81:00.0"]
    assert any("display device 0000:81:00.0" in note for note in alone.notes)
    tree.device("0000:91:00.0", *GPU, 0)
    both = gpus(tree, tmp_path / "both")
    assert [gpu.address for gpu in both.visible] == ["0000:91:00.0"]
    assert [gpu.address for gpu in both.others] == ["0000:81:00.0"]


def test_a_machine_without_any(tmp_path: Path) -> None:
    assert gpus(machine(nodes=2), tmp_path) == Gpus()


BRIDGE = "sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0"
PATHS = {
    "0000:43:00.0": f"{BRIDGE}/0000:42:00.0",  # the GPU, below a switch
    "0000:44:00.0": f"{BRIDGE}/0000:42:01.0",  # a card below the same switch
    "0000:61:00.0": "sys/devices/pci0000:40/0000:40:02.0",  # same host bridge
    "0000:c1:00.0": "sys/devices/pci0000:c0/0000:c0:01.0",
}


class TestNetworkCards:
    """Nearness is read off the path through bridges; where links are missing, the node has to do."""

    def box(self, *present: str) -> Tree:
        tree = machine(nodes=2)
        for address in present:
            kind = GPU if address == "0000:43:00.0" else (0x020700, 0x15B3, 0x1021)
            tree.device(address, *kind, 0, infiniband__mlx5_9__node_type="1\n")
            folder = f"sys/bus/pci/devices/{address}"
            for name in [n for n in tree.files if n.startswith(folder + "/")]:
                tree.files[f"{PATHS[address]}/{address}{name[len(folder) :]}"] = tree.files.pop(name)
            tree.links[folder] = f"../../../../{PATHS[address]}/{address}"
        return tree

    @pytest.mark.parametrize(
        ("cards", "best", "how"),
        [
            (("0000:44:00.0", "0000:61:00.0"), "0000:44:00.0", "same PCIe switch"),
            (("0000:61:00.0", "0000:c1:00.0"), "0000:61:00.0", "same PCIe host bridge"),
            (("0000:c1:00.0",), "0000:c1:00.0", "same node"),
        ],
    )
    @pytest.mark.parametrize("form", ["folder", "archive"])
    def test_the_nearest(
        self, form: str, cards: tuple[str, ...], best: str, how: str, tmp_path: Path
    ) -> None:
        tree = self.box("0000:43:00.0", *cards)
        root = open_root(getattr(tree, form)(tmp_path / "m.tar.gz"))
        topology = read_tree(root)
        near = nearest(read_gpus(topology, root).visible[0], topology, root)
        assert near is not None
        assert ([nic.address for nic in near.nics], near.how) == ([best], how)
        assert adapters(near, root) == ("mlx5_9",)

    def test_none_anywhere_near(self, tmp_path: Path) -> None:
        tree = machine(nodes=2)
        tree.device("0000:43:00.0", *GPU, 0)
        tree.device("0000:c1:00.0", 0x020000, 0x15B3, 0x1021, 1)
        topology, root = opened(tree, tmp_path)
        assert nearest(read_gpus(topology, root).visible[0], topology, root) is None

    def test_a_link_that_leads_nowhere(self, tmp_path: Path) -> None:
        tree = self.box("0000:43:00.0", "0000:c1:00.0")
        tree.links["sys/bus/pci/devices/0000:99:00.0"] = "../../../devices/gone/0000:99:00.0"
        topology, root = opened(tree, tmp_path)
        gpu = read_gpus(topology, root).visible[0]
        gone = msgspec.structs.replace(gpu, address="0000:99:00.0")
        near = nearest(gone, topology, root)
        assert near is not None
        assert near.how == "same node"


def test_the_running_systems_links() -> None:
    root = open_root("/")
    assert root.real("proc/self") == f"proc/{os.getpid()}"
    assert root.real("proc/no/such") is None
