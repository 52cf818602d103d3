"""Binding from inside of a program with two nodes, judged by a reading of numa_maps that shares no code with it."""

from __future__ import annotations

import os

import pytest
from inside_process import refuse, said

# Threads that hold memory and go on running, all of it on node 0; no BLAS threads, which start slowly here.
HELD = """
def fill(area, ready, stop):
    for page in range(0, len(area), 4096):
        area[page] = 1
    ready.set()
    stop.wait()
os.sched_setaffinity(0, [0, 1])
areas = [mmap.mmap(-1, 50 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(4)]
areas[0].madvise(mmap.MADV_HUGEPAGE)
stop = threading.Event()
for area in areas:
    ready = threading.Event()
    threading.Thread(target=fill, args=(area, ready, stop), daemon=True).start()
    ready.wait()
os.sched_setaffinity(0, range(4))
def anonymous():
    return numa_maps.kib_by_node(os.getpid(), "anon=")
def policy():
    return Path("/proc/self/numa_maps").read_text().split()[1]
"""
ENV = {"OPENBLAS_NUM_THREADS": "1"}
MIB = 1 << 10  # in KiB


def held(code: str, **how):
    return said(HELD + code, env=ENV, timeout=300, **how)


class TestOldPages:
    def test_200_mib_touched_by_threads_on_node_0_follow_to_node_1(self):
        words = held(
            """
before = anonymous()
bound = nw.bind(node=1)
say(before=before, after=anonymous(), shares=numa_maps.shares(os.getpid(), "anon="), seen=affinities(),
    bound=value(bound), policy=policy())
"""
        )
        assert words["before"]["0"] > 200 * MIB
        assert words["shares"]["1"] > 0.99
        assert words["seen"] == [[2, 3]] * 5
        assert words["policy"] == "bind:1"
        bound = words["bound"]
        assert bound["threads"]["outside"] == 0
        assert bound["threads"]["moved"] == 5
        assert bound["threads"]["own_policy"] == 4
        # Reading a page that NUMA balancing has marked may move it: then it is found near.
        assert bound["pages"]["moved"] + bound["pages"]["near"] > 200 << 8
        assert bound["pages"]["moved"] > 100 << 8
        assert sum(bound["pages"]["left"].values()) < 512
        assert bound["steps"] == []
        assert any("4 threads that exist already" in note for note in bound["notes"])

    def test_interleave_spreads_what_is_there(self):
        words = held(
            """
bound = nw.bind(mem="interleave:0-1")
say(shares=numa_maps.shares(os.getpid(), "anon="), steps=bound.steps, seen=affinities())
"""
        )
        assert abs(words["shares"]["0"] - 0.5) < 0.03
        assert sorted(map(tuple, words["seen"])) == [(0, 1)] * 4 + [
            (0, 1, 2, 3)
        ]  # memory alone was asked for
        (step,) = words["steps"]  # four threads have policies of their own, which CPUs do not make good
        assert "4 threads" in step
        assert words["stderr"].count("RuntimeWarning") == 1

    def test_move_false_leaves_it(self):
        words = held("bound = nw.bind(node=1, move=False)\nsay(kib=anonymous(), pages=value(bound.pages))")
        assert words["kib"]["0"] > 200 * MIB
        assert words["pages"] == {"near": 0, "moved": 0, "unseen": 0, "left": {}}

    def test_what_is_shared_with_a_child_stays_and_is_counted(self):
        """Pages of two processes may not be moved with MPOL_MF_MOVE: the reason is given, and the number."""
        words = held(
            """
pid = os.fork()
if pid == 0:
    time.sleep(60)
    os._exit(0)
bound = nw.bind(node=1)
os.kill(pid, 9)
os.waitpid(pid, 0)
say(pages=value(bound.pages), notes=bound.notes, kib=anonymous())
"""
        )
        left = words["pages"]["left"]["shared with another process (EACCES)"]
        assert left > 190 << 8
        assert words["kib"]["0"] > 190 * MIB
        assert any(
            "pages stay on other nodes: shared with another process (EACCES)" in n for n in words["notes"]
        )

    def test_memory_put_elsewhere_on_purpose_stays(self):
        words = held(
            """
a = nw.empty(20 << 20, "uint8", node=0)
bound = nw.bind(node=1)
say(share=nw.residency(a).on([0]).share, pages=value(bound.pages), rest=anonymous())
"""
        )
        assert words["share"] == 1
        assert words["rest"]["1"] > 195 * MIB

    def test_a_node_too_small_takes_what_it_can(self):
        """Node 2 has 512 MiB: 200 fit; with 300 more there, the rest is counted."""
        words = held(
            """
ballast = nw.empty(300 << 20, "uint8", node=2)
bound = nw.bind(mem="preferred:2")
say(pages=value(bound.pages), kib=anonymous(), notes=bound.notes)
"""
        )
        pages = words["pages"]
        assert pages["moved"] + sum(pages["left"].values()) + pages["near"] >= 200 << 8
        assert pages["moved"] > 100 << 8
        assert pages["left"]["no room on the node (ENOMEM)"] > 1000
        assert words["kib"]["2"] > 380 * MIB
        assert any("no room on the node" in note for note in words["notes"])


