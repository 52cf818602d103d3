"""`--gpu` puts a process next to its device, judged by a reading of numa_maps that shares no code with it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import gpu_boxes
import pytest
from programs import numa_maps
from vm.inside.tools import NUMAWISE, cpuset, holding, numawise, numawise_json

DISPLAY = "0000:51:00.0"
CARD = "0000:17:00.0"
LOOK = ["sh", "-c", "grep ^Cpus_allowed_list /proc/self/status; head -1 /proc/self/numa_maps | cut -d' ' -f2"]


@pytest.mark.parametrize("name", [DISPLAY, "0"])
def test_cpus_and_memory_are_those_of_the_devices_node(name: str):
    with holding("200", prefix=[*NUMAWISE, "run", "--gpu", name, "--"]) as (pid, _, _):
        assert numa_maps.shares(pid, "anon=")[1] > 0.99
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Cpus_allowed_list:\t2-3\n" in status


def test_the_plan_says_what_the_device_is():
    made = numawise_json("plan", "--gpu", "0")
    (placement,) = made["placements"]
    assert (placement["devices"], placement["env"]) == ([DISPLAY], {})
    assert any("--gpu means the display device" in note for note in made["notes"])


def test_inside_a_cpuset_elsewhere_the_nearest_allowed_node_is_taken():
    with cpuset("0-1", "0") as prefix:
        made = numawise_json("plan", "--gpu", DISPLAY, prefix=prefix)
        done = numawise("run", "--gpu", DISPLAY, "--quiet", "--", *LOOK, prefix=prefix)
    assert made["placements"][0]["memory"] == {"mode": "bind", "nodes": [0]}
    assert any("placed on node 0, the nearest (distance 21)" in note for note in made["notes"])
    assert done.stdout.split()[1:] == ["0-1", "bind:0"], done.stderr


def test_two_gpus_do_not_share_out_one_core(tmp_path: Path):
    for address in (CARD, "0000:65:00.0"):
        gpu_boxes.device(tmp_path, address, 1)
    command = [*NUMAWISE, "plan", "--per", "gpu", "--gpu-mode", "exclusive"]
    done = gpu_boxes.run(tmp_path, command, os.environ, timeout=120)
    assert done.returncode == 2
    assert "node 1 has 2 GPUs and only 1 core " in done.stderr
    assert "2 cores > 1" in done.stderr


class TestWitnesses:
    """NVML (the real package, asking a library that answers as told) against the kernel."""

    def plan(self, folder: Path, *, numa_node: int, nvml_mask: int):
        gpu_boxes.device(folder, CARD, numa_node)
        gpu_boxes.driver(folder, CARD, "GPU-proc", 0)
        command = [*NUMAWISE, "plan", "--gpu", "0", "--json"]
        told = {
            "LD_LIBRARY_PATH": str(gpu_boxes.library(folder)),
            "NVML_SAYS": f"{CARD[:-2]} GPU-nvml {nvml_mask:x}",
        }
        done = gpu_boxes.run(folder, command, {**os.environ, **told}, timeout=120)
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        (placement,) = made["placements"]
        assert placement["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-nvml"
        return placement, made["notes"]

    def test_disagreement_is_told(self, tmp_path: Path):
        placement, notes = self.plan(tmp_path, numa_node=0, nvml_mask=0b10)
        assert placement["memory"]["nodes"] == [0]
        assert any("numa_node says node 0, NVML says node 1; taken as node 0" in note for note in notes)

    def test_only_nvml_knows(self, tmp_path: Path):
        placement, notes = self.plan(tmp_path, numa_node=-1, nvml_mask=0b10)
        assert (placement["cpus"], placement["memory"]) == ("2-3", {"mode": "bind", "nodes": [1]})
        assert not any("says" in note for note in notes)

    def test_nobody_knows(self, tmp_path: Path):
        placement, notes = self.plan(tmp_path, numa_node=-1, nvml_mask=0)
        assert (placement["cpus"], placement["memory"]["mode"]) == ("0-3", "default")
        assert any("knows its node, so its process gets the whole machine" in note for note in notes)
