"""The guest's topology is what QEMU was asked for."""

from __future__ import annotations

import pytest
from vm.inside.tools import numawise, numawise_json, offline


@pytest.fixture(scope="module")
def topology():
    return numawise_json("topology")


def test_nodes_with_cpus_and_one_without(topology):
    nodes = {node["id"]: node for node in topology["nodes"]}
    assert {id_: node["cpus"] for id_, node in nodes.items()} == {0: "0-1", 1: "2-3", 2: ""}
    assert {id_: node["kind"] for id_, node in nodes.items()} == {0: "dram", 1: "dram", 2: "cpuless"}
    # What firmware and kernel keep for themselves is missing from MemTotal.
    asked_kib = {0: 1280 << 10, 1: 1280 << 10, 2: 512 << 10}
    assert all(0.8 * asked_kib[id_] < nodes[id_]["memory_kib"] <= asked_kib[id_] for id_ in nodes)


def test_two_sockets_of_one_core_with_two_siblings(topology):
    assert topology["smt_siblings"] == ["0-1", "2-3"]
    assert topology["cores"] == 2
    assert [socket["cpus"] for socket in topology["sockets"]] == ["0-1", "2-3"]


def test_distances(topology):
    assert topology["distances"] == {
        "0": {"0": 10, "1": 21, "2": 31},
        "1": {"0": 21, "1": 10, "2": 17},
        "2": {"0": 31, "1": 17, "2": 10},
    }


def test_the_display_device_is_on_node_1(topology):
    devices = {device["address"]: device for device in topology["devices"]}
    assert devices["0000:51:00.0"]["kind"] == "display"
    assert devices["0000:51:00.0"]["node"] == 1


def test_everything_is_allowed(topology):
    assert topology["allowed"] == {"cpus": "0-3", "nodes": [0, 1, 2]}


def test_this_kernel_has_no_weighted_interleave(topology):
    assert topology["weighted_interleave"] is False


def test_an_unplugged_cpu_is_known_and_not_planned_for():
    with offline(3):
        topology = numawise_json("topology")
        assert (topology["cpus"], topology["offline_cpus"]) == ("0-2", "3")
        refused = numawise("plan", "--cpus", "3")
        assert refused.returncode in (2, 3)
        assert "3" in refused.stderr
        assert "0-2" in refused.stderr
        (placement,) = numawise_json("plan", "--node", "1")["placements"]
        assert placement["cpus"] == "2"
