"""NVIDIA GPUs: numbered as CUDA will number them, named by UUID, and only those this process may open."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpu_trees import gpus, seen
from trees import Tree, machine

from numawise.errors import NotPermittedError, UsageError
from numawise.machine.gpus.reader import read_gpus
from numawise.machine.gpus.values import Gpu
from numawise.machine.gpus.vendors import variables
from numawise.machine.gpus.vendors.nvidia import instance_of
from numawise.machine.reader import read_tree
from numawise.machine.root import open_root

ADDRESSES = ("0000:17:00.0", "0000:65:00.0", "0000:ca:00.0", "0000:e3:00.0")


def uuid(number: int) -> str:
    return f"GPU-{number:08x}-1111-2222-3333-444455556666"


def box(*, driver: bool = True, minors: tuple[int, ...] = (3, 2, 1, 0), models: tuple[int, ...] = ()) -> Tree:
    """Four GPUs, two a node; minor numbers run against PCI order, as they do on some boards."""
    tree = machine(nodes=2)
    for i, address in enumerate(ADDRESSES):
        tree.device(address, 0x030200, 0x10DE, models[i] if models else 0x2330, i // 2)
        if driver:
            tree.files[f"proc/driver/nvidia/gpus/{address}/information"] = (
                f"Model: \t\t NVIDIA H100\nGPU UUID: \t {uuid(i)}\nBus Location: \t {address}\n"
                f"Device Minor: \t {minors[i]}\nGPU Excluded:\t No\n"
            )
    return tree


def test_in_pci_order_with_the_uuids_of_the_driver(tmp_path: Path) -> None:
    found = gpus(box(), tmp_path)
    assert seen(found) == list(ADDRESSES)
    assert [gpu.uuid for gpu in found.visible] == [uuid(i) for i in range(4)]
    assert [gpu.nodes for gpu in found.visible] == [(0,), (0,), (1,), (1,)]
    assert variables(found.visible[2:]) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": f"{uuid(2)},{uuid(3)}",
    }


def test_a_machine_in_a_file_has_numbers_and_says_so(tmp_path: Path) -> None:
    found = gpus(box(driver=False), tmp_path)
    assert variables(found.visible[1:]) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "1,2,3",
    }
    assert any("not every UUID is known" in note and "PCI order" in note for note in found.notes)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("2,0", [2, 0]),
        (f"{uuid(3)},{uuid(1)}", [3, 1]),
        ("GPU-00000002", [2]),  # the beginning of a UUID is enough for CUDA
        ("0,7,1", [0]),  # CUDA stops at the first that is none
        ("1,-1,2", [1]),
        ("", []),
        ("²", []),
        ("9" * 5000, []),
        ("NoDevFiles", []),
    ],
)
def test_an_inherited_list_restricts_and_renumbers(given: str, left: list[int], tmp_path: Path) -> None:
    found = gpus(box(), tmp_path, CUDA_VISIBLE_DEVICES=given)
    assert seen(found) == [ADDRESSES[i] for i in left]
    assert set(found.hidden) == {ADDRESSES[i] for i in range(4) if i not in left}
    assert len(found.present) == 4


def test_inherited_numbers_mean_nothing_known_where_models_differ(tmp_path: Path) -> None:
    tree = box(models=(0x2330, 0x1EB8, 0x2330, 0x2330))
    with pytest.raises(UsageError, match=r"fastest to the slowest.*CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        gpus(tree, tmp_path / "a", CUDA_VISIBLE_DEVICES="1")
    known = gpus(tree, tmp_path / "b", CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert seen(known) == [ADDRESSES[1]]
    assert seen(gpus(tree, tmp_path / "c", CUDA_VISIBLE_DEVICES=uuid(0))) == [ADDRESSES[0]]


def test_what_the_driver_or_the_container_does_not_give_is_not_counted(tmp_path: Path) -> None:
    tree = box()
    del tree.files[f"proc/driver/nvidia/gpus/{ADDRESSES[0]}/information"]  # bound to vfio-pci
    tree.files[f"proc/driver/nvidia/gpus/{ADDRESSES[1]}/information"] += "GPU Excluded:\t Yes\n"
    text = tree.files[f"proc/driver/nvidia/gpus/{ADDRESSES[1]}/information"]
    tree.files[f"proc/driver/nvidia/gpus/{ADDRESSES[1]}/information"] = text.replace(
        "GPU Excluded:\t No\n", ""
    )
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):  # minor 0 is the last GPU
        tree.files[f"dev/{name}"] = ""
    found = gpus(tree, tmp_path)
    assert seen(found) == [ADDRESSES[3]]
    assert found.visible[0].number == "0"
    assert ["does not drive" in found.hidden[ADDRESSES[0]], "Excluded" in found.hidden[ADDRESSES[1]]] == [
        True
    ] * 2
    assert "/dev/nvidia1" in found.hidden[ADDRESSES[2]]


def test_question_marks_are_no_uuid(tmp_path: Path) -> None:
    tree = box()
    for name, text in tree.files.items():
        if name.endswith("information"):
            tree.files[name] = text.replace("1111-2222-3333", "????-????-????")
    assert [gpu.uuid for gpu in gpus(tree, tmp_path).visible] == [""] * 4


@pytest.mark.parametrize(
    "rubbish", ["", "\0\0", "GPU UUID", ":::\n:", "\ufffd" * 100, "Device Minor: x\nGPU UUID: "]
)
def test_rubbish_from_the_driver_is_no_answer(rubbish: str, tmp_path: Path) -> None:
    tree = box()
    for name in tree.files:
        if name.endswith(("information", "numa_node")):
            tree.files[name] = rubbish
    found = gpus(tree, tmp_path)
    assert [(gpu.uuid, gpu.nodes) for gpu in found.visible] == [("", ())] * 4


class TestInstances:
    """MIG instances are found on their card, or refused: never put on a card by guess."""

    cards = tuple(Gpu(a, vendor="nvidia", uuid=uuid(i), number=str(i)) for i, a in enumerate(ADDRESSES[:2]))

    def test_of_the_only_card(self, tmp_path: Path) -> None:
        tree = box()
        for address in ADDRESSES[1:]:
            del tree.files[f"proc/driver/nvidia/gpus/{address}/information"]
        found = gpus(tree, tmp_path, CUDA_VISIBLE_DEVICES="MIG-aaaa,MIG-bbbb")
        assert [(gpu.address, gpu.uuid) for gpu in found.visible] == [(ADDRESSES[0], "MIG-aaaa")]
        assert variables(found.visible)["CUDA_VISIBLE_DEVICES"] == "MIG-aaaa"

    def test_named_with_its_card_as_older_drivers_do(self) -> None:
        gpu = instance_of(f"MIG-{uuid(1)}/5/0", self.cards, ())
        assert (gpu.address, gpu.number) == (ADDRESSES[1], "")

    def test_on_an_unknown_one_of_several_cards_is_refused(self) -> None:
        with pytest.raises(NotPermittedError, match=r"only NVML can tell.*nvidia-ml-py"):
            instance_of("MIG-aaaa", self.cards, ())

    def test_cannot_be_listed_beside_a_number(self) -> None:
        mig = Gpu(ADDRESSES[0], vendor="nvidia", uuid="MIG-aaaa")
        with pytest.raises(UsageError, match="either UUIDs or numbers"):
            variables([mig, Gpu(ADDRESSES[1], vendor="nvidia", number="1")])


def test_its_own_memory_is_a_node_that_hosts_nothing(tmp_path: Path) -> None:
    """Grace: the GPU's memory is a node without CPUs; the GPU hangs off the node of the CPUs."""
    tree = machine(nodes=1, cores_per_node=4)
    tree.node(1, [])
    tree.files["sys/devices/system/node/online"] = "0-1\n"
    tree.device("0009:01:00.0", 0x030200, 0x10DE, 0x2342, 0)
    tree.files["proc/driver/nvidia/gpus/0009:01:00.0/numa_status"] = "Node:   1\nStatus: online\n"
    tree.files["proc/driver/nvidia/gpus/0009:01:00.0/information"] = f"GPU UUID: {uuid(0)}\nDevice Minor: 0\n"
    root = open_root(tree.folder(tmp_path))
    topology = read_tree(root)
    assert topology.node(1).kind == "gpu"
    assert read_gpus(topology, root).visible[0].nodes == (0,)
