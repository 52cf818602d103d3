"""Next to a GPU, from inside of a program: made-up cards on this machine, as one process tree sees them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import gpu_boxes
import pytest
from inside_process import HEADER

from numawise.errors import UsageError
from numawise.launch.inside.gpu import gpu_name

CARDS = {"0000:17:00.0": "GPU-aaaa1111", "0000:65:00.0": "GPU-bbbb2222"}


@pytest.fixture
def box(tmp_path: Path):
    why = gpu_boxes.why_not()
    if why:
        pytest.skip(why)
    for minor, (address, uuid) in enumerate(CARDS.items()):
        gpu_boxes.device(tmp_path, address, 0)
        gpu_boxes.driver(tmp_path, address, uuid, minor)

    def said(code: str, **environment: str):
        text = HEADER.format(tests=str(Path(__file__).parents[1])) + code
        done = gpu_boxes.run(tmp_path, [sys.executable, "-c", text], {**os.environ, **environment})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return said


def test_cpus_and_memory_of_its_node_and_visibility_left_alone(box):
    words = box(
        "bound = nw.bind_to_gpu('GPU-bbbb')\n"
        "say(bound=value(bound), see=os.environ.get('CUDA_VISIBLE_DEVICES'), policy=Path('/proc/self/numa_maps')"
        ".read_text().split()[1])"
    )
    assert words["bound"]["placement"]["devices"] == ["0000:65:00.0"]
    assert words["bound"]["placement"]["env"] == {}
    assert words["bound"]["steps"] == []
    assert (words["see"], words["policy"]) == (None, "bind:0")


def test_an_index_counts_what_the_program_sees(box):
    words = box("say(bound=value(nw.bind_to_gpu('cuda:0')))", CUDA_VISIBLE_DEVICES="GPU-bbbb2222")
    assert words["bound"]["placement"]["devices"] == ["0000:65:00.0"]


def test_one_that_is_hidden_is_refused(box):
    words = box(
        "try:\n nw.bind_to_gpu('0000:17:00.0')\nexcept nw.NotPermittedError as error:\n say(error=str(error))",
        CUDA_VISIBLE_DEVICES="GPU-bbbb2222",
    )
    assert "CUDA_VISIBLE_DEVICES" in words["error"]


def test_gpus_that_want_their_own_cores_get_different_ones(box):
    """Two cards on one node: each its share, whichever is asked for."""
    found = [
        box(f"bound = nw.bind_to_gpu({index}, mode='exclusive')\nsay(cpus=affinities()[0])")["cpus"]
        for index in (0, 1)
    ]
    assert not set(found[0]) & set(found[1])


def test_workers_have_the_memory_of_its_node(box):
    words = box(
        "made = nw.data_loader_options(1, gpu=1)['worker_init_fn']\n"
        "say(places=[value(p) for p in made.placements], main=str(made.main))"
    )
    (place,) = words["places"]
    assert place["memory"] == {"mode": "bind", "nodes": [0]}
    assert place["cpus"] != words["main"] or len(os.sched_getaffinity(0)) < 2


@pytest.mark.torch
def test_devices_of_torch_are_understood():
    import torch

    assert gpu_name(torch.device("cuda", 1)) == "1"
    assert gpu_name(torch.device("cuda")) == "0"
    with pytest.raises(UsageError, match="cpu is no GPU"):
        gpu_name(torch.device("cpu"))
