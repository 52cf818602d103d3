"""A plan gives what was asked, or refuses with what would be possible."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import GIB, one_node, two_sockets

from numawise.errors import NotPermittedError, NumawiseError, UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Allowed, Node, Topology
from numawise.placement.plan import plan
from numawise.placement.request import Request, parse_nodes
from numawise.placement.units import cores_of
from numawise.placement.values import MemoryPolicy


def test_a_node_means_its_cpus_and_its_memory() -> None:
    (placement,) = plan(two_sockets(), Request(nodes=(1,))).placements
    assert placement.cpus == CPUSet.parse("8-15,24-31")
    assert placement.memory == MemoryPolicy("bind", (1,))
    assert placement.node == 1


def test_nodes_are_named_by_os_id_not_position() -> None:
    machine = two_sockets(ids=(0, 8))
    assert plan(machine, Request(nodes=(8,))).placements[0].memory.nodes == (8,)
    with pytest.raises(UsageError, match=r"no node 1; this machine has nodes 0 .*, 8 "):
        plan(machine, Request(nodes=(1,)))


def test_without_a_wish_nothing_is_changed() -> None:
    machine = two_sockets(allowed_cpus="0-3")
    (placement,) = plan(machine, Request()).placements
    assert placement.cpus == CPUSet.parse("0-3")
    assert placement.memory == MemoryPolicy("default")
    assert placement.env == {}


def test_one_cpu_of_each_core() -> None:
    (placement,) = plan(two_sockets(), Request(nodes=(0,), smt=False)).placements
    assert placement.cpus == CPUSet.parse("0-7")


def test_one_process_a_node() -> None:
    placements = plan(two_sockets(), Request(per="node", env={"ME": "{node}/{rank}"})).placements
    assert [p.cpus for p in placements] == [CPUSet.parse("0-7,16-23"), CPUSet.parse("8-15,24-31")]
    assert [p.memory for p in placements] == [MemoryPolicy("bind", (0,)), MemoryPolicy("bind", (1,))]
    assert [p.env["ME"] for p in placements] == ["0/0", "1/1"]
    assert [p.env["OMP_NUM_THREADS"] for p in placements] == ["8", "8"]


def test_per_node_passes_over_nodes_without_cpus() -> None:
    placements = plan(two_sockets(cpuless=True), Request(per="node")).placements
    assert [p.node for p in placements] == [0, 1]


def test_per_node_inside_a_cpuset_uses_what_is_allowed() -> None:
    machine = two_sockets(allowed_cpus="8-15", allowed_nodes=(1,))
    (placement,) = plan(machine, Request(per="node")).placements
    assert (placement.node, placement.cpus) == (1, CPUSet.parse("8-15"))


def test_a_node_whose_memory_is_not_allowed_is_never_bound_to() -> None:
    machine = two_sockets(allowed_nodes=(1,))
    placements = plan(machine, Request(per="node")).placements
    assert placements[0].memory == MemoryPolicy("preferred", (1,))
    with pytest.raises(NotPermittedError, match="memory is not allowed here"):
        plan(machine, Request(nodes=(0,)))


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 16, 31, 32])
@pytest.mark.parametrize("smt", [True, False])
def test_workers_never_straddle_nodes_nor_share_a_cpu(workers: int, smt: bool) -> None:
    machine = two_sockets()
    request = Request(workers=workers, smt=smt)
    if workers > (32 if smt else 16):
        with pytest.raises(UsageError, match="16 CPUs are to be had without SMT siblings"):
            plan(machine, request)
        return
    placements = plan(machine, request).placements
    assert len(placements) == workers
    if workers > 1:
        assert all(p.node is not None for p in placements)
        assert sum(len(p.cpus) for p in placements) == len(CPUSet(c for p in placements for c in p.cpus))
        per_node = [sum(p.node == n for p in placements) for n in (0, 1)]
        assert abs(per_node[0] - per_node[1]) <= 1


@given(cores=st.integers(1, 12), smt=st.booleans(), workers=st.integers(1, 30), threads=st.integers(1, 6))
def test_every_worker_has_a_cpu_for_each_thread(cores: int, smt: bool, workers: int, threads: int) -> None:
    machine = two_sockets(cores, smt=smt)
    try:
        placements = plan(machine, Request(workers=workers, threads=threads)).placements
    except UsageError as error:
        per_node = cores * (2 if smt else 1)
        assert "possible" in str(error)
        # refused only when it does not fit without splitting a worker over two nodes
        assert workers > 2 * (per_node // threads) or (workers == 1 and threads > 2 * per_node)
        return
    assert all(len(p.cpus) >= threads for p in placements)
    assert all(p.threads == threads for p in placements)


def test_siblings_stay_together_while_cores_suffice() -> None:
    machine = two_sockets()
    for placement in plan(machine, Request(workers=8)).placements:
        assert all(len(core) == 2 for core in cores_of(machine, placement.cpus))


def test_more_threads_than_cpus_are_refused_with_the_arithmetic() -> None:
    with pytest.raises(
        UsageError, match=r"8 workers x 8 threads = 64, but only 32 CPUs .* possible: 4 workers x 8, or 8 x 4"
    ):
        plan(two_sockets(), Request(workers=8, threads=8))


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (
            Request(cpus=CPUSet.parse("0-99")),
            UsageError,
            r"CPUs 32-99 are not on this machine; online are 0-31",
        ),
        (Request(cpus=CPUSet()), UsageError, "empty list"),
        (Request(nodes=(2,)), UsageError, "node 2 has no CPUs; choose CPUs elsewhere .* --mem bind:2"),
        (Request(memory=MemoryPolicy("weighted-interleave", (0, 1))), NotPermittedError, "Linux 6.9"),
        (Request(memory=MemoryPolicy("preferred", (0, 1))), UsageError, "preferred takes one node"),
        (Request(workers=0), UsageError, "at least 1"),
        (Request(nodes=(0,), cpus=CPUSet.parse("8-9")), UsageError, "none of the CPUs 8-9 belongs to node 0"),
        (Request(env={"P": "{port}"}), UsageError, "add --port"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    request_: Request, error: type[NumawiseError], words: str
) -> None:
    with pytest.raises(error, match=words):
        plan(two_sockets(cpuless=True), request_)


def test_memory_that_cannot_hold_the_stated_size_is_refused() -> None:
    machine = two_sockets(memory_kib=64 * GIB)
    with pytest.raises(UsageError, match=r"200.0 GiB do not fit on node 1, which can hold 64.0 GiB"):
        plan(machine, Request(nodes=(1,), size_kib=200 * GIB))
    with pytest.raises(
        UsageError,
        match=r"2 x 40.0 GiB do not fit on node 0, .* \(available: node 0: 64.0 GiB, node 1: 64.0 GiB\)",
    ):
        plan(machine, Request(workers=4, size_kib=40 * GIB))
    plan(machine, Request(memory=MemoryPolicy("interleave"), size_kib=100 * GIB))
    with pytest.raises(UsageError, match="do not fit"):
        plan(machine, Request(size_kib=200 * GIB))


def test_memory_modes_default_to_the_nodes_that_make_sense() -> None:
    machine = two_sockets(cpuless=True)
    near = plan(machine, Request(cpu_nodes=(1,), memory=MemoryPolicy("bind"))).placements[0]
    assert near.memory == MemoryPolicy("bind", (1,))
    spread = plan(machine, Request(memory=MemoryPolicy("interleave"))).placements[0]
    assert spread.memory == MemoryPolicy("interleave", (0, 1, 2))


def test_one_node_is_said_to_gain_nothing() -> None:
    assert "one node" in plan(one_node(), Request(nodes=(0,))).notes[0]


def uneven(*, memory_kib: int = GIB, homeless: int = 0, gpu: bool = False) -> Topology:
    """Node 0 with CPUs 0-11, node 1 with 12-15, more CPUs without a node, and perhaps a GPU's memory."""
    nodes = (
        Node(0, CPUSet.parse("0-11"), memory_kib, "dram"),
        Node(1, CPUSet.parse("12-15"), memory_kib, "dram"),
        *((Node(250, CPUSet(), GIB, "gpu"),) if gpu else ()),
    )
    cpus = CPUSet(range(16 + homeless))
    return Topology(
        cpus=cpus,
        cores=len(cpus),
        nodes=nodes,
        distances=None,
        allowed=Allowed(cpus, tuple(node.id for node in nodes)),
        smt_siblings=(CPUSet.parse("0-1"), *(CPUSet([cpu]) for cpu in cpus if cpu > 1)),
    )


