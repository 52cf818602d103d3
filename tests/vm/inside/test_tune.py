"""tune and compare, on a program whose speed depends on where the kernel put its pages and its CPU."""

from __future__ import annotations

import json

import pytest
from vm.inside.tools import PLACED, cpuset, numawise, numawise_json

# The time the program measures itself: starting Python under emulation is noise of the size of the effect.
METRIC = ("--metric", r"seconds=([\d.]+)")
SMALL_SPACE = (
    *("--policies", "default,local,bind,interleave"),
    *("--workers", "1", "--threads", "1", "--thp", "default"),
)
# Memory of all that is started from here goes to node 0, wherever its CPU: the wrong default.
MEMORY_ON_NODE_0 = ("numactl", "--membind=0")
AT_NODE_1 = (*PLACED, "--home", "1", "--base", "0.2")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "NUMAWISE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_finds_the_right_node_from_a_wrong_default():
    result = numawise_json(
        "tune", *SMALL_SPACE, *METRIC, "--budget", "60", "--save", "fed", "--quiet",
        prefix=MEMORY_ON_NODE_0, command=AT_NODE_1, timeout=390,
    )  # fmt: skip
    assert result["verdict"]["verdict"] == "better"
    assert result["verdict"]["high"] < 1
    assert result["best"]["cpus"] == "2-3" or result["best"]["cpus"] in ("2", "3")
    assert result["best"]["memory"]["nodes"] in ([1], [])
    arms = {arm["name"]: arm["residency"] for arm in result["verdict"]["arms"]}
    assert arms.pop("default")["0"] > 0.6
    assert all(residency["1"] > 0.6 for residency in arms.values())
    assert result["trials"] <= 60

    # The profile puts the program there, even from the same wrong default.
    placed = numawise("run", "--profile", "fed", "--", *AT_NODE_1, prefix=MEMORY_ON_NODE_0)
    assert placed.returncode == 0, placed.stderr
    assert "node=1 remote=0.000" in placed.stdout


def test_leaves_alone_what_does_not_depend_on_placement():
    result = numawise_json(
        "tune", *SMALL_SPACE, *METRIC, "--budget", "60", "--quiet",
        prefix=MEMORY_ON_NODE_0, command=(*PLACED, "--indifferent", "--base", "0.4"), timeout=390,
    )  # fmt: skip
    assert result["verdict"]["verdict"] == "equivalent"
    default = numawise_json("plan")["placements"][0]
    assert result["best"]["cpus"] == default["cpus"]
    assert result["best"]["memory"]["mode"] == "default"


def test_tries_nothing_outside_the_cpuset():
    with cpuset("2-3", "1") as prefix:
        result = numawise_json(
            "tune", "--policies", "default,bind,preferred,per-node", "--workers", "1", "--thp", "default",
            *METRIC, "--budget", "20", "--csv", "/tmp/trials.csv", "--quiet",
            prefix=prefix, command=(*PLACED, "--base", "0.05"), timeout=390,
        )  # fmt: skip
    assert set(result["best"]["memory"]["nodes"]) <= {1}
    with open("/tmp/trials.csv") as trials:
        text = trials.read()
    assert ":1" in text
    assert ":0" not in text.replace(":00", "")


class TestCompare:
    def test_better_with_the_ratio_between_its_bounds(self):
        result = compare("--cpunodebind 0 --membind 1", "--node 0", *PLACED, "--base", "0.2")
        assert result["verdict"] == "better"
        assert result["low"] < result["ratio"] < result["high"] < 0.7
        assert [arm["residency"].get("0", 0) > 0.6 for arm in result["arms"]] == [False, True]

    def test_equivalent(self):
        result = compare("--node 0", "--node 1", *PLACED, "--base", "0.2", "--indifferent")
        assert result["verdict"] == "equivalent"

    def test_arms_that_do_not_differ_as_asked_are_not_delivered(self):
        # The program takes its policy back, as one does that places its memory itself.
        undo = ["numactl", "--membind=0"]
        result = compare("--node 0", "--cpunodebind 0 --mem bind:1", *undo, *PLACED, "--base", "0.2")
        assert result["verdict"] == "not-delivered"


def compare(first: str, second: str, *command: str):
    arms = ["compare", "--arm", first, "--arm", second, *METRIC, "--quiet", "--json"]
    done = numawise(*arms, "--", *command, timeout=390)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)
