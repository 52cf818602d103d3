"""Plans under the CPU quota and the memory limit of a control group."""

from __future__ import annotations

import msgspec
import pytest
from machines import GIB, two_sockets

from numawise.errors import UsageError
from numawise.machine.topology import Topology
from numawise.placement.plan import plan
from numawise.placement.request import Request


def limited(
    quota: float | None = None, limit_gib: int | None = None, room_gib: int | None = None
) -> Topology:
    machine = two_sockets()  # 2 x 8 cores x 2 threads
    allowed = msgspec.structs.replace(
        machine.allowed,
        cpu_quota=quota,
        memory_limit_kib=limit_gib and limit_gib * GIB,
        memory_room_kib=room_gib and room_gib * GIB,
    )
    return msgspec.structs.replace(machine, allowed=allowed)


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (2.0, 2), (2.5, 3), (15.5, None), (None, None)])
def test_threads_default_to_the_quota_rounded_up(quota: float | None, threads: int | None) -> None:
    made = plan(limited(quota), Request(nodes=(0,)))
    (placement,) = made.placements
    assert placement.threads == threads
    assert placement.env.get("OMP_NUM_THREADS") == (str(threads) if threads else None)
    assert bool(made.notes) is bool(threads)
    if threads:
        assert made.notes == (
            f"control groups grant {quota:g} CPUs' worth of time here: the process is told {threads} "
            f"thread{'s' if threads > 1 else ''}",
        )


def test_several_processes_share_the_quota() -> None:
    made = plan(limited(4.0), Request(per="node"))
    assert [placement.threads for placement in made.placements] == [2, 2]
    assert made.notes[0].endswith("each process is told 2 threads")
    crowded = plan(limited(2.5), Request(workers=8))
    assert {placement.threads for placement in crowded.placements} == {1}
    assert "still 8 threads in all, which the kernel will stop" in crowded.notes[0]


def test_who_asks_for_nothing_is_told_nothing() -> None:
    made = plan(limited(1.0), Request())
    assert made == plan(limited(None), Request())


def test_a_quota_that_is_no_limit_changes_nothing() -> None:
    assert plan(limited(32.0), Request(per="node")) == plan(limited(None), Request(per="node"))


def test_more_threads_than_the_quota_are_kept_and_told() -> None:
    made = plan(limited(2.0), Request(nodes=(0,), threads=8))
    assert made.placements[0].threads == 8
    assert made.notes == (
        "8 threads, but control groups grant 2 CPUs' worth of time here: the kernel will stop them for a part of each "
        "period; --threads 2 would run without",
    )
    many = plan(limited(1.5), Request(workers=4, threads=2))
    assert many.notes[0].startswith("4 x 2 = 8 threads, but")
    assert many.notes[0].endswith("2 processes of one thread would run without")
    assert plan(limited(2.0), Request(nodes=(0,), threads=2)).notes == ()


def test_workers_that_the_program_starts_itself_share_the_quota_too() -> None:
    made = plan(limited(4.0), Request(nodes=(0,), told_workers=4))
    assert made.placements[0].threads == 1
    told = plan(limited(4.0), Request(nodes=(0,), told_workers=4, threads=2))
    assert told.notes[0].startswith("4 x 2 = 8 threads, but control groups grant 4 CPUs' worth")


def test_a_size_beyond_the_memory_limit_is_refused_with_the_arithmetic() -> None:
    machine = limited(limit_gib=16, room_gib=12)
    with pytest.raises(UsageError) as refused:
        plan(machine, Request(per="node", size_kib=8 * GIB))
    assert str(refused.value) == (
        "2 x 8.0 GiB = 16.0 GiB do not fit under the memory limit of this control group: 16.0 GiB, of which 4.0 GiB "
        "are used, leaves 12.0 GiB; possible: up to 6.0 GiB each, or a higher limit (docker run --memory; Kubernetes: "
        "resources.limits.memory; systemd: MemoryMax=)"
    )
    plan(machine, Request(per="node", size_kib=6 * GIB))
    with pytest.raises(UsageError, match=r"possible: up to 12\.0 GiB, or"):
        plan(machine, Request(nodes=(0,), size_kib=13 * GIB))
    with pytest.raises(UsageError, match="leaves 0 MiB; possible: nothing, or a higher"):
        plan(limited(limit_gib=16, room_gib=0), Request(size_kib=1))


def test_a_node_that_is_too_small_is_told_before_a_limit() -> None:
    with pytest.raises(UsageError, match="do not fit on node 0"):
        plan(limited(limit_gib=16, room_gib=12), Request(nodes=(0,), size_kib=100 * GIB))
