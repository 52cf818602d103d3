"""Inside a cpuset of node 1, nothing is planned onto node 0."""

from __future__ import annotations

import pytest
from vm.inside.tools import cpuset, numawise, numawise_json


@pytest.fixture
def on_node_1():
    with cpuset("2-3", "1") as prefix:
        yield prefix


def test_only_node_1_is_allowed(on_node_1):
    topology = numawise_json("topology", prefix=on_node_1)
    assert topology["allowed"] == {"cpus": "2-3", "nodes": [1]}
    assert [node["id"] for node in topology["nodes"]] == [0, 1, 2]  # the machine itself is what it is


@pytest.mark.parametrize(
    "selection", [["--node", "0"], ["--cpus", "0"], ["--mem", "bind:0"], ["--node", "0,1"]], ids=" ".join
)
def test_node_0_is_refused_and_what_is_possible_is_said(on_node_1, selection: list[str]):
    for command in (["plan", *selection], ["run", *selection, "--", "true"]):
        done = numawise(*command, prefix=on_node_1)
        assert done.returncode in (2, 3), done.stdout
        assert len(done.stderr.splitlines()) == 1
        assert "2-3" in done.stderr or "1" in done.stderr.replace("0,1", "")


@pytest.mark.parametrize(
    "selection", [["--per", "node"], ["--per", "core"], ["--workers", "2"], []], ids=" ".join
)
def test_plans_use_node_1_only(on_node_1, selection: list[str]):
    for placement in numawise_json("plan", *selection, prefix=on_node_1)["placements"]:
        assert set(placement["cpus"].replace("-", "")) <= {"2", "3"}
        assert set(placement["memory"]["nodes"]) <= {1}


def test_all_means_all_that_is_allowed(on_node_1):
    (placement,) = numawise_json("plan", "--mem", "interleave:all", prefix=on_node_1)["placements"]
    assert placement["memory"]["nodes"] == [1]


def test_run_goes_to_node_1(on_node_1):
    look = "grep ^Cpus_allowed_list /proc/self/status | cut -f2"
    done = numawise("run", "--node", "1", "--", "sh", "-c", look, prefix=on_node_1)
    assert (done.returncode, done.stdout.strip()) == (0, "2-3"), done.stderr
