"""`run` puts memory where it says, judged by a reading of numa_maps that shares no code with it."""

from __future__ import annotations

import json
import subprocess

import pytest
from programs import numa_maps
from vm.inside.tools import HOLD, NUMAWISE, holding, numawise, numawise_json

MIB = 1 << 10  # in KiB


def run(*selection: str) -> list[str]:
    return [*NUMAWISE, "run", *selection, "--"]


def anonymous_shares(pid: int) -> dict[int, float]:
    """Of what the process touched itself: text of libraries is where its first reader put it."""
    assert sum(numa_maps.kib_by_node(pid, "anon=").values()) > 100 * MIB
    return numa_maps.shares(pid, "anon=")


def test_node_1_holds_over_99_percent_of_200_mib():
    with holding("200", prefix=run("--node", "1")) as (pid, _, _):
        assert anonymous_shares(pid)[1] > 0.99


def test_interleave_is_half_and_half():
    with holding("200", prefix=run("--mem", "interleave:0,1")) as (pid, _, _):
        seen = anonymous_shares(pid)
        assert abs(seen[0] - 0.5) < 0.02
        assert abs(seen[1] - 0.5) < 0.02


def test_the_node_without_cpus_can_hold_it():
    with holding("200", prefix=run("--mem", "bind:2")) as (pid, _, _):
        assert anonymous_shares(pid)[2] > 0.99


def test_preferred_takes_the_node_while_it_has_room():
    with holding("200", prefix=run("--cpunodebind", "0", "--mem", "preferred:1")) as (pid, _, _):
        assert anonymous_shares(pid)[1] > 0.99


def test_preferred_spills_where_bind_would_be_killed():
    with holding("600", prefix=run("--mem", "preferred:2")) as (pid, _, _):
        seen = anonymous_shares(pid)
        assert seen[2] > 0.5
        assert seen.get(0, 0) + seen.get(1, 0) > 0.1


def test_it_says_itself_what_the_referee_sees():
    done = subprocess.run(
        [*run("--node", "1", "--json"), *HOLD, "200", "--seconds", "3"],
        check=True,
        capture_output=True,
        text=True,
    )
    (process,) = json.loads(done.stderr.splitlines()[-1])["processes"]
    assert process["steps"] == []
    assert process["proof"]["on_target"]["share"] > 0.99
    assert process["proof"]["threads"][0]["allowed"] == "2-3"
    assert process["proof"]["threads_outside"] == 0


def test_weighted_interleave_is_refused_in_one_line():
    done = numawise("run", "--mem", "weighted-interleave:0,1", "--", "true")
    assert done.returncode in (2, 3)
    assert "6.9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["-N", "1", "-m", "1"],
        ["--cpunodebind=0", "--membind=0,2"],
        ["--interleave=0,1"],
        ["-p", "1"],
        ["-P", "0,2"],
        ["-C", "1,3", "-l"],
        ["--physcpubind=+1", "--interleave=all"],
        ["-m", "!0"],
    ],
    ids=" ".join,
)
def test_numactl_spellings_do_what_numactl_does(options: list[str]):
    # The policy of a mapping that has none of its own is the process's; numa_maps prints it with its nodes.
    look = [
        "sh",
        "-c",
        "head -1 /proc/self/numa_maps | cut -d' ' -f2; grep ^Cpus_allowed_list /proc/self/status",
    ]
    theirs = subprocess.run(["numactl", *options, *look], check=False, capture_output=True, text=True)
    ours = subprocess.run(
        [*NUMAWISE, "run", *options, "--", *look], check=False, capture_output=True, text=True
    )
    assert theirs.returncode == 0, theirs.stderr
    assert ours.returncode == 0, ours.stderr
    assert ours.stdout == theirs.stdout


def test_per_node_starts_one_process_a_node():
    show = (
        'echo "{node} {rank} $WHERE $OMP_NUM_THREADS $(grep ^Cpus_allowed_list /proc/self/status | cut -f2)"'
        " $(head -1 /proc/self/numa_maps | cut -d' ' -f2)"
    )
    done = numawise(
        "run", "--per", "node", "--threads", "2", "--env", "WHERE=node{node}", "--", "sh", "-c", show
    )
    assert done.returncode == 0, done.stderr
    assert sorted(line.partition("] ")[2] for line in done.stdout.splitlines()) == [
        "0 0 node0 2 0-1 bind:0",
        "1 1 node1 2 2-3 bind:1",
    ]


def test_a_size_that_fits_nowhere_is_refused_before_anything_starts(tmp_path):
    mark = tmp_path / "started"
    done = numawise("run", "--size", "200G", "--node", "1", "--", "touch", str(mark))
    assert done.returncode in (2, 3)
    assert "200" in done.stderr
    assert "node 1" in done.stderr
    assert not mark.exists()


def test_a_node_that_does_not_exist_is_refused():
    done = numawise("run", "--node", "7", "--", "true")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "7" in done.stderr


def test_cpus_cannot_be_taken_from_the_node_without_any():
    done = numawise("plan", "--node", "2")
    assert done.returncode in (2, 3)
    assert "2" in done.stderr


def test_plan_per_node_leaves_the_node_without_cpus_out():
    placements = numawise_json("plan", "--per", "node")["placements"]
    assert [p["cpus"] for p in placements] == ["0-1", "2-3"]
    assert [p["memory"] for p in placements] == [{"mode": "bind", "nodes": [n]} for n in (0, 1)]
