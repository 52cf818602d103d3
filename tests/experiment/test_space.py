"""The candidates of a machine: all that make sense, none twice, none that does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import GIB, one_node, two_sockets

from numawise.errors import UsageError
from numawise.experiment.space import MOST_CANDIDATES, Space, enumerate_candidates
from numawise.linux.cpuset import CPUSet
from numawise.machine.codec import to_json
from numawise.placement.values import MemoryPolicy

COMMAND = ("python", "train.py")


def test_the_default_comes_first_and_changes_nothing() -> None:
    default = enumerate_candidates(two_sockets(), COMMAND, Space())[0]
    (placement,) = default.plan.placements
    assert default.name == "default"
    assert placement.memory.mode == "default"
    assert placement.cpus == two_sockets().cpus
    assert placement.env == {}


def test_two_nodes_offer_every_policy() -> None:
    names = {
        c.policy for c in enumerate_candidates(two_sockets(weighted=True), (*COMMAND, "{rank}"), Space())
    }
    assert names == {"default", "bind", "preferred", "interleave", "weighted-interleave", "per-node"}


def test_each_single_node_is_there_even_when_space_is_short() -> None:
    candidates = enumerate_candidates(two_sockets(16), (*COMMAND, "{workers}", "{threads}"), Space())
    assert len(candidates) == MOST_CANDIDATES
    bound = {p.memory.nodes for c in candidates for p in c.plan.placements if c.policy == "bind"}
    assert bound == {(0,), (1,)}


def test_local_is_the_default_unless_the_caller_has_another_policy() -> None:
    space = Space(policies=("default", "local"), threads=(32,))
    plain = enumerate_candidates(two_sockets(), COMMAND, space)
    assert [c.policy for c in plain if c.thp == "default" and c.smt] == ["default", "default"]
    inherited = enumerate_candidates(two_sockets(), COMMAND, space, inherited=MemoryPolicy("bind", (0,)))
    assert "local" in {c.policy for c in inherited}


def test_one_process_a_node_only_for_programs_that_share_the_work_out() -> None:
    assert not any(len(c.plan.placements) > 1 for c in enumerate_candidates(two_sockets(), COMMAND, Space()))
    shared = enumerate_candidates(two_sockets(), (*COMMAND, "--part={rank}"), Space())
    assert any(len(c.plan.placements) == 2 for c in shared)


def test_on_one_node_only_threads_and_huge_pages_are_left() -> None:
    candidates = enumerate_candidates(one_node(2), COMMAND, Space())
    assert {c.policy for c in candidates} == {"default"}
    assert {c.threads for c in candidates} == {None, 1, 2}
    assert {c.thp for c in candidates} == {"default", "never"}


def test_a_cpuless_node_is_a_place_for_memory() -> None:
    candidates = enumerate_candidates(two_sockets(cpuless=True), COMMAND, Space())
    far = [c for c in candidates if c.plan.placements[0].memory.nodes == (2,)]
    assert far
    assert all(c.plan.placements[0].cpus >= CPUSet(range(16)) for c in far)


def test_workers_are_cut_to_the_memory_they_need() -> None:
    env = {"W": "{workers}", "T": "{threads}"}
    space = Space(env=env, memory_per_worker_kib=20 * GIB)
    candidates = enumerate_candidates(two_sockets(memory_kib=64 * GIB), COMMAND, space)
    assert max(c.workers or 0 for c in candidates if c.policy != "bind") <= 6
    assert max(c.workers or 0 for c in candidates if c.policy == "bind") <= 3
    default = candidates[0].plan.placements[0]
    assert default.env == {}, "the program's own defaults are what it is compared with"
    assert all(c.plan.placements[0].env["W"] == str(c.workers) for c in candidates[1:])


def test_a_cpuset_is_never_left() -> None:
    machine = two_sockets(allowed_cpus="8-15", allowed_nodes=(1,))
    for candidate in enumerate_candidates(machine, COMMAND, Space()):
        for placement in candidate.plan.placements:
            assert placement.cpus <= machine.allowed.cpus
            assert set(placement.memory.nodes) <= {1}


def test_asking_for_what_leaves_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match="nothing to tune"):
        enumerate_candidates(one_node(2), COMMAND, Space(threads=(64,)))
    with pytest.raises(UsageError, match="unknown policy"):
        enumerate_candidates(one_node(2), COMMAND, Space(policies=("bnd",)))


@given(
    cores=st.integers(1, 40),
    smt=st.booleans(),
    cpuless=st.booleans(),
    words=st.sampled_from(
        [(), ("{threads}",), ("{workers}", "{threads}"), ("{rank}",), ("{workers}", "{rank}")]
    ),
    thp=st.sampled_from(["always", "madvise", "never"]),
)
def test_any_machine_gives_a_bounded_list_without_doubles(
    cores: int, smt: bool, cpuless: bool, words: tuple[str, ...], thp: str
) -> None:
    machine = two_sockets(cores, smt=smt, cpuless=cpuless, thp=thp, weighted=cpuless)
    candidates = enumerate_candidates(machine, (*COMMAND, *words), Space())
    assert 1 < len(candidates) <= MOST_CANDIDATES
    assert len({c.name for c in candidates}) == len(candidates)
    assert len({to_json(c.plan.placements) for c in candidates}) == len(candidates)
    for candidate in candidates:
        for placement in candidate.plan.placements:
            assert placement.cpus <= machine.allowed.cpus
            if candidate.workers and candidate.threads and len(candidate.plan.placements) == 1:
                assert candidate.workers * candidate.threads <= len(placement.cpus)
