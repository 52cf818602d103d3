"""Workers of a real PyTorch DataLoader, by fork and by spawn; and who gets which cores on machines in files."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest
from inside_process import said
from machines import two_sockets

from numawise.errors import UsageError
from numawise.launch.inside.dataloader import data_loader_options, share_out, worker_init_fn
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.placement.values import MemoryPolicy

CPUS = sorted(os.sched_getaffinity(0))
FIRST, LAST = CPUS[0], CPUS[-1]

LOADER = """
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

class Here(Dataset):
    # What a worker is when it makes an item: its number, its threads' CPUs, its memory policy.
    def __len__(self):
        return 8
    def __getitem__(self, index):
        time.sleep(0.02)
        policy = Path("/proc/self/numa_maps").read_text().split()[1]
        return get_worker_info().id, sorted(set(map(tuple, affinities()))), policy

def own(worker_id):
    Path(os.environ["MARKS"], str(worker_id)).write_text(str(sorted(os.sched_getaffinity(0))))

def seen(context, **options):
    loader = DataLoader(Here(), batch_size=1, multiprocessing_context=context, collate_fn=list, **options)
    return sorted({(n, tuple(cpus), policy) for ((n, cpus, policy),) in loader})
"""
SPAWNED = "if __name__ == '__main__':\n"


@pytest.mark.torch
@pytest.mark.skipif(len(CPUS) != 2 or read().cores != 2, reason="says what two cores are shared out to")
@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
class TestDataLoader:
    def test_worker_init_fn_keeps_off_the_main_process(self, context: str, tmp_path):
        words = said(
            LOADER
            + f"{SPAWNED}    say(seen=seen('{context}', num_workers=1, worker_init_fn=nw.worker_init_fn))",
            tmp_path=tmp_path,
        )
        assert words["seen"] == [[0, [[LAST]], "bind:0"]]

    def test_options_share_the_rest_out_and_call_the_programs_own(self, context: str, tmp_path):
        words = said(
            LOADER
            + f"""
{SPAWNED}    options = nw.data_loader_options(2, node=0, worker_init_fn=own, bind_main=True)
    say(seen=seen('{context}', **options), main=affinities(), notes=options["worker_init_fn"].notes)
""",
            tmp_path=tmp_path,
            env={"MARKS": str(tmp_path)},
        )
        assert words["seen"] == [[0, [[LAST]], "bind:0"], [1, [[LAST]], "bind:0"]]
        assert all(cpus == [FIRST] for cpus in words["main"])
        assert (tmp_path / "1").read_text() == f"[{LAST}]"
        assert any("2 workers share 1 core" in note for note in words["notes"])

    def test_openmp_that_binds_the_main_thread_does_not_crowd_the_workers(self, context: str, tmp_path):
        """OMP_PROC_BIND: the main thread sits on one CPU, and without more every worker inherits that one."""
        words = said(
            LOADER
            + f"""
{SPAWNED}    (torch.ones(2000, 2000) + 1).sum()
    say(plain=seen('{context}', num_workers=1), main=sorted(os.sched_getaffinity(0)),
        seen=seen('{context}', num_workers=1, worker_init_fn=nw.worker_init_fn))
""",
            tmp_path=tmp_path,
            env={"OMP_PROC_BIND": "close"},
        )
        assert words["main"] == [FIRST]
        assert words["plain"][0][1] == [[FIRST]]
        assert words["seen"][0][1] == [[LAST]]

    def test_a_main_process_bound_elsewhere_leaves_all_of_it(self, context: str, tmp_path):
        words = said(
            LOADER
            + f"""
{SPAWNED}    nw.bind(cpus={LAST})
    options = nw.data_loader_options(1, node=0)
    say(seen=seen('{context}', **options), main=str(options["worker_init_fn"].main))
""",
            tmp_path=tmp_path,
        )
        assert (words["seen"][0][1], words["main"]) == ([[FIRST]], str(LAST))


class TestShares:
    def test_on_a_node_main_gets_a_share_like_the_others(self):
        pool = CPUSet.parse("8-15,24-31")  # node 1: 8 cores
        shared = share_out(two_sockets(), pool, pool, 3, None)
        assert shared.main == CPUSet.parse("8-9,24-25")
        assert [str(p.cpus) for p in shared.placements] == ["10-11,26-27", "12-13,28-29", "14-15,30-31"]
        assert {p.memory for p in shared.placements} == {MemoryPolicy("bind", (1,))}

    def test_main_on_some_of_it_keeps_these(self):
        shared = share_out(two_sockets(), CPUSet.parse("8-15,24-31"), CPUSet.parse("8,24"), 7, None)
        assert shared.main == CPUSet.parse("8,24")
        assert [len(p.cpus) for p in shared.placements] == [2] * 7
        assert shared.notes == ()

    def test_main_on_another_node_is_in_nobodys_way(self):
        shared = share_out(two_sockets(), CPUSet.parse("8-15,24-31"), CPUSet.parse("0-7"), 4, None)
        assert CPUSet(c for p in shared.placements for c in p.cpus) == CPUSet.parse("8-15,24-31")

    @pytest.mark.parametrize("workers", [1, 2, 3, 5, 8, 15, 16, 40])
    def test_no_worker_meets_another_nor_main_nor_straddles_nodes(self, workers: int):
        machine = two_sockets()
        shared = share_out(machine, machine.cpus, machine.cpus, workers, None)
        used = [cpu for p in shared.placements for cpu in p.cpus]
        assert len(used) == len(set(used))
        assert not shared.main & set(used)
        assert shared.main
        for placement in shared.placements:
            (node,) = [n for n in machine.nodes if n.cpus & placement.cpus]
            assert placement.memory == MemoryPolicy("bind", (node.id,))
            assert placement.env == {}
        assert len(shared.placements) == min(workers, 15)

    def test_a_single_core_is_shared(self):
        shared = share_out(two_sockets(1), CPUSet([0, 2]), CPUSet([0, 2]), 2, None)
        assert [str(p.cpus) for p in shared.placements] == ["0,2"]
        assert any("there is no other core" in note for note in shared.notes)

    def test_memory_of_a_gpu_is_everybodys(self):
        near = MemoryPolicy("preferred", (0,))
        shared = share_out(two_sockets(), CPUSet.parse("8-11"), CPUSet(), 2, near)
        assert {p.memory for p in shared.placements} == {near}

    def test_it_can_be_pickled(self):
        made = data_loader_options(2, worker_init_fn=print)["worker_init_fn"]
        assert pickle.loads(pickle.dumps(made)) == made


class TestWrong:
    @pytest.mark.parametrize("count", [-1, 1.5, "2", True, None])
    def test_counts(self, count):
        with pytest.raises(UsageError, match="num_workers"):
            data_loader_options(count)

    def test_gpu_and_node(self):
        with pytest.raises(UsageError, match="not both"):
            data_loader_options(1, gpu=0, node=0)

    def test_no_workers_need_no_function(self):
        assert data_loader_options(0, node=0) == {"num_workers": 0}

    def test_outside_of_a_worker(self):
        with pytest.raises(UsageError, match="workers of a torch DataLoader"):
            worker_init_fn(0)


def test_a_worker_imports_nothing_heavy():
    code = (
        "import numawise, sys; numawise.worker_init_fn; import numawise.launch.inside.place as p;"
        "print(sorted({'numpy', 'torch', 'click', 'rich', 'jinja2', 'sqlite3'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        == "[]\n"
    )
