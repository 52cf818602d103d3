"""A refused `set_mempolicy`, as in a container: CPU binding with first touch, and memory still follows."""

from __future__ import annotations

from programs import numa_maps
from vm.inside.tools import NUMAWISE, holding, numawise, refuse

REFUSED = refuse("set_mempolicy", "mbind", "move_pages", "migrate_pages")


def test_memory_follows_the_cpus():
    with holding("200", prefix=[*REFUSED, *NUMAWISE, "run", "--node", "1", "--"]) as (pid, _, _):
        assert numa_maps.shares(pid, "anon=")[1] > 0.99
        assert numa_maps.kib_by_node(pid, "bind:1") == {}


def test_the_step_and_its_reason_are_said_once():
    done = numawise("run", "--node", "1", "--", "true", prefix=REFUSED)
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines() if "EPERM" in line]
    assert len(said) == 1
    assert "set_mempolicy" in said[0]
    assert "first touch" in said[0]


def test_strict_makes_it_an_error():
    done = numawise("run", "--strict", "--node", "1", "--", "echo", "started", prefix=REFUSED)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "EPERM" in done.stderr


def test_where_memory_cannot_follow_it_says_so():
    done = numawise("run", "--cpunodebind", "0", "--mem", "bind:1", "--", "true", prefix=REFUSED)
    assert done.returncode == 0
    assert "not placed" in done.stderr.lower()
