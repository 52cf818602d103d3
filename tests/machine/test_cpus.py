"""CPUs, cores, sockets, L3 domains and kinds, as kernels old and new write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import CPU, Tree, machine

from numawise.errors import SnapshotError
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.machine.topology import Topology


def topology_of(tree: Tree, path: Path) -> Topology:
    return read(tree.folder(path))


def cores(topology: Topology) -> list[str]:
    return [str(core) for core in topology.smt_siblings]


def test_a_thousand_cpus(tmp_path: Path) -> None:
    topology = topology_of(machine(nodes=8, cores_per_node=64, threads=2, l3_cores=8), tmp_path)
    assert (len(topology.cpus), topology.cores, len(topology.sockets), len(topology.l3_domains)) == (
        1024,
        512,
        8,
        64,
    )
    assert str(topology.node(7).cpus) == "448-511,960-1023"
    assert str(topology.l3_domains[1].cpus) == "8-15,520-527"
    assert topology.l3_domains[1].size_kib == 32768
    assert topology.notes == ()


def test_siblings_are_read_once_a_core(tmp_path: Path) -> None:
    from numawise.machine.reader import read_tree
    from numawise.machine.root import open_root
    from numawise.machine.snapshot import _Recorder

    recorder = _Recorder(
        open_root(machine(nodes=8, cores_per_node=64, threads=2, l3_cores=8).folder(tmp_path))
    )
    read_tree(recorder)
    per_cpu = [path for path in recorder.files if path.startswith(f"{CPU}/cpu")]
    # Two files a core (siblings, package), three an L3 domain, one pair of core ids.
    assert len(per_cpu) <= 2 * 512 + 3 * 64 + 2


def test_offline_cpus(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)  # CPUs 0-7, siblings n and n+4
    tree.files[f"{CPU}/online"] = "0-4,7\n"
    topology = topology_of(tree, tmp_path)
    assert str(topology.cpus) == "0-4,7"
    assert str(topology.offline_cpus) == "5-6"
    assert cores(topology) == ["0,4", "1", "2", "3,7"]
    assert str(topology.node(0).cpus) == "0-1,4"
    assert str(topology.allowed.cpus) == "0-4,7"


def test_a_node_whose_cpus_are_all_offline_is_still_ordinary_memory(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2, threads=1)
    tree.files[f"{CPU}/online"] = "0-1\n"
    topology = topology_of(tree, tmp_path)
    assert (str(topology.node(1).cpus), topology.node(1).kind) == ("", "dram")


def test_kernel_without_lists(tmp_path: Path) -> None:
    """Before 2.6.26: hex maps only, no `online` list, no node lists."""
    tree = machine(nodes=2, cores_per_node=2)
    for name in [name for name in tree.files if name.endswith("_list") or name.endswith("cpulist")]:
        ids = CPUSet.parse(tree.files.pop(name))
        tree.files[
            name.replace("cpulist", "cpumap")
            .replace("shared_cpu_list", "shared_cpu_map")
            .replace("_list", "")
        ] = f"00000000,{sum(1 << cpu for cpu in ids):08x}\n"
    for name in ("online", "present", "possible"):
        del tree.files[f"{CPU}/{name}"]
    for cpu in range(1, 8):
        tree.files[f"{CPU}/cpu{cpu}/online"] = "0\n" if cpu == 6 else "1\n"
    topology = topology_of(tree, tmp_path)
    assert str(topology.cpus) == "0-5,7"
    assert str(topology.offline_cpus) == "6"
    assert cores(topology) == ["0,4", "1,5", "2", "3,7"]
    assert [str(node.cpus) for node in topology.nodes] == ["0-1,4-5", "2-3,7"]
    assert [str(domain.cpus) for domain in topology.l3_domains] == ["0-1,4-5", "2-3,7"]


def test_cpus_without_topology_folder_are_offline_where_others_have_one(tmp_path: Path) -> None:
    tree = machine(nodes=1, cores_per_node=4, threads=1)
    del tree.files[f"{CPU}/online"], tree.files[f"{CPU}/present"]
    for name in [name for name in tree.files if "/cpu3/" in name]:
        del tree.files[name]
    tree.files[f"{CPU}/cpu3/crash_notes"] = "0\n"
    topology = topology_of(tree, tmp_path)
    assert (str(topology.cpus), str(topology.offline_cpus)) == ("0-2", "3")


def test_nul_bytes(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    plain = topology_of(tree, tmp_path / "plain")
    tree.files = {name: text + "\0\0" for name, text in tree.files.items()}
    assert topology_of(tree, tmp_path / "nul") == plain


def test_only_cpuinfo(tmp_path: Path) -> None:
    tree = Tree()
    tree.files["proc/cpuinfo"] = "".join(
        f"processor\t: {cpu}\nmodel name\t: Old\nphysical id\t: {cpu // 4}\ncore id\t\t: {cpu // 2 % 2}\n\n"
        for cpu in range(8)
    )
    topology = topology_of(tree, tmp_path)
    assert (str(topology.cpus), cores(topology)) == ("0-7", ["0-1", "2-3", "4-5", "6-7"])
    assert topology.model_name == "Old"
    assert topology.node(0).memory_kib == 0
    assert any("no proc/meminfo" in note for note in topology.notes)


def test_core_ids_repeat_in_every_package(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2, threads=2)
    for name in [name for name in tree.files if "thread_siblings" in name]:
        del tree.files[name]
    topology = topology_of(tree, tmp_path)
    assert cores(topology) == ["0,4", "1,5", "2,6", "3,7"]


def test_compute_units_are_two_cores(tmp_path: Path) -> None:
    """AMD family 15h: the kernel's siblings share a unit, each with a core id of its own."""
    tree = machine(nodes=1, cores_per_node=4, threads=2)
    for cpu in range(8):
        tree.files[f"{CPU}/cpu{cpu}/topology/core_id"] = f"{cpu}\n"
    assert cores(topology_of(tree, tmp_path)) == [str(cpu) for cpu in range(8)]


