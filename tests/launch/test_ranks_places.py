"""Where ranks go, on machines that only exist as values."""

from __future__ import annotations

from collections.abc import Sequence

import machines
import msgspec
import pytest

from numawise.errors import UsageError
from numawise.launch.rank_binding import Binding
from numawise.launch.ranks import Rank, placement_of_rank
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu, Gpus
from numawise.machine.topology import Device, Node, Topology
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy, Placement, Plan


def rank(local: int, of: int | None, launcher: str = "torchrun", world: int | None = None) -> Rank:
    return Rank(launcher, local, world or of, local, of, {})


def every(topology: Topology, count: int, **given: object) -> list[Placement]:
    return [placement_of_rank(topology, rank(i, count), **given).placements[0] for i in range(count)]  # type: ignore[arg-type]


def apart(placements: Sequence[Placement]) -> bool:
    return sum(len(p.cpus) for p in placements) == len({c for p in placements for c in p.cpus})


def with_gpus(
    topology: Topology, nodes: Sequence[int | None], vendor: str = "nvidia"
) -> tuple[Topology, Gpus]:
    """The machine with a GPU on each of these nodes, in this order."""
    found = tuple(
        Gpu(f"0000:{16 + i:02x}:00.0", vendor, f"GPU-{i}", str(i), nodes=() if n is None else (n,))
        for i, n in enumerate(nodes)
    )
    devices = tuple(Device(g.address, "gpu", n) for g, n in zip(found, nodes, strict=True))
    return msgspec.structs.replace(topology, devices=devices), Gpus(found, found)


def notes(plan: Plan) -> str:
    return "\n".join(plan.notes)