class TestRefused:
    def test_the_ladder_is_said_and_new_memory_follows(self):
        words = held(
            """
bound = nw.bind(node=1)
new = bytearray(50 << 20)
say(steps=bound.steps, seen=affinities(), old=anonymous(),
    new_kib=numa_maps.kib_by_node(os.getpid(), "anon=").get(1, 0))
""",
            prefix=refuse("set_mempolicy", "mbind", "move_pages", "migrate_pages"),
        )
        policy, pages = words["steps"]
        assert "set_mempolicy answered EPERM" in policy
        assert "first touch" in policy
        assert "move_pages answered EPERM" in pages
        assert words["seen"] == [[2, 3]] * 5
        assert words["old"]["0"] > 200 * MIB
        assert words["new_kib"] > 50 * MIB
        assert words["stderr"].count("RuntimeWarning") == 2

    def test_strict_raises_and_leaves_threads_and_policy(self):
        words = held(
            """
try:
    nw.bind(node=1, strict=True)
except nw.NotPermittedError as error:
    say(error=str(error), seen=affinities(), policy=policy(), kib=anonymous())
""",
            prefix=refuse("move_pages"),
        )
        assert "move_pages answered EPERM" in words["error"]
        assert sorted(map(tuple, words["seen"])) == [(0, 1)] * 4 + [(0, 1, 2, 3)]
        assert words["policy"] == "default"
        assert words["kib"]["0"] > 200 * MIB


class TestScopesAndArrays:
    def test_arrays_and_scopes(self):
        words = said(
            """
            import numpy
            os.sched_setaffinity(0, [0, 1])
            def policy():
                return Path("/proc/self/numa_maps").read_text().split()[1]
            def nodes(array):
                begin = array.__array_interface__["data"][0]
                return numa_maps.shares(os.getpid(), "", range(begin, begin + array.nbytes))
            one, two = nw.empty((4096, 4096), "float32", node=1), nw.empty((1024, 4096), "float32", node=2)
            spread = nw.empty(64 << 20, "uint8", mem="interleave:0-1")
            say(one=nodes(one), two=nodes(two), spread=nodes(spread), said=nw.residency(one).on([1]).low)
            try:
                nw.empty(600 << 20, "uint8", node=2)
            except nw.UsageError as error:
                say(full=str(error))
            try:
                with nw.memory_policy("bind:1"):
                    inside = numpy.ones(32 << 20, "uint8")
                    raise KeyError
            except KeyError:
                after = numpy.ones(32 << 20, "uint8")
            say(inside=nw.residency(inside).on([1]).share, after=nw.residency(after).on([0]).share, policy=policy())
            """,
            env=ENV,
            timeout=300,
        )
        assert words["one"]["1"] > 0.99
        assert words["two"]["2"] > 0.99
        assert abs(words["spread"]["0"] - 0.5) < 0.05
        assert words["said"] > 0.99
        assert "do not fit on node 2" in words["full"]
        assert words["inside"] > 0.99
        assert words["after"] > 0.99
        assert words["policy"] == "default"

    def test_an_array_refused_its_policy_is_touched_first_there(self):
        words = said(
            """
            os.sched_setaffinity(0, range(4))
            a = nw.empty(8 << 20, "uint8", node=1)
            say(share=nw.residency(a).on([1]).share, seen=sorted(os.sched_getaffinity(0)))
            """,
            prefix=refuse("mbind"),
            env=ENV,
            timeout=300,
        )
        assert (words["share"], words["seen"]) == (1, [0, 1, 2, 3])
        assert "first touch" in words["stderr"]