def test_package_unknown(tmp_path: Path) -> None:
    tree = machine(nodes=1, cores_per_node=2, threads=1)
    for cpu in range(2):
        tree.files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "-1\n"
    assert topology_of(tree, tmp_path).sockets == ()


def test_package_siblings_that_stop_at_the_node_do_not_split_the_socket(tmp_path: Path) -> None:
    tree = machine(nodes=2, cores_per_node=2, threads=1)
    for cpu in range(4):
        tree.files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "0\n"
    sockets = topology_of(tree, tmp_path).sockets
    assert [str(socket.cpus) for socket in sockets] == ["0-3"]


def test_l3_behind_another_index_and_none_at_all(tmp_path: Path) -> None:
    tree = machine(nodes=1, cores_per_node=2, threads=1)
    moved = {name: name.replace("index3", "index2") for name in tree.files if "cpu1/cache/index3" in name}
    for old, new in moved.items():
        tree.files[new] = tree.files.pop(old)
    for name in [name for name in tree.files if "cpu0/cache" in name]:
        del tree.files[name]
    tree.files[f"{CPU}/cpu1/cache/index2/shared_cpu_list"] = "1\n"
    domains = topology_of(tree, tmp_path).l3_domains
    assert [str(domain.cpus) for domain in domains] == ["1"]


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({0: 1024, 1: 1024, 2: 446, 3: 446}, [("performance", "0-1"), ("efficiency", "2-3")]),
        (
            {0: 1024, 1: 870, 2: 512, 3: 240},
            [("performance", "0"), ("middle-1", "1"), ("middle-2", "2"), ("efficiency", "3")],
        ),
        ({0: 1024, 1: 980, 2: 1024, 3: 980}, []),
        ({0: 1024, 1: 1024, 2: 1024}, []),
    ],
)
def test_kinds_by_capacity(tmp_path: Path, values: dict[int, int], kinds: list[tuple[str, str]]) -> None:
    tree = machine(nodes=1, cores_per_node=4, threads=1)
    for cpu, value in values.items():
        tree.files[f"{CPU}/cpu{cpu}/cpu_capacity"] = f"{value}\n"
    assert [(kind.name, str(kind.cpus)) for kind in topology_of(tree, tmp_path).cpu_kinds] == kinds


def test_kinds_by_frequency_through_links(tmp_path: Path) -> None:
    tree = machine(nodes=1, cores_per_node=4, threads=1)
    for cpu, rate in enumerate((5_200_000, 5_000_000, 3_900_000, 3_900_000)):
        tree.files[f"{CPU}/cpufreq/policy{cpu}/cpuinfo_max_freq"] = f"{rate}\n"
        tree.links[f"{CPU}/cpu{cpu}/cpufreq"] = f"../cpufreq/policy{cpu}"
    kinds = topology_of(tree, tmp_path).cpu_kinds
    assert [(kind.name, str(kind.cpus)) for kind in kinds] == [("performance", "0-1"), ("efficiency", "2-3")]


def test_kinds_by_counter_unit(tmp_path: Path) -> None:
    tree = machine(nodes=1, cores_per_node=4, threads=1)
    tree.files["sys/devices/cpu_core/cpus"], tree.files["sys/devices/cpu_atom/cpus"] = "0-1\n", "2-3\n"
    kinds = topology_of(tree, tmp_path).cpu_kinds
    assert [(kind.name, str(kind.cpus)) for kind in kinds] == [("performance", "0-1"), ("efficiency", "2-3")]


def test_a_tree_without_any_cpu_is_no_machine(tmp_path: Path) -> None:
    tree = Tree()
    tree.files["proc/uptime"] = "1 1\n"
    with pytest.raises(SnapshotError, match="names no CPU"):
        topology_of(tree, tmp_path)


@pytest.mark.parametrize("text", ["garbage", "3-1", "0-99999999", "", "\0"])
def test_a_damaged_list_of_cpus_is_replaced_by_the_next_witness(tmp_path: Path, text: str) -> None:
    tree = machine(nodes=2, cores_per_node=2)
    tree.files[f"{CPU}/online"] = text
    assert str(topology_of(tree, tmp_path).cpus) == "0-7"


def test_sockets_counted_anew_in_every_book(tmp_path: Path) -> None:
    tree = machine(nodes=4, cores_per_node=2, threads=1)
    for cpu in range(8):
        tree.files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = f"{cpu // 2 % 2}\n"
        tree.files[f"{CPU}/cpu{cpu}/topology/book_id"] = f"{cpu // 4}\n"
    sockets = topology_of(tree, tmp_path).sockets
    assert [(s.id, str(s.cpus)) for s in sockets] == [(0, "0-1"), (1, "2-3"), (0, "4-5"), (1, "6-7")]


def test_cpuinfo_of_s390_has_a_line_a_cpu(tmp_path: Path) -> None:
    tree = Tree()
    tree.files["proc/cpuinfo"] = (
        "vendor_id       : IBM/S390\n# processors    : 2\n"
        "processor 0: version = FF,  identification = 000001,  machine = 2064\n"
        "processor 3: version = FF,  identification = 000001,  machine = 2064\n"
    )
    assert str(topology_of(tree, tmp_path).cpus) == "0,3"