class TestWithoutGPUs:
    def test_two_ranks_get_a_node_each(self) -> None:
        first, second = every(machines.two_sockets(), 2)
        assert (first.cpus, first.memory) == (CPUSet.parse("0-7,16-23"), MemoryPolicy("bind", (0,)))
        assert (second.cpus, second.memory) == (CPUSet.parse("8-15,24-31"), MemoryPolicy("bind", (1,)))
        assert (first.env["OMP_NUM_THREADS"], second.threads) == ("8", 8)

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 16, 32])
    def test_never_all_on_one_node_and_never_two_on_one_core(self, count: int) -> None:
        topology = machines.two_sockets()
        placed = every(topology, count)
        assert apart(placed)
        on_each = [sum(node in [p.node, *p.memory.nodes] for p in placed) for node in (0, 1)]
        assert count == 1 or abs(on_each[0] - on_each[1]) <= 1
        if count <= topology.cores:
            for core in topology.smt_siblings:
                assert sum(bool(core & p.cpus) for p in placed) <= 1

    def test_a_single_rank_keeps_the_machine(self) -> None:
        (only,) = every(machines.two_sockets(), 1)
        assert (only.cpus, only.memory) == (CPUSet(range(32)), MemoryPolicy())

    def test_fewer_ranks_than_nodes_get_the_nodes_of_a_socket(self) -> None:
        two = machines.two_sockets()
        # SNC: two nodes a socket, numbered across.
        halves = [CPUSet(c for core in two.smt_siblings[i : i + 4] for c in core) for i in (0, 8, 4, 12)]
        nodes = tuple(Node(i, cpus, machines.GIB, "dram") for i, cpus in enumerate(halves))
        topology = msgspec.structs.replace(
            two, nodes=nodes, distances=None, allowed=two.allowed.__class__(two.cpus, (0, 1, 2, 3))
        )
        first, second = every(topology, 2)
        assert (first.memory.nodes, second.memory.nodes) == ((0, 2), (1, 3))
        assert first.cpus == two.sockets[0].cpus

    def test_nodes_without_cpus_and_gaps_in_their_numbers(self) -> None:
        placed = every(machines.two_sockets(cpuless=True, ids=(0, 8)), 4)
        assert [p.memory.nodes for p in placed] == [(0,), (0,), (8,), (8,)]

    def test_a_node_without_memory_gets_the_nearest(self) -> None:
        topology = machines.two_sockets()
        bare = msgspec.structs.replace(topology.nodes[1], memory_kib=0)
        placed = every(msgspec.structs.replace(topology, nodes=(topology.nodes[0], bare)), 2)
        assert placed[1].memory == MemoryPolicy("preferred", (0,))

    def test_uneven_nodes_get_ranks_by_their_size(self) -> None:
        placed = every(machines.two_sockets(allowed_cpus="0-1,8-15"), 5)
        assert [p.node for p in placed] == [0, 1, 1, 1, 1]
        assert apart(placed)

    def test_more_ranks_than_cpus_share_evenly(self) -> None:
        plans = [placement_of_rank(machines.two_sockets(1, smt=False), rank(i, 5)) for i in range(5)]
        assert [p.placements[0].cpus for p in plans] == [CPUSet([0])] * 3 + [CPUSet([1])] * 2
        assert "5 ranks for 2 CPUs: 3 of them share CPU 0" in notes(plans[0])

    def test_threads_that_do_not_fit_are_refused_with_what_would(self) -> None:
        with pytest.raises(UsageError, match="possible: --threads 8"):
            placement_of_rank(machines.two_sockets(), rank(0, 4), request=Request(threads=9))
        placed = every(machines.two_sockets(), 4, request=Request(threads=8))
        assert {p.env["MKL_NUM_THREADS"] for p in placed} == {"8"}

    def test_what_else_is_asked_for(self) -> None:
        request = Request(
            smt=False, memory=MemoryPolicy("interleave"), env={"R": "{rank}/{ranks}:{port}"}, port=80
        )
        placed = every(machines.two_sockets(), 2, request=request)
        assert placed[1].cpus == CPUSet.parse("8-15")
        assert placed[1].memory == MemoryPolicy("interleave", (0, 1))
        assert placed[1].env["R"] == "1/2:81"
        inside = every(machines.two_sockets(), 2, request=Request(nodes=(1,)))
        assert apart(inside)
        assert {p.memory.nodes for p in inside} == {(1,)}

    def test_what_the_launcher_has_decided_is_not_asked_for(self) -> None:
        for request in (Request(workers=2), Request(per="node"), Request(gpus=())):
            with pytest.raises(UsageError, match="goes against --per rank"):
                placement_of_rank(machines.two_sockets(), rank(0, 2), request=request)
        with pytest.raises(UsageError, match="no port for rank 1"):
            placement_of_rank(machines.two_sockets(), rank(1, 2), request=Request(port=65535))

    def test_memory_of_all_ranks_together_must_fit(self) -> None:
        each = 40 * machines.GIB
        placement_of_rank(machines.two_sockets(), rank(0, 2), request=Request(size_kib=each))
        with pytest.raises(UsageError, match="do not fit"):
            placement_of_rank(machines.two_sockets(), rank(0, 4), request=Request(size_kib=each))

    def test_an_unknown_number_of_ranks_is_assumed_aloud(self) -> None:
        plan = placement_of_rank(machines.two_sockets(), rank(2, None, world=8))
        assert "does not tell how many ranks are on this machine: 3 assumed" in notes(plan)
        assert "assumed" not in notes(
            placement_of_rank(machines.two_sockets(), Rank("Slurm", 0, 1, 0, None, {}))
        )


