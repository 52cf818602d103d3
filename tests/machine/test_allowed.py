"""What a process may use: by affinity, status, cgroup version 1 and 2, and the old cpuset file system."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from trees import Tree, machine

from numawise.linux.cpuset import CPUSet
from numawise.machine import read, save
from numawise.machine.codec import from_json
from numawise.machine.topology import Allowed
from numawise.report.machine_text import describe


def allowed(tree: Tree, path: Path) -> tuple[str, tuple[int, ...]]:
    found = read(tree.folder(path)).allowed
    return str(found.cpus), found.nodes


def base() -> Tree:
    return machine(nodes=4, cores_per_node=2, threads=1)  # CPUs 0-7


def test_nothing_said(tmp_path: Path) -> None:
    assert allowed(base(), tmp_path) == ("0-7", (0, 1, 2, 3))


def test_status(tmp_path: Path) -> None:
    tree = base()
    tree.files["proc/self/status"] = "Name:\tx\nCpus_allowed_list:\t2-5\nMems_allowed_list:\t1-2,7\n"
    assert allowed(tree, tmp_path) == ("2-5", (1, 2))


def test_status_of_kernels_that_write_maps_only(tmp_path: Path) -> None:
    tree = base()
    tree.files["proc/self/status"] = "Cpus_allowed:\t0000003c\nMems_allowed:\t00000000,00000006\n"
    assert allowed(tree, tmp_path) == ("2-5", (1, 2))


MOUNT_V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"


def test_cgroup_v2(tmp_path: Path) -> None:
    tree = base()
    tree.files |= {
        "proc/mounts": MOUNT_V2,
        "proc/self/cgroup": "0::/jobs/7\n",
        "sys/fs/cgroup/jobs/7/cpuset.cpus.effective": "1-3\n",
        "sys/fs/cgroup/jobs/7/cpuset.mems.effective": "0-1\n",
    }
    assert allowed(tree, tmp_path) == ("1-3", (0, 1))


def test_what_the_status_leaves_out_is_asked_of_the_group(tmp_path: Path) -> None:
    tree = base()
    tree.files |= {
        "proc/self/status": "Cpus_allowed_list:\t0-1\n",
        "proc/mounts": MOUNT_V2,
        "proc/self/cgroup": "0::/jobs\n",
        "sys/fs/cgroup/jobs/cpuset.mems.effective": "3\n",
    }
    assert allowed(tree, tmp_path) == ("0-1", (3,))


def test_cgroup_v2_where_the_controller_is_on_for_an_ancestor(tmp_path: Path) -> None:
    tree = base()
    tree.files |= {
        "proc/mounts": MOUNT_V2,
        "proc/self/cgroup": "0::/jobs/7\n",
        "sys/fs/cgroup/jobs/cpuset.cpus.effective": "4-5\n",
        "sys/fs/cgroup/cpuset.mems.effective": "0-3\n",
    }
    assert allowed(tree, tmp_path) == ("4-5", (0, 1, 2, 3))


@pytest.mark.parametrize("prefix", ["cpuset.", ""])
@pytest.mark.parametrize("effective", [False, True])
def test_cgroup_v1(tmp_path: Path, prefix: str, effective: bool) -> None:
    tree = base()
    options = "rw,cpuset" if prefix else "rw,cpuset,noprefix"
    folder = "sys/fs/cgroup/my\\040set/job".replace("\\040", " ")
    tree.files |= {
        "proc/mounts": f"none /sys/fs/cgroup/my\\040set cgroup {options} 0 0\n{MOUNT_V2}",
        "proc/self/cgroup": "3:memory:/other\n2:cpuset:/job\n0::/user.slice\n",
        f"{folder}/{prefix}cpus": "0-6\n",
        f"{folder}/{prefix}mems": "2\n",
    }
    if effective:
        tree.files[f"{folder}/{prefix}effective_cpus"] = "0-3\n"
    assert allowed(tree, tmp_path) == ("0-3" if effective else "0-6", (2,))


def test_cpuset_file_system(tmp_path: Path) -> None:
    tree = base()
    tree.files |= {
        "proc/mounts": "none /dev/cpuset cpuset rw 0 0\n",
        "proc/self/cpuset": "/dummy\n",
        "dev/cpuset/dummy/cpus": "0-3\n",
        "dev/cpuset/dummy/mems": "1\n",
    }
    assert allowed(tree, tmp_path) == ("0-3", (1,))


def test_offline_cpus_and_absent_nodes_are_never_allowed(tmp_path: Path) -> None:
    tree = base()
    tree.files["sys/devices/system/cpu/online"] = "0-5\n"
    tree.files["proc/self/status"] = "Cpus_allowed_list:\t4-7\nMems_allowed_list:\t0-63\n"
    assert allowed(tree, tmp_path) == ("4-5", (0, 1, 2, 3))


def test_an_impossible_answer_is_told(tmp_path: Path) -> None:
    tree = base()
    tree.files["proc/self/status"] = "Cpus_allowed_list:\t90-91\nMems_allowed_list:\t50\n"
    topology = read(tree.folder(tmp_path))
    assert (str(topology.allowed.cpus), topology.allowed.nodes) == ("0-7", (0, 1, 2, 3))
    assert [note.partition(" (")[0] for note in topology.notes] == ["the allowed CPUs", "the allowed nodes"]


def test_a_group_path_that_climbs_stays_in_the_tree(tmp_path: Path) -> None:
    tree = base()
    tree.files |= {
        "proc/mounts": MOUNT_V2,
        "proc/self/cgroup": "0::/../../../../etc\n",
        "sys/fs/cgroup/etc/cpuset.cpus.effective": "3\n",
    }
    assert allowed(tree, tmp_path)[0] == "3"


def test_live_affinity() -> None:
    everywhere = os.sched_getaffinity(0)
    one = min(everywhere)
    try:
        os.sched_setaffinity(0, {one})
        topology = read()
        assert str(topology.allowed.cpus) == str(one)
        assert set(topology.cpus) >= everywhere
    finally:
        os.sched_setaffinity(0, everywhere)


QUOTA_AND_LIMIT = {
    "proc/mounts": MOUNT_V2,
    "proc/self/cgroup": "0::/jobs/7\n",
    "sys/fs/cgroup/jobs/cpu.max": "250000 100000\n",
    "sys/fs/cgroup/jobs/7/cpu.max": "max 100000\n",
    "sys/fs/cgroup/jobs/7/memory.max": f"{1 << 30}\n",
    "sys/fs/cgroup/jobs/7/memory.current": f"{1 << 28}\n",
}


def test_quota_and_memory_limit_are_read_shown_and_kept(tmp_path: Path) -> None:
    tree = base()
    tree.files |= QUOTA_AND_LIMIT
    folder = tree.folder(tmp_path / "tree")
    topology = read(folder)
    found = topology.allowed
    assert (found.cpu_quota, found.memory_limit_kib, found.memory_room_kib) == (2.5, 1 << 20, 3 << 18)
    said = describe(topology)
    assert "CPU quota of its control group: 2.5 CPUs' worth of time" in said
    assert "memory limit of its control group: 1 GiB, 768 MiB of it left" in said
    # The group's name stays out of the saved machine, its limits do not.
    assert save(tmp_path / "saved.tar.gz", folder) == read(tmp_path / "saved.tar.gz") == topology
    with tarfile.open(tmp_path / "saved.tar.gz") as tar:
        assert not [name for name in tar.getnames() if "cgroup" in name]


def test_machines_saved_before_limits_were_known_have_none(tmp_path: Path) -> None:
    assert from_json(b'{"cpus":"0-1","nodes":[0]}', Allowed, source="x") == Allowed(CPUSet([0, 1]), (0,))
    bare = read(base().folder(tmp_path)).allowed
    assert (bare.cpu_quota, bare.memory_limit_kib, bare.memory_room_kib) == (None, None, None)
