"""bench on a kernel with several nodes, with a program whose speed depends on where its pages and its CPU are."""

from __future__ import annotations

import json
import re

import pytest
from vm.inside.tools import PLACED, cpuset, numawise, numawise_json

# The time the program measures itself: starting Python under emulation is noise of the size of the effect.
METRIC = ("--metric", r"seconds=([\d.]+)")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMAWISE_HOME", str(tmp_path))


def test_remote_memory_costs_what_the_program_was_told_to_charge():
    found = numawise_json(
        "bench", "--full", "--only", "cpu:0 mem:*", "--quiet", *METRIC, "--budget", "32",
        command=(*PLACED, "--base", "0.2", "--penalty", "1"), timeout=500,
    )  # fmt: skip
    arms = {arm["name"]: arm for arm in found["arms"]}
    assert set(arms) == {"default", "bind:0", "cpu:0 mem:1", "cpu:0 mem:2"}, (
        "no arm computes on the node without CPUs"
    )
    for name, node in (("cpu:0 mem:1", "1"), ("cpu:0 mem:2", "2")):
        assert arms[name]["verdict"] == "worse", arms[name]
        assert arms[name]["against"] == "bind:0"
        assert 1 < arms[name]["low"] < arms[name]["ratio"]
        assert 1.4 < arms[name]["ratio"] < 2.8, "all of its pages are remote, which doubles its time"
        assert arms[name]["residency"][node] > 0.9
        assert arms[name]["placements"][0]["cpus"] == "0-1"
    assert arms["bind:0"]["residency"]["0"] > 0.9
    said = {
        each["evidence"]["arm"]: each["sentence"]
        for each in found["advice"]
        if each["rule"] == "remote-memory"
    }
    assert set(said) == {"cpu:0 mem:1", "cpu:0 mem:2"}
    assert all(re.search(r"made it \d+% worse \(", sentence) for sentence in said.values()), said
    assert found["distances"]["0"] == {"0": 10, "1": 21, "2": 31}


def test_what_the_cpuset_forbids_is_left_out_with_its_reason_and_the_rest_is_run():
    with cpuset("0-3", "0-1") as prefix:
        done = numawise(
            "bench", "--full", "--only", "cpu:*", "--budget", "5", "--quiet", "--json", *METRIC, "--",
            *PLACED, "--base", "0.04", prefix=prefix, timeout=200,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "not allowed here" in found["left_out"]["memory of node 2"]
    assert found["incomplete"] is True
    assert {arm["name"] for arm in found["arms"]} == {
        "default",
        "bind:0",
        "bind:1",
        "cpu:0 mem:1",
        "cpu:1 mem:0",
    }