def test_one_process_a_node_however_unequal_the_nodes() -> None:
    placements = plan(uneven(), Request(per="node")).placements
    assert [(str(p.cpus), p.memory.nodes) for p in placements] == [("0-11", (0,)), ("12-15", (1,))]


def test_one_process_a_core_where_only_some_have_siblings() -> None:
    placements = plan(uneven(), Request(per="core")).placements
    assert [str(p.cpus) for p in placements] == ["0-1", *map(str, range(2, 16))]


def test_threads_that_the_smallest_node_cannot_hold_are_refused() -> None:
    with pytest.raises(UsageError, match="CPUs 12-15 are only 4; possible: 4 threads each, or --workers 2"):
        plan(uneven(), Request(per="node", threads=6))


@pytest.mark.parametrize("request_", [Request(per="node"), Request(workers=18)])
def test_cpus_of_no_node_are_used(request_: Request) -> None:
    machine = uneven(homeless=2)
    placements = plan(machine, request_).placements
    assert {c for p in placements for c in p.cpus} == set(machine.cpus)
    alone = CPUSet([16, 17])
    machine = msgspec.structs.replace(machine, allowed=Allowed(alone, (0, 1)))
    (placement,) = plan(machine, Request(per="node")).placements
    assert (placement.cpus, placement.node) == (alone, None)


def test_memory_of_a_gpu_is_never_taken_unasked() -> None:
    machine = uneven(memory_kib=0, gpu=True)
    for mode in ("bind", "preferred", "interleave"):
        with pytest.raises(UsageError, match=f"--mem {mode}: no node is known to have memory"):
            plan(machine, Request(memory=MemoryPolicy(mode)))
    assert plan(machine, Request(memory=MemoryPolicy("bind", (250,)))).placements[0].memory.nodes == (250,)


@pytest.mark.parametrize("memory", [True, False])
def test_all_but_everything_is_no_wish(memory: bool) -> None:
    with pytest.raises(UsageError, match="'!0-1' leaves no node that is allowed"):
        parse_nodes("!0-1", uneven(), memory=memory)


@pytest.mark.parametrize(
    ("request_", "possible"),
    [
        (Request(per="core", workers=200, threads=3), "possible: 1 x 2, or 16 x 1$"),
        (Request(workers=10**9, threads=10**9), "possible: 1 x 12, or 16 x 1$"),
        (Request(threads=10**12), "possible: 1 x 16$"),
    ],
)
def test_absurd_numbers_are_refused_with_what_is_possible(request_: Request, possible: str) -> None:
    with pytest.raises(UsageError, match=possible):
        plan(uneven(), request_)