class TestWithGPUs:
    def test_beside_its_own_gpu_whatever_their_order(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [1, 0, 0, 1])
        placed = every(topology, 4, gpus=gpus)
        assert [p.memory.nodes for p in placed] == [(1,), (0,), (0,), (1,)]
        assert [p.devices for p in placed] == [(gpu.address,) for gpu in gpus.visible]
        assert apart(placed)
        assert all(len(p.cpus) == 8 for p in placed)

    def test_the_list_the_program_sees_stays_as_it_is(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 1])
        (first, _) = every(topology, 2, gpus=gpus)
        assert "CUDA_VISIBLE_DEVICES" not in first.env
        assert first.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"

    def test_a_list_restricted_for_all_is_counted_from_its_own_start(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 0, 1, 1])
        left = msgspec.structs.replace(gpus, visible=(gpus.visible[3], gpus.visible[0]))
        placed = every(topology, 2, gpus=left)
        assert [p.devices[0] for p in placed] == [gpus.visible[3].address, gpus.visible[0].address]
        assert [p.memory.nodes for p in placed] == [(1,), (0,)]

    def test_a_launcher_that_gives_each_its_single_gpu(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 0, 1, 1])
        seen = [msgspec.structs.replace(gpus, visible=(gpu,)) for gpu in gpus.visible]
        environ = {"SLURMD_TRES_BIND": "gpu:per_task:1"}
        order = [3, 0, 2, 1]  # Slurm may give them in any order
        placed = [
            placement_of_rank(
                topology,
                rank(i, 4, "Slurm"),
                gpus=seen[gpu],
                environ={**environ, "SLURM_STEP_GPUS": str(gpu)},
            ).placements[0]
            for i, gpu in enumerate(order)
        ]
        assert [p.devices[0] for p in placed] == [gpus.visible[gpu].address for gpu in order]
        assert [p.memory.nodes for p in placed] == [(1,), (0,), (1,), (0,)]
        assert apart(placed)

    def test_two_gpus_of_its_own(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 0, 1, 1])
        left = msgspec.structs.replace(gpus, visible=gpus.visible[2:])
        environ = {"SLURMD_TRES_BIND": "gpu:per_task:2", "SLURM_STEP_GPUS": "2,3"}
        (placement,) = placement_of_rank(topology, rank(1, 2, "Slurm"), gpus=left, environ=environ).placements
        assert len(placement.devices) == 2
        assert (placement.memory.nodes, placement.cpus) == ((1,), CPUSet.parse("8-15,24-31"))

    def test_one_gpu_left_for_all_is_shared(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 1])
        left = msgspec.structs.replace(gpus, visible=gpus.visible[1:])
        placed = every(topology, 2, gpus=left, binding=Binding(same_gpus=True))
        assert apart(placed)
        assert [p.memory.nodes for p in placed] == [(1,), (1,)]

    def test_more_ranks_than_gpus_split_the_cores_beside_them(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 1])
        placed = every(topology, 6, gpus=gpus)
        assert [p.memory.nodes[0] for p in placed] == [0, 1, 0, 1, 0, 1]
        assert apart(placed)
        told = notes(placement_of_rank(topology, rank(5, 6), gpus=gpus))
        assert "only 2 GPUs are to be seen: taken to use the one with index 1" in told

    def test_a_gpu_on_a_node_without_cpus(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(cpuless=True), [2, 1])
        plan = placement_of_rank(topology, rank(0, 2), gpus=gpus)
        assert plan.placements[0].memory == MemoryPolicy("bind", (0,))
        assert "is on node 2" in notes(plan)

    def test_a_gpu_whose_node_nobody_knows_is_not_guessed(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [None, None])
        plan = placement_of_rank(topology, rank(1, 2), gpus=gpus)
        assert (plan.placements[0].cpus, plan.placements[0].memory) == (CPUSet(range(32)), MemoryPolicy())
        assert "gets the whole machine" in notes(plan)

    def test_a_display_is_no_gpu_to_compute_on(self) -> None:
        topology = machines.two_sockets()
        shown = Gpu("0000:51:00.0", nodes=(1,))
        topology = msgspec.structs.replace(topology, devices=(Device(shown.address, "display", 1),))
        placed = every(topology, 2, gpus=Gpus((shown,), (shown,)))
        assert [p.memory.nodes for p in placed] == [(0,), (1,)]
        assert placed[0].devices == ()

    def test_none_left_means_placed_as_without(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 1])
        why = "CUDA_VISIBLE_DEVICES= in the environment leaves it out"
        none = Gpus(present=gpus.present, hidden=dict.fromkeys((g.address for g in gpus.present), why))
        plan = placement_of_rank(topology, rank(1, 2), gpus=none)
        assert plan.placements[0].memory.nodes == (1,)
        assert why in notes(plan)

    def test_modes_of_gpus(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 0, 1, 1])
        left = msgspec.structs.replace(gpus, visible=gpus.visible[:2])
        exclusive = every(topology, 2, gpus=left, request=Request(gpu_mode="exclusive"))
        assert [p.cpus for p in exclusive] == [CPUSet.parse("0-3,16-19"), CPUSet.parse("4-7,20-23")]
        near = every(topology, 2, gpus=left, request=Request(gpu_mode="l3"))
        assert apart(near)
        assert all(p.memory.nodes == (0,) for p in near)

    def test_an_order_that_only_cuda_knows_is_told(self) -> None:
        topology, gpus = with_gpus(machines.two_sockets(), [0, 1])
        plan = placement_of_rank(
            topology, rank(1, 2), gpus=gpus, environ={"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
        )
        assert "only CUDA knows" in notes(plan)
        assert "CUDA_DEVICE_ORDER" not in plan.placements[0].env


class TestBoundByTheLauncher:
    def bound(
        self, cpus: str, local: int, count: int, *sharing: int, gpus: Sequence[int] = (), **given: object
    ) -> Plan:
        topology = machines.two_sockets(allowed_cpus=cpus)
        cards = None
        if gpus:
            topology, cards = with_gpus(topology, gpus)
        binding = Binding(own=True, without=CPUSet(range(32)), sharing=sharing or (local,))
        return placement_of_rank(
            topology,
            rank(local, count, "Open MPI"),
            gpus=cards,
            binding=binding,
            **given,  # type: ignore[arg-type]
        )

    def test_its_cpus_are_kept_and_memory_follows(self) -> None:
        plan = self.bound("8-11,24-27", 0, 4)
        (placement,) = plan.placements
        assert (placement.cpus, placement.memory) == (CPUSet.parse("8-11,24-27"), MemoryPolicy("bind", (1,)))
        assert placement.threads == 4
        assert "Open MPI has bound this rank to CPUs 8-11,24-27 (node 1): kept" in notes(plan)
        assert "even share" not in notes(plan)

    def test_one_core_of_two_where_there_are_sixteen(self) -> None:
        plan = self.bound("0,16", 0, 2)
        assert "1 core where an even share would be 8" in notes(plan)
        assert "mpirun --bind-to none" in notes(plan)
        with pytest.raises(UsageError, match="--threads 8, but Open MPI has bound this rank to CPUs 0,16"):
            self.bound("0,16", 0, 2, request=Request(threads=8))
        assert "OMP_NUM_THREADS=8 is set" in notes(self.bound("0,16", 0, 2, environ={"OMP_NUM_THREADS": "8"}))

    def test_what_a_scheduler_keeps_for_others_is_no_share(self) -> None:
        topology = machines.two_sockets(allowed_cpus="0,16")
        binding = Binding(own=True, without=CPUSet(range(32)), allotted=4, sharing=(0,))
        plan = placement_of_rank(topology, rank(0, 2, "Slurm"), binding=binding)
        assert "Slurm has bound this rank to CPUs 0,16" in notes(plan)
        assert "even share" not in notes(plan)

    def test_the_wrong_node_for_its_gpu(self) -> None:
        plan = self.bound("0-7,16-23", 1, 2, gpus=[0, 1])
        assert "GPU 0000:11:00.0 is on node 1, not on node 0" in notes(plan)
        assert plan.placements[0].memory.nodes == (0,)
        assert "is on node" not in notes(self.bound("0-7,16-23", 0, 2, gpus=[0, 1]))

    def test_all_on_the_same_cpus_share_them_out(self) -> None:
        plans = [self.bound("0-7", i, 2, 0, 1) for i in range(2)]
        assert apart([plan.placements[0] for plan in plans])
        assert "bound all 2 ranks to the same CPUs 0-7 of 0-31: shared out among them" in notes(plans[0])
        single = self.bound("0,16", 0, 2, 0, 1)
        assert single.placements[0].cpus == CPUSet([0, 16])
        assert "bound all 2 ranks to the same CPUs 0,16" in notes(single)

    def test_a_few_on_the_same_socket_are_left_alone(self) -> None:
        plan = self.bound("0-7,16-23", 0, 4, 0, 2)
        assert len(plan.placements[0].cpus) == 16
        assert plan.placements[0].threads == 4
        assert "local ranks 0,2 have these same CPUs" in notes(plan)
        assert "even share" not in notes(plan)


class TestThreads:
    def test_what_is_set_stays(self) -> None:
        plan = placement_of_rank(machines.two_sockets(), rank(0, 2), environ={"OMP_NUM_THREADS": "1"})
        assert "OMP_NUM_THREADS" not in plan.placements[0].env
        assert "OMP_NUM_THREADS=1 stays" in notes(plan)
        assert "--threads 8 uses them" in notes(plan)

    def test_settings_that_undo_the_place_are_named(self) -> None:
        def told(**environ: str) -> str:
            return notes(placement_of_rank(machines.two_sockets(), rank(1, 2), environ=environ))

        assert "GOMP_CPU_AFFINITY=0-7 in the environment names CPUs" in told(GOMP_CPU_AFFINITY="0-7")
        assert "GOMP_CPU_AFFINITY" not in told(GOMP_CPU_AFFINITY="8-15")
        assert "KMP_AFFINITY" in told(KMP_AFFINITY="explicit,proclist=[0-3]")
        assert "KMP_AFFINITY" not in told(KMP_AFFINITY="granularity=fine,compact")
        assert "OMP_PLACES" in told(OMP_PLACES="{0:4}")
        assert "OMP_PLACES" not in told(OMP_PLACES="cores")
