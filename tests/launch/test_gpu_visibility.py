"""What a started program is shown of the GPUs: this machine's kernel and processes, with made-up GPUs under them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpu_boxes
import pytest

pytestmark = pytest.mark.skipif(gpu_boxes.why_not() is not None, reason=str(gpu_boxes.why_not()))
needs_nvml = pytest.mark.skipif(
    shutil.which("cc") is None, reason="no C compiler for the stand-in of libnvidia-ml"
)

NUMAWISE = [sys.executable, "-m", "numawise"]
ADDRESSES = ("0000:17:00.0", "0000:65:00.0")
UUIDS = ("GPU-aaaaaaaa-0000-0000-0000-000000000000", "GPU-bbbbbbbb-0000-0000-0000-000000000000")
HIDDEN = ("CUDA_", "ROCR_", "HIP_", "ZE_", "NVML_")
SHOW = [
    "sh",
    "-c",
    "echo {gpu} $CUDA_DEVICE_ORDER $CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES $HIP_VISIBLE_DEVICES",
]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """Two NVIDIA GPUs on node 0, driven."""
    for minor, (address, uuid) in enumerate(zip(ADDRESSES, UUIDS, strict=True)):
        gpu_boxes.device(tmp_path, address, 0)
        gpu_boxes.driver(tmp_path, address, uuid, minor)
    return tmp_path


def numawise(box: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(HIDDEN)}
    return gpu_boxes.run(box, [*NUMAWISE, *words], environment | variables)


def shown(box: Path, *words: str, **variables: str) -> list[str]:
    done = numawise(box, "run", *words, "--", *SHOW, **variables)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_the_one_asked_for_by_uuid(box: Path) -> None:
    assert shown(box, "--gpu", "1") == [f"{ADDRESSES[1]} PCI_BUS_ID {UUIDS[1]}"]
    assert shown(box, "--gpu", "17:00.0") == [f"{ADDRESSES[0]} PCI_BUS_ID {UUIDS[0]}"]


def test_each_process_its_own(box: Path) -> None:
    assert shown(box, "--per", "gpu") == [f"[rank{i}] {ADDRESSES[i]} PCI_BUS_ID {UUIDS[i]}" for i in range(2)]


def test_an_inherited_list_renumbers(box: Path) -> None:
    assert shown(box, "--gpu", "0", CUDA_VISIBLE_DEVICES="1") == [f"{ADDRESSES[1]} PCI_BUS_ID {UUIDS[1]}"]
    assert shown(box, "--per", "gpu", CUDA_VISIBLE_DEVICES=UUIDS[1]) == [
        f"{ADDRESSES[1]} PCI_BUS_ID {UUIDS[1]}"
    ]
    refused = numawise(box, "run", "--gpu", "17:00.0", "--", "true", CUDA_VISIBLE_DEVICES="1")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (3, 1)
    assert "CUDA_VISIBLE_DEVICES=1" in refused.stderr


def test_what_the_user_sets_wins(box: Path) -> None:
    assert shown(box, "--gpu", "1", "--env", "CUDA_VISIBLE_DEVICES=7") == [f"{ADDRESSES[1]} PCI_BUS_ID 7"]


@pytest.fixture
def kept_for_others(box: Path) -> Iterator[list[str]]:
    """A prefix for a job that a scheduler gave the second GPU: both have device files, its cgroup opens one."""
    group = Path("/sys/fs/cgroup/devices") / f"numawise-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no device cgroup to be had here: {error}")
    try:
        (group / "devices.deny").write_text("c 195:0 rwm")
        nodes = " && ".join(f"mknod {box}/dev/nvidia{i} c 195 {i}" for i in range(2))
        yield [
            *("sh", "-ec"),
            f"mkdir {box}/dev && cp -a /dev/null /dev/zero /dev/urandom {box}/dev && {nodes} && "
            f'mount --bind {box}/dev /dev && echo $$ > {group}/cgroup.procs && exec "$@"',
            "sh",
        ]
    finally:
        group.rmdir()


def test_a_gpu_that_the_scheduler_keeps_for_others_is_not_counted(
    box: Path, kept_for_others: list[str]
) -> None:
    # As Slurm sets it with ConstrainDevices: the first of those that may be opened.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(HIDDEN)} | {
        "CUDA_VISIBLE_DEVICES": "0"
    }
    done = gpu_boxes.run(box, [*kept_for_others, *NUMAWISE, "run", "--gpu", "0", "--", *SHOW], environment)
    assert done.stdout.split() == [ADDRESSES[1], "PCI_BUS_ID", UUIDS[1]], done.stderr


def test_inherited_variables_of_the_other_stage_do_not_cut_again(tmp_path: Path) -> None:
    for address in ADDRESSES:
        gpu_boxes.device(tmp_path, address, 0, vendor=0x1002)
    # ROCm would look for number 1 among the one that is left.
    assert shown(tmp_path, "--gpu", "0", HIP_VISIBLE_DEVICES="1") == [f"{ADDRESSES[1]} 1 0"]


def test_a_plan_is_for_the_machine_in_the_file_not_for_our_environment(box: Path) -> None:
    done = numawise(box, "plan", "--gpu", "0", "--root", "/", "--json", CUDA_VISIBLE_DEVICES="1")
    assert json.loads(done.stdout)["placements"][0]["devices"] == [ADDRESSES[1]]
    tree = box / "tree/sys/bus/pci"
    shutil.copytree(box / "pci", tree / "devices")
    for path in ("sys/devices/system/node/node0/cpulist", "sys/devices/system/cpu/online"):
        (box / "tree" / path).parent.mkdir(parents=True)
        (box / "tree" / path).write_text("0-1\n")
    root = str(box / "tree")
    done = numawise(box, "plan", "--gpu", "0", "--root", root, "--json", CUDA_VISIBLE_DEVICES="1")
    assert json.loads(done.stdout)["placements"][0]["devices"] == [ADDRESSES[0]], done.stderr


@needs_nvml
class TestNVML:
    """With the real package pynvml, asking a library that answers as told."""

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")

    def plan(self, box: Path, says: str | None, *words: str, **variables: str) -> Any:
        told = {} if says is None else {"NVML_SAYS": says}
        told["LD_LIBRARY_PATH"] = str(gpu_boxes.library(box))
        done = numawise(box, "plan", *words, "--json", **told, **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def says(self, *more: str) -> str:
        """Both cards, on node 0, with other UUIDs than `/proc` has; `more`: MIG instances, card by card."""
        return ";".join(
            f"{address[:-2]} GPU-nvml{i} 1 {more[i] if more else ''}" for i, address in enumerate(ADDRESSES)
        )

    def test_it_names_what_proc_does_not(self, box: Path) -> None:
        (placement,) = self.plan(box, self.says(), "--gpu", "1")["placements"]
        assert placement["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-nvml1"

    def test_mig_instances_are_found_on_their_cards(self, box: Path) -> None:
        says = self.says("MIG-one", "MIG-two")
        (placement,) = self.plan(box, says, "--gpu", "MIG-two")["placements"]
        assert (placement["devices"], placement["env"]["CUDA_VISIBLE_DEVICES"]) == ([ADDRESSES[1]], "MIG-two")
        (inherited,) = self.plan(box, says, "--gpu", "0", CUDA_VISIBLE_DEVICES="MIG-two")["placements"]
        assert inherited["devices"] == [ADDRESSES[1]]

    def test_a_node_that_is_not_there_is_no_testimony(self, box: Path) -> None:
        made = self.plan(box, self.says().replace(" 1 ", " 8 "), "--gpu", "0")
        assert made["placements"][0]["memory"]["nodes"] == [0]
        assert any("NVML says node 3, which does not exist" in note for note in made["notes"])

    def test_its_failure_is_told_and_harms_nothing(self, box: Path) -> None:
        made = self.plan(box, None, "--gpu", "1")
        assert made["placements"][0]["env"]["CUDA_VISIBLE_DEVICES"] == UUIDS[1]
        assert any("Driver Not Loaded" in note for note in made["notes"])
