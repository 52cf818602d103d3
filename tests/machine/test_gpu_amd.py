"""AMD GPUs: numbered as ROCm numbers them, which is the kernel driver's order and not that of PCI addresses."""

from __future__ import annotations

from pathlib import Path

from gpu_trees import gpus, seen
from trees import Tree, machine

from numawise.machine.gpus.vendors import variables

# In the order of KFD's nodes 2, 3, 4: against that of the addresses.
ORDER = ("0000:c1:00.0", "0000:c6:00.0", "0001:29:00.0")
KFD = "sys/class/kfd/kfd/topology/nodes"


def box(unique: tuple[int, ...] = (0xA, 0xB, 0xC)) -> Tree:
    tree = machine(nodes=2)
    for address in ORDER:
        tree.device(address, 0x038000, 0x1002, 0x740C, 1)
    for cpu_node in (0, 1):
        tree.files[f"{KFD}/{cpu_node}/gpu_id"] = "0\n"
        tree.files[f"{KFD}/{cpu_node}/properties"] = "cpu_cores_count 8\nsimd_count 0\n"
    for node, address, number in zip((2, 10, 11), ORDER, unique, strict=True):
        domain, bus, _ = address.split(":")
        tree.files[f"{KFD}/{node}/gpu_id"] = f"{4000 + node}\n"
        tree.files[f"{KFD}/{node}/properties"] = (
            f"simd_count 440\nlocation_id {int(bus, 16) << 8}\ndomain {int(domain, 16)}\nunique_id {number}\n"
        )
    return tree


def test_in_the_drivers_order_by_uuid(tmp_path: Path) -> None:
    found = gpus(box(), tmp_path)
    assert seen(found) == list(ORDER)
    assert variables(found.visible[1:]) == {
        "ROCR_VISIBLE_DEVICES": "GPU-000000000000000b,GPU-000000000000000c",
        "HIP_VISIBLE_DEVICES": "0,1",  # counts what the first leaves
    }


def test_by_number_where_ids_are_missing_or_shared(tmp_path: Path) -> None:
    found = gpus(box(unique=(0, 7, 7)), tmp_path)
    assert [variables([gpu])["ROCR_VISIBLE_DEVICES"] for gpu in found.visible] == ["0", "1", "2"]


def test_two_inherited_lists_act_one_after_the_other(tmp_path: Path) -> None:
    found = gpus(box(), tmp_path, ROCR_VISIBLE_DEVICES="2,GPU-000000000000000a", HIP_VISIBLE_DEVICES="1")
    assert seen(found) == [ORDER[0]]
    assert "ROCR_VISIBLE_DEVICES" in found.hidden[ORDER[1]]
    assert "HIP_VISIBLE_DEVICES" in found.hidden[ORDER[2]]


def test_hip_reads_cudas_variable_in_the_absence_of_its_own(tmp_path: Path) -> None:
    assert seen(gpus(box(), tmp_path / "a", CUDA_VISIBLE_DEVICES="1")) == [ORDER[1]]
    both = gpus(box(), tmp_path / "b", CUDA_VISIBLE_DEVICES="1", HIP_VISIBLE_DEVICES="2")
    assert seen(both) == [ORDER[2]]


def test_what_the_cgroup_keeps_from_this_process_is_not_counted(tmp_path: Path) -> None:
    tree = box()
    del tree.files[f"{KFD}/2/gpu_id"]  # it refuses to be read there
    found = gpus(tree, tmp_path)
    assert seen(found) == [ORDER[1], ORDER[2]]
    assert [gpu.number for gpu in found.visible] == ["0", "1"]
    assert "KFD" in found.hidden[ORDER[0]]


def test_without_the_driver_by_address_and_said(tmp_path: Path) -> None:
    tree = box()
    tree.files = {name: text for name, text in tree.files.items() if "kfd" not in name}
    tree.files["sys/bus/pci/devices/0000:c1:00.0/unique_id"] = "18f64a1b2c3d4e5f\n"
    found = gpus(tree, tmp_path)
    assert [variables([gpu])["ROCR_VISIBLE_DEVICES"] for gpu in found.visible] == [
        "GPU-18f64a1b2c3d4e5f",
        "1",
        "2",
    ]
    assert any("may differ" in note for note in found.notes)


def test_rubbish_from_the_driver_is_no_gpu(tmp_path: Path) -> None:
    tree = box()
    tree.files[f"{KFD}/2/properties"] = "location_id\nlocation_id x\n\n domain 0 0\n"
    tree.files[f"{KFD}/10/gpu_id"] = "none\n"
    tree.files[f"{KFD}/11/properties"] = "location_id 99999999999\n"
    tree.files[f"{KFD}/x/gpu_id"] = "1\n"
    found = gpus(tree, tmp_path)
    assert (found.visible, set(found.hidden)) == ((), set(ORDER))
