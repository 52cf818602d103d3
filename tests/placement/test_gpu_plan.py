"""A process next to its GPU: which one is meant, which CPUs and memory go with it, and what is said in doubt."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import GIB, one_node, two_sockets

from numawise.cli.shared.selection import parse_words, request_from
from numawise.errors import NotPermittedError, UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu, Gpus
from numawise.machine.topology import Device, DeviceKind, L3Domain, Node, Topology
from numawise.placement.gpu import choose
from numawise.placement.plan import plan
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy, Plan


def with_gpus(
    topology: Topology, *nodes: int | None, kind: DeviceKind = "gpu", vendor: str = "0x10de"
) -> Topology:
    """GPUs at 0000:10:00.0, 0000:20:00.0, ..., on these nodes."""
    devices = tuple(
        Device(f"0000:{i + 1}0:00.0", kind, node, vendor, "0x2330") for i, node in enumerate(nodes)
    )
    return msgspec.structs.replace(topology, devices=devices)


def planned(words: str, topology: Topology) -> Plan:
    values, _ = parse_words(words.split())
    return plan(topology, request_from(values, topology))


def test_cpus_memory_and_visibility_go_together() -> None:
    (placement,) = planned("--gpu 2", with_gpus(two_sockets(), 0, 0, 1, 1)).placements
    assert placement.cpus == CPUSet.parse("8-15,24-31")
    assert placement.memory == MemoryPolicy("bind", (1,))
    assert placement.devices == ("0000:30:00.0",)
    assert placement.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "2"}
    assert placement.threads is None


def test_one_process_a_gpu_in_the_programs_order() -> None:
    made = planned("--per gpu --env WHO={rank}:{gpu}", with_gpus(two_sockets(ids=(2, 8)), 8, 2, 8))
    assert [p.node for p in made.placements] == [8, 2, 8]
    assert [p.env["WHO"] for p in made.placements] == ["0:0000:10:00.0", "1:0000:20:00.0", "2:0000:30:00.0"]
    # Two share a node's eight cores.
    assert [p.threads for p in made.placements] == [4, 8, 4]


def test_more_threads_than_a_shared_node_has_cpus_are_noted() -> None:
    topology = with_gpus(two_sockets(), 0, 0, 1)
    made = planned("--per gpu --threads 12", topology)
    assert [note for note in made.notes if "threads" in note] == [
        "2 processes x 12 threads = 24 share the 16 CPUs 0-7,16-23; 8 threads each would fit"
    ]
    assert not planned("--per gpu --threads 8", topology).notes[1:]
    with pytest.raises(UsageError, match="17 threads each"):
        planned("--per gpu --threads 17", topology)


def test_some_of_them_one_process_each() -> None:
    made = planned("--per gpu --gpu 3,0", with_gpus(two_sockets(), 0, 0, 1, 1))
    assert [p.devices for p in made.placements] == [("0000:40:00.0",), ("0000:10:00.0",)]
    assert [p.env["CUDA_VISIBLE_DEVICES"] for p in made.placements] == ["3", "0"]


def test_one_process_with_several_gpus_gets_the_nodes_of_all() -> None:
    topology = with_gpus(two_sockets(), 0, 0, 1, 1)
    (same,) = planned("--gpu 0,1", topology).placements
    assert (same.cpus, same.memory.nodes) == (CPUSet.parse("0-7,16-23"), (0,))
    (both,) = planned("--gpu 3,0", topology).placements
    assert (both.cpus, both.memory) == (topology.cpus, MemoryPolicy("bind", (0, 1)))
    assert both.env["CUDA_VISIBLE_DEVICES"] == "3,0"
    assert planned("--gpu all", topology).placements[0].env["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


def test_workers_around_one_gpu_stay_on_its_node() -> None:
    made = planned("--gpu 1 --workers 4", with_gpus(two_sockets(), 0, 1))
    assert CPUSet(c for p in made.placements for c in p.cpus) == CPUSet.parse("8-15,24-31")
    assert {p.env["CUDA_VISIBLE_DEVICES"] for p in made.placements} == {"1"}
    assert {p.memory for p in made.placements} == {MemoryPolicy("bind", (1,))}
    assert sum(len(p.cpus) for p in made.placements) == 16


def test_workers_of_several_gpus_never_straddle_nodes() -> None:
    made = planned("--gpu 0,1 --workers 4", with_gpus(two_sockets(), 0, 1))
    assert [p.node for p in made.placements] == [0, 0, 1, 1]
    assert [p.memory.nodes for p in made.placements] == [(0,), (0,), (1,), (1,)]


def test_workers_a_gpu_need_cpus_of_its_own() -> None:
    topology = with_gpus(two_sockets(), 0, 0, 1, 1)
    with pytest.raises(UsageError, match="--gpu-mode exclusive"):
        planned("--per gpu --workers 8", topology)
    made = planned("--per gpu --workers 8 --gpu-mode exclusive", topology)
    assert [p.devices[0][5:7] for p in made.placements] == ["10", "10", "20", "20", "30", "30", "40", "40"]
    assert sum(len(p.cpus) for p in made.placements) == len(topology.cpus)


class TestUnknownNode:
    """Nobody knows the node: the whole machine and a warning, never node 0 in silence."""

    def test_of_one(self) -> None:
        made = planned("--gpu 0", with_gpus(two_sockets(), None))
        (placement,) = made.placements
        assert placement.cpus == CPUSet.parse("0-31")
        assert placement.memory == MemoryPolicy()
        assert placement.node is None
        assert any("no witness (numa_node, local_cpulist) knows its node" in note for note in made.notes)

    def test_of_one_among_several(self) -> None:
        (placement,) = planned("--gpu 0,1", with_gpus(two_sockets(), 1, None)).placements
        assert (placement.cpus, placement.memory) == (CPUSet.parse("0-31"), MemoryPolicy())

    def test_shares_nothing_out_beside_known_ones(self) -> None:
        with pytest.raises(UsageError, match="node unknown"):
            planned("--per gpu --gpu-mode exclusive", with_gpus(two_sockets(), 0, None))

    def test_of_all_shares_the_machine_out(self) -> None:
        made = planned("--per gpu --gpu-mode exclusive", with_gpus(two_sockets(), None, None))
        assert [len(p.cpus) for p in made.placements] == [16, 16]
        assert not made.placements[0].cpus & made.placements[1].cpus

    def test_means_nothing_on_one_node(self) -> None:
        made = planned("--gpu 0", with_gpus(one_node(), None))
        assert (made.placements[0].cpus, made.placements[0].memory.nodes) == (CPUSet.parse("0-1"), (0,))
        assert not any("witness" in note for note in made.notes)


def test_what_is_asked_for_besides_narrows_it() -> None:
    topology = with_gpus(two_sockets(), 0, 1)
    (fewer,) = planned("--gpu 1 --cpus 0-11", topology).placements
    assert (fewer.cpus, fewer.memory.nodes) == (CPUSet.parse("8-11"), (1,))
    far = planned("--gpu 1 --node 0", topology)  # the far arm of a comparison
    assert (far.placements[0].cpus, far.placements[0].memory.nodes) == (CPUSet.parse("0-7,16-23"), (0,))
    assert far.placements[0].env["CUDA_VISIBLE_DEVICES"] == "1"
    assert any("is on node 1, of whose CPUs none is both allowed and asked for" in note for note in far.notes)
    (single,) = planned("--gpu 1 --no-smt --mem interleave:0,1", topology).placements
    assert (single.cpus, single.memory) == (CPUSet.parse("8-15"), MemoryPolicy("interleave", (0, 1)))


def test_a_memory_that_may_not_be_used_is_not_bound_to() -> None:
    (placement,) = planned("--gpu 1", with_gpus(two_sockets(allowed_nodes=(0,)), 0, 1)).placements
    assert placement.cpus == CPUSet.parse("8-15,24-31")
    assert placement.memory == MemoryPolicy("preferred", (0,))


def test_without_distances_there_is_no_nearest() -> None:
    topology = msgspec.structs.replace(with_gpus(two_sockets(allowed_cpus="0-3"), 1), distances=None)
    made = planned("--gpu 0", topology)
    assert (made.placements[0].cpus, made.placements[0].memory) == (CPUSet.parse("0-3"), MemoryPolicy())
    assert any("no distances are known" in note for note in made.notes)


def test_a_gpus_own_memory_never_hosts_the_process() -> None:
    """Grace; `numa_node` of the second GPU even names the node that is GPU memory: the nearest CPUs are taken."""
    base = two_sockets(cpuless=True)
    nodes = tuple(msgspec.structs.replace(node, kind="gpu") if not node.cpus else node for node in base.nodes)
    assert base.distances
    rows = {**base.distances, 2: {0: 40, 1: 20, 2: 10}}
    topology = with_gpus(msgspec.structs.replace(base, nodes=nodes, distances=rows), 1, 2)
    made = planned("--per gpu", topology)
    assert [p.memory for p in made.placements] == [MemoryPolicy("bind", (1,))] * 2
    made = planned("--gpu 0 --mem interleave", topology)
    assert made.placements[0].memory == MemoryPolicy("interleave", (0, 1))


class TestModes:
    def snc(self) -> Topology:
        """Two sockets of two nodes of two L3 domains of two cores: CPUs 0-3 are node 0, and so on."""
        base = two_sockets(8, smt=False)
        nodes = tuple(Node(i, CPUSet(range(4 * i, 4 * i + 4)), GIB, "dram", free_kib=GIB) for i in range(4))
        l3 = tuple(L3Domain(CPUSet([2 * i, 2 * i + 1])) for i in range(8))
        rows = {a: {b: 10 if a == b else 12 if a // 2 == b // 2 else 21 for b in range(4)} for a in range(4)}
        allowed = msgspec.structs.replace(base.allowed, nodes=(0, 1, 2, 3))
        return msgspec.structs.replace(base, nodes=nodes, l3_domains=l3, distances=rows, allowed=allowed)

    def test_socket_takes_its_other_nodes_along(self) -> None:
        (placement,) = planned("--gpu 0 --gpu-mode socket", with_gpus(self.snc(), 3)).placements
        assert (placement.cpus, placement.memory) == (CPUSet.parse("8-15"), MemoryPolicy("bind", (2, 3)))

    def test_l3_gives_one_domain_each_and_spreads_them(self) -> None:
        made = planned("--per gpu --gpu-mode l3", with_gpus(self.snc(), 1, 1, 2))
        assert [p.cpus for p in made.placements] == [CPUSet([4, 5]), CPUSet([6, 7]), CPUSet([8, 9])]
        crowd = planned("--per gpu --gpu-mode l3", with_gpus(self.snc(), 1, 1, 1))
        assert [p.cpus for p in crowd.placements] == [CPUSet([4, 5]), CPUSet([4, 5]), CPUSet([6, 7])]
        assert [p.threads for p in crowd.placements] == [1, 1, 2]

    def test_l3_needs_domains(self) -> None:
        bare = msgspec.structs.replace(two_sockets(), l3_domains=())
        with pytest.raises(UsageError, match="does not tell its L3 domains"):
            planned("--gpu 0 --gpu-mode l3", with_gpus(bare, 0))

    def test_exclusive_keeps_l3_domains_whole_where_it_can(self) -> None:
        made = planned("--per gpu --gpu-mode exclusive", with_gpus(self.snc(), 1, 1))
        assert [p.cpus for p in made.placements] == [CPUSet([4, 5]), CPUSet([6, 7])]

    @given(
        homes=st.lists(st.integers(0, 1), min_size=1, max_size=12),
        cores=st.integers(1, 9),
        smt=st.booleans(),
    )
    def test_exclusive_is_even_and_apart(self, homes: list[int], cores: int, smt: bool) -> None:
        topology = with_gpus(two_sockets(cores, smt=smt), *homes)
        crowd = max(homes.count(node) for node in homes)
        if crowd > cores:
            with pytest.raises(UsageError, match=rf"GPUs x 1 core each = \d+ cores > {cores}"):
                planned("--per gpu --gpu-mode exclusive", topology)
            return
        placements = planned("--per gpu --gpu-mode exclusive", topology).placements
        assert sum(len(p.cpus) for p in placements) == len({c for p in placements for c in p.cpus})
        for node in set(homes):
            sizes = [len(p.cpus) // (2 if smt else 1) for p in placements if p.node == node]
            assert (len(sizes), sum(sizes)) == (homes.count(node), cores)
            assert max(sizes) - min(sizes) <= 1

    def test_goes_with_a_gpu(self) -> None:
        with pytest.raises(UsageError, match="--gpu-mode goes with"):
            planned("--node 0 --gpu-mode exclusive", two_sockets())
        with pytest.raises(UsageError, match="one of node, socket, exclusive, l3"):
            planned("--gpu 0 --gpu-mode fast", with_gpus(two_sockets(), 0))


class TestNames:
    first = Gpu("0000:17:00.0", "nvidia", "GPU-aaaa1111-0", "0", nodes=(0,))
    second = Gpu("0000:65:00.0", "nvidia", "GPU-aaaa2222-0", "1", nodes=(1,))
    gpus = Gpus((second,), (first, second), hidden={"0000:17:00.0": "CUDA_VISIBLE_DEVICES=1 leaves it out"})
    all = Gpus((first, second), (first, second))

    @pytest.mark.parametrize(
        ("text", "addresses"),
        [
            ("1", ["65"]),
            ("1,0", ["65", "17"]),
            ("GPU-aaaa2222-0", ["65"]),
            ("gpu-AAAA2", ["65"]),
            ("0000:65:00.0", ["65"]),
            ("65:00.0", ["65"]),
            ("00000000:65:00.0", ["65"]),  # as nvidia-smi and NVML write it
            ("0, 65:00.0", ["17", "65"]),
            ("all", ["17", "65"]),
        ],
    )
    def test_every_spelling(self, text: str, addresses: list[str]) -> None:
        assert [gpu.address[5:7] for gpu in choose(text, self.all)] == addresses

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("2", "there is no GPU 2; there are 0 (0000:17:00.0), 1 (0000:65:00.0)"),
            ("-1", "no GPU is called '-1'"),
            ("", "no GPU is called ''"),
            ("0,", "no GPU is called ''"),
            ("GPU-", "no GPU is called"),
            ("GPU-aaaa", "begins the names of 2 GPUs"),
            ("0000:99:00.0", "there is no GPU at 0000:99:00.0"),
            ("0,65:00.0,17:00.0", "names the same GPU twice"),
            ("²", "no GPU is called"),
            ("9" * 5000, "there is no GPU 999"),
        ],
    )
    def test_what_names_none_is_refused(self, text: str, said: str) -> None:
        with pytest.raises(UsageError) as refusal:
            choose(text, self.all)
        assert said in str(refusal.value)
        assert "\n" not in str(refusal.value)

    def test_an_index_counts_what_is_left(self) -> None:
        assert choose("0", self.gpus) == (self.second,)
        with pytest.raises(UsageError, match=r"no GPU 1 .*CUDA_VISIBLE_DEVICES=1"):
            choose("1", self.gpus)

    @pytest.mark.parametrize("text", ["17:00.0", "GPU-aaaa1"])
    def test_one_that_is_left_out_is_not_taken_by_name(self, text: str) -> None:
        with pytest.raises(
            NotPermittedError, match=r"0000:17:00\.0 cannot be used here: CUDA_VISIBLE_DEVICES=1"
        ):
            choose(text, self.gpus)

    def test_instances_share_the_seat_of_their_card(self) -> None:
        instances = tuple(
            msgspec.structs.replace(self.second, uuid=f"MIG-{i}{i}{i}{i}", number="") for i in range(2)
        )
        gpus = Gpus((self.first, self.second), (self.first, self.second), others=instances)
        topology = with_gpus(two_sockets(), 0, 1)
        request = Request(gpus=choose("MIG-1111,MIG-0000", gpus), gpus_present=gpus.present, per="gpu")
        made = plan(topology, request)
        assert [p.env["CUDA_VISIBLE_DEVICES"] for p in made.placements] == ["MIG-1111", "MIG-0000"]
        assert [p.devices for p in made.placements] == [("0000:65:00.0",)] * 2
        assert [p.threads for p in made.placements] == [4, 4]


def test_a_machine_without_gpus_says_so() -> None:
    for words in ("--gpu 0", "--per gpu", "--gpu all"):
        with pytest.raises(UsageError, match="no GPU"):
            planned(words, two_sockets())
    with pytest.raises(UsageError, match="no GPU"):
        plan(two_sockets(), Request(per="gpu"))


def test_a_device_without_a_variable_is_placed_and_that_is_said() -> None:
    made = planned("--gpu 0", with_gpus(two_sockets(), 1, kind="accelerator", vendor="0x1da3"))
    assert (made.placements[0].node, made.placements[0].env) == (1, {})
    assert any("no variable is known" in note for note in made.notes)