def test_next_to_the_device_on_node_1():
    words = said(
        """
        bound = nw.bind_to_gpu(0)
        say(seen=affinities(), bound=value(bound), env=os.environ.get("CUDA_VISIBLE_DEVICES"))
        """,
        env=ENV,
        timeout=300,
    )
    assert words["seen"] == [[2, 3]]
    assert words["bound"]["placement"]["memory"] == {"mode": "bind", "nodes": [1]}
    assert words["bound"]["asked"] == "gpu=0"
    assert words["env"] is None


def test_ranks_take_a_node_each():
    for rank in (0, 1):
        told = {"LOCAL_RANK": str(rank), "RANK": str(rank), "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}
        words = said(
            "bound = nw.bind_rank()\nsay(seen=affinities(), memory=value(bound.placement.memory))",
            env={**ENV, **told, "TORCHELASTIC_RUN_ID": "x"},
            timeout=300,
        )
        # Beside the one device, or a node each: never both on one.
        assert words["memory"]["mode"] == "bind"
        assert words["seen"][0] in ([0, 1], [2, 3])


TORCH = """
import torch
from collections import Counter
sys.path.insert(0, str(Path(numa_maps.__file__).parent))
import kernel
from torch.utils.data import DataLoader, Dataset, get_worker_info
class Here(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        tensor = torch.ones(4 << 20, dtype=torch.uint8)  # filled by the worker: its own memory first
        begin = tensor.data_ptr() // 4096 * 4096
        mine = Counter(kernel.nodes_of_pages(list(range(begin, begin + tensor.nbytes, 4096))))
        return get_worker_info().id, sorted(set(map(tuple, affinities()))), mine, tensor
def seen(context, **options):
    found = []
    loader = DataLoader(Here(), batch_size=1, multiprocessing_context=context, collate_fn=list, **options)
    for ((worker, cpus, mine, tensor),) in loader:
        # In the main process the tensor is the worker's shared memory; it is listed there once it has been read.
        begin = tensor.data_ptr()
        assert int(tensor.sum()) == tensor.nbytes
        shared = numa_maps.kib_by_node(os.getpid(), "/dev/shm/torch", range(begin - 4096, begin + tensor.nbytes))
        found.append([worker, cpus, mine, shared])
    return found
"""


@pytest.mark.torch
@pytest.mark.skipif("NUMAWISE_SKIP_SLOW" in os.environ, reason="asked not to")
def test_torch_and_its_data_loader():
    """Everything with torch in one process, whose import takes most of a minute here."""
    words = said(
        TORCH
        + """
os.sched_setaffinity(0, [0, 1])
big = torch.ones(50 << 20, dtype=torch.uint8)
(torch.ones(1000, 1000) + 1).sum()
os.sched_setaffinity(0, range(4))
options = nw.data_loader_options(2, gpu=0)
say(near=seen("fork", **options), notes=options["worker_init_fn"].notes)
bound = nw.bind(node=1)
say(main=affinities(), share=nw.residency(big.numpy()).on([1]).share, bound=value(bound))
say(plain=seen("fork", num_workers=1, worker_init_fn=nw.worker_init_fn))
tensor = nw.empty_tensor((1024, 1024), torch.bfloat16, node=2)
tensor += 1
say(tensor=nw.residency(tensor.view(torch.int16).numpy()).on([2]).share)
""",
        env={**ENV, "OMP_NUM_THREADS": "2"},
        timeout=380,
    )
    assert len(words["near"]) == 4
    for _, cpus, mine, shared in (*words["near"], *words["plain"]):
        assert cpus == [[2, 3]]
        assert mine["1"] >= 1020  # of 1024 pages; its first may be shared with a neighbour
        assert shared == {"1": 4 * MIB}
    assert {worker for worker, *_ in words["near"]} == {0, 1}
    assert all(cpus == [2, 3] for cpus in words["main"])
    assert len(words["main"]) > 1
    assert words["share"] > 0.99
    assert words["tensor"] > 0.99
