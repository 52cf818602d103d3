"""The arms of a machine: what is there, what is not and why, what is judged against what."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from machines import GIB, one_node, two_sockets

from numawise.errors import UsageError
from numawise.experiment.bench.scenarios import scenarios, selection
from numawise.experiment.bench.suite import built_in, choose_scale, of_command
from numawise.experiment.records import Candidate
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.machine.topology import Node, Topology


def own(topology: Topology, *, full: bool = True, only: tuple[str, ...] = ()) -> dict[str, Candidate]:
    found = of_command(topology, ("./mine",), full=full, threads=None, only=only, env={})
    return {candidate.name: candidate for candidate in found.candidates}


def suite(topology: Topology, *, full: bool = True, torch: bool = True, scale: float = 0.35) -> list[str]:
    found = built_in(topology, full=full, scale=scale, torch=torch, threads=None, only=())
    return [candidate.name for candidate in found.candidates]


def test_every_scenario_of_two_nodes_is_there() -> None:
    arms = own(two_sockets(4, smt=False, cpuless=True))
    names = [name for name in arms if "thread" not in name]
    assert names == [
        *("default", "bind:0", "bind:1", "cpu:0 mem:1", "cpu:1 mem:0", "cpu:0 mem:2", "cpu:1 mem:2"),
        *("interleave", "local", "preferred:0", "preferred:1"),
    ]
    assert arms["cpu:1 mem:0"].against == "bind:1", "what distance costs: the same CPUs, memory elsewhere"
    assert {arm.against for name, arm in arms.items() if not name.startswith("cpu:")} == {"", "default"}


def test_a_node_without_cpus_holds_memory_and_never_computes() -> None:
    topology = two_sockets(4, smt=False, cpuless=True)
    arms = own(topology)
    assert arms["cpu:0 mem:2"].plan.placements[0].memory.nodes == (2,)
    assert not [name for name in arms if re.search(r"(bind|preferred|cpu):2", name)]
    for arm in arms.values():
        assert all(placement.cpus for placement in arm.plan.placements)


def test_thread_counts_go_up_to_all_cpus_and_are_crossed_with_placement() -> None:
    arms = own(two_sockets(4, smt=False))
    assert [name for name in arms if re.fullmatch(r"default, \d+ threads?", name)] == [
        *("default, 1 thread", "default, 2 threads", "default, 4 threads", "default, 8 threads"),
    ]
    assert [name for name in arms if name.startswith("bind:0, ")] == ["bind:0, 1 thread", "bind:0, 2 threads"]
    placement = arms["default, 2 threads"].plan.placements[0]
    assert placement.env["OMP_NUM_THREADS"] == "2"
    assert arms["default"].plan.placements[0].env == {}


def test_quick_is_short() -> None:
    assert list(own(two_sockets(), full=False)) == [
        "default",
        "bind:0",
        "bind:1",
        "cpu:0 mem:1",
        "interleave",
    ]


@pytest.mark.parametrize("full", [False, True])
def test_one_node_has_no_placements_and_says_why(full: bool) -> None:
    found = of_command(one_node(), ("./mine",), full=full, threads=None, only=(), env={})
    assert {arm.axis for arm in found.candidates} <= {"", "threads"}
    assert "one node of memory" in found.left_out["placements"]


def test_what_is_not_allowed_is_left_out_with_the_reason() -> None:
    found = of_command(two_sockets(allowed_nodes=(0,)), ("./mine",), full=True, threads=None, only=(), env={})
    assert "not allowed" in found.left_out["bind:1"]
    cpus = two_sockets(4, smt=False, allowed_cpus="0-3", cpuless=True)
    found = of_command(cpus, ("./mine",), full=True, threads=None, only=(), env={})
    names = [arm.name for arm in found.candidates]
    assert "no CPU of node 1 is allowed" in found.left_out["bind:1"]
    assert "bind:0" in names and "bind:1" not in names
    assert "cpu:0 mem:1" in names, "its memory may be used"


def test_a_node_that_cannot_hold_the_weights_is_left_out_with_the_figures() -> None:
    topology = two_sockets(4, smt=False, cpuless=True, memory_kib=2 * GIB)  # the third node has a quarter
    found = built_in(topology, full=True, scale=0.35, torch=False, threads=None, only=())
    assert "0.5 GiB to give and 0.6 are needed" in found.left_out["cpu:0 mem:2"]
    assert "einsum, cpu:0 mem:1" in [arm.name for arm in found.candidates]


def test_the_suite_varies_method_layout_and_type_from_a_base() -> None:
    found = built_in(two_sockets(4, smt=False), full=True, scale=0.35, torch=True, threads=None, only=())
    arms = {arm.name: arm for arm in found.candidates}
    assert next(iter(arms)) == "einsum, default"
    assert arms["torch einsum, default, bfloat16"].arguments == ("--engine", "torch", "--dtype", "bfloat16")
    assert arms["torch einsum, default, bfloat16"].against == "torch einsum, default"
    assert arms["einsum, default, non-contiguous"].against == "einsum, default"
    assert arms["per-expert, bind:1"].against == "per-expert, default"
    assert arms["per-expert, cpu:0 mem:1"].against == "per-expert, bind:0"
    assert {arm.axis for arm in arms.values()} == {
        *("", "method", "placement", "threads", "placement x threads", "layout", "dtype"),
    }


def test_without_pytorch_its_arms_are_left_out_with_one_line() -> None:
    found = built_in(two_sockets(), full=True, scale=0.35, torch=False, threads=None, only=())
    assert not [arm.name for arm in found.candidates if "torch" in arm.name]
    assert [why for name, why in found.left_out.items() if "torch" in name] == [
        "PyTorch is not installed; pip install 'numawise[torch]' adds its arms"
    ]


def test_only_takes_what_fits_and_what_that_is_judged_against() -> None:
    topology = two_sockets(4, smt=False, cpuless=True)
    assert list(own(topology, only=("cpu:* mem:2",))) == [
        "default",
        "bind:0",
        "bind:1",
        "cpu:0 mem:2",
        "cpu:1 mem:2",
    ]
    assert list(own(topology, only=("interleave",))) == ["default", "interleave"]
    assert list(own(topology, only=("bind:0, 1*",))) == ["default", "bind:0, 1 thread"]
    with pytest.raises(UsageError, match="fits none of the arms there are: bind:0, bind:1"):
        own(topology, only=("bind:9",))


def test_many_nodes_are_cut_to_the_telling_ones_unless_asked_for() -> None:
    nodes = tuple(Node(i, CPUSet([2 * i, 2 * i + 1]), 8 * GIB, "dram") for i in range(8))
    base = two_sockets(8, smt=False)
    topology = msgspec.structs.replace(
        base,
        nodes=nodes,
        allowed=msgspec.structs.replace(base.allowed, nodes=tuple(range(8))),
        distances={
            a: {b: 10 if a == b else 12 if a // 4 == b // 4 else 32 for b in range(8)} for a in range(8)
        },
    )
    few = scenarios(topology, full=True)
    assert [s.name for s in few if s.name.startswith("bind")] == ["bind:0", "bind:1", "bind:2", "bind:3"]
    pairs = [s.name for s in few if s.name.startswith("cpu")]
    assert len(pairs) == 6 and pairs[0] == "cpu:0 mem:4", "the farthest first"
    assert "nodes 4-7" in of_command(topology, ("x",), full=True, threads=None, only=(), env={}).left_out
    assert len([s for s in scenarios(topology, full=True, everything=True) if s.name.startswith("bind")]) == 8


def test_a_larger_cache_takes_larger_weights_and_a_small_node_smaller_ones() -> None:
    small, large = two_sockets(), two_sockets()
    l3 = tuple(msgspec.structs.replace(domain, size_kib=96 * 1024) for domain in large.l3_domains)
    assert choose_scale(msgspec.structs.replace(large, l3_domains=l3)) == 1.0
    assert 0.35 <= choose_scale(small) <= 1.0
    assert choose_scale(two_sockets(memory_kib=GIB)) == 0.35


def test_what_the_advice_prints_is_understood_by_run() -> None:
    from numawise.cli.shared.selection import parse_words, request_from
    from numawise.placement.plan import plan

    topology = two_sockets(4, smt=False, cpuless=True)
    for arm in own(topology).values():
        values, rest = parse_words(selection(arm).split())
        assert rest == []
        placed = plan(topology, request_from(values, topology))
        same = [(p.cpus, p.memory, p.threads, p.env) for p in placed.placements]
        assert same == [(p.cpus, p.memory, p.threads, p.env) for p in arm.plan.placements], arm.name


def test_every_recorded_machine_gets_a_suite(tmp_path: Path) -> None:
    """Whatever the kernel shows: gaps in ids, nodes without memory, no distances."""
    for topology in (
        read("/"),
        one_node(),
        two_sockets(cpuless=True, ids=(0, 250)),
        two_sockets(weighted=True),
    ):
        arms = own(topology)
        assert next(iter(arms)) == "default"
        for arm in arms.values():
            assert arm.against == "" or arm.against in arms
            assert list(arms).index(arm.against or "default") <= list(arms).index(arm.name)
        assert suite(topology)[0] == "einsum, default"
