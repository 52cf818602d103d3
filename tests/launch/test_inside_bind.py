"""Binding a process that runs: real processes with threads, OpenMP runtimes and filters of system calls."""

from __future__ import annotations

import os

import pytest
from inside_process import refuse, run, said

CPUS = sorted(os.sched_getaffinity(0))
FIRST = CPUS[0]

pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU: there is nothing to choose from")


class TestThreads:
    def test_those_that_run_already_are_moved(self):
        words = said(f"waiting(5)\nbound = nw.bind(cpus={FIRST})\nsay(bound=value(bound), seen=affinities())")
        assert words["seen"] == [[FIRST]] * 6
        assert words["bound"]["threads"] == {"seen": 6, "moved": 6, "outside": 0, "own_policy": 0}
        assert words["bound"]["placement"]["cpus"] == str(FIRST)

    def test_those_that_are_started_meanwhile_are_moved(self):
        """Threads that start threads, each with the affinity of the one that started it."""
        words = said(
            f"""
            stop = threading.Event()
            def breed():
                while not stop.is_set():
                    try:
                        threading.Thread(target=stop.wait, args=(0.05,)).start()
                    except RuntimeError:
                        return
                    time.sleep(0.0005)
            breeders = [threading.Thread(target=breed) for _ in range(3)]
            [b.start() for b in breeders]
            time.sleep(0.1)
            bound = nw.bind(cpus={FIRST})
            seen = affinities()
            stop.set()
            say(bound=value(bound), seen=seen)
            """
        )
        assert words["bound"]["threads"]["outside"] == 0
        assert all(cpus == [FIRST] for cpus in words["seen"])

    def test_one_bound_more_narrowly_within_is_left_alone(self):
        words = said(
            f"""
            ready, done = threading.Event(), threading.Event()
            def pinned():
                os.sched_setaffinity(0, [{FIRST}])
                ready.set()
                done.wait()
            threading.Thread(target=pinned, daemon=True).start()
            ready.wait()
            say(bound=value(nw.bind(cpus={CPUS!r})), seen=sorted(affinities()))
            """
        )
        assert words["bound"]["threads"]["moved"] == 0
        assert words["seen"] == sorted([[FIRST], CPUS])

    def test_what_is_started_later_inherits_it(self):
        words = said(
            f"""
            import subprocess
            nw.bind(cpus={FIRST}, mem="bind:0")
            look = "head -1 /proc/self/numa_maps | cut -d' ' -f2; grep ^Cpus_allowed_list /proc/self/status"
            say(out=subprocess.run(["sh", "-c", look], capture_output=True, text=True).stdout.split())
            """
        )
        assert words["out"] == ["bind:0", "Cpus_allowed_list:", str(FIRST)]


class TestAgain:
    def test_another_place_can_be_had_later(self):
        """Its own earlier binding is no confinement; that of whoever started the process is one."""
        words = said(
            f"""
            nw.bind(cpus={FIRST})
            nw.bind(cpus={CPUS[1]})
            say(seen=affinities())
            """
        )
        assert words["seen"] == [[CPUS[1]]]

    def test_what_taskset_left_is_all_there_is(self):
        words = said(
            f"""
            nw.bind(cpus={FIRST})
            try:
                nw.bind(cpus={CPUS[1]})
            except nw.NotPermittedError as error:
                say(error=str(error), seen=affinities())
            """,
            prefix=["taskset", "-c", str(FIRST)],
        )
        assert words["seen"] == [[FIRST]]
        assert f"CPUs {CPUS[1]} are not allowed" in words["error"]

    def test_default_takes_a_policy_back(self):
        words = said(
            """
            policy = lambda: Path("/proc/self/numa_maps").read_text().split()[1]
            nw.bind(node=0)
            first = policy()
            nw.bind(mem="default")
            say(policies=[first, policy()])
            """
        )
        assert words["policies"] == ["bind:0", "default"]


class TestWrong:
    @pytest.mark.parametrize(
        ("call", "words"),
        [
            ("nw.bind()", "bind to what"),
            ("nw.bind(node=77)", "no node 77"),
            ("nw.bind(node=-1)", "node=-1"),
            ("nw.bind(node=[])", "empty"),
            ("nw.bind(node='zero')", "zero"),
            ("nw.bind(node=1.5)", "1.5"),
            ("nw.bind(cpus='3-1')", "backwards"),
            ("nw.bind(cpus=60000)", "60000"),
            ("nw.bind(cpus='')", "empty"),
            ("nw.bind(cpus=[True])", "True"),
            ("nw.bind(mem='stripe:0')", "stripe"),
            ("nw.bind(mem='bind:9')", "no node 9"),
            ("nw.bind(node=0, plan=nw.Plan(()))", "plan= says where"),
            ("nw.bind(plan=nw.Plan(()))", "places 0 processes"),
            ("nw.bind_to_gpu(None)", "names no GPU"),
            ("nw.bind_to_gpu('cpu:x')", "cpu:x"),
            ("nw.bind_to_gpu(99)", "GPU"),
            ("nw.bind_to_gpu(0, mode='near')", "near"),
            ("nw.bind_rank()", "no launcher"),
        ],
    )
    def test_it_says_what_and_changes_nothing(self, call: str, words: str):
        told = said(
            f"""
            try:
                {call}
            except nw.UsageError as error:
                say(error=str(error), seen=affinities(), policy=Path("/proc/self/numa_maps").read_text().split()[1])
            """,
            env={"CUDA_VISIBLE_DEVICES": "", "RANK": ""},
        )
        assert words in told["error"]
        assert "\n" not in told["error"]
        assert (told["seen"], told["policy"]) == ([CPUS], "default")


class TestLadder:
    def test_a_refused_policy_is_a_step_and_warned_of_once(self):
        words = said(
            f"bound = nw.bind(node=0, cpus={FIRST})\nsay(bound=value(bound), seen=affinities())",
            prefix=refuse("set_mempolicy", "mbind", "move_pages"),
        )
        assert words["seen"] == [[FIRST]]
        (step,) = words["bound"]["steps"]
        assert "set_mempolicy answered EPERM" in step
        assert "first touch" in step
        assert words["stderr"].count("RuntimeWarning") == 1

    def test_strict_makes_it_an_error_and_changes_nothing(self):
        words = said(
            f"""
            waiting(2)
            try:
                nw.bind(node=0, cpus={FIRST}, strict=True)
            except nw.NotPermittedError as error:
                say(error=str(error), seen=affinities())
            """,
            prefix=refuse("set_mempolicy"),
        )
        assert "EPERM" in words["error"]
        assert words["seen"] == [CPUS] * 3

    def test_refused_affinity_is_a_step(self):
        words = said(
            f"""
            waiting(2)
            bound = nw.bind(cpus={FIRST})
            try:
                nw.bind(cpus={FIRST}, strict=True)
            except nw.NotPermittedError as error:
                say(error=str(error), bound=value(bound), seen=affinities())
            """,
            prefix=refuse("sched_setaffinity"),
        )
        assert words["seen"] == [CPUS] * 3
        assert words["bound"]["threads"] == {"seen": 3, "moved": 0, "outside": 3, "own_policy": 0}
        (step,) = words["bound"]["steps"]
        assert step.startswith("CPUs are not bound: sched_setaffinity answered EPERM")
        assert "EPERM" in words["error"]

    def test_a_later_step_takes_back_what_was_done(self):
        """Threads that follow a policy of their own cannot be interleaved: known only when they are looked at."""
        words = said(
            f"""
            waiting(2)
            try:
                nw.bind(cpus={FIRST}, mem="interleave:0", strict=True)
            except nw.NotPermittedError as error:
                say(error=str(error), seen=affinities(), policy=Path("/proc/self/numa_maps").read_text().split()[1])
            """
        )
        assert "2 threads that exist already" in words["error"]
        assert (words["seen"], words["policy"]) == ([CPUS] * 3, "default")


class TestOpenMP:
    """The wheel of torch brings GNU's OpenMP runtime, which NumPy's does not."""

    pytestmark = pytest.mark.torch
    work = "(torch.ones(2000, 2000) + 1).sum()"

    def test_more_threads_than_cpus_are_noted(self):
        words = said(
            f"""
            import torch
            {self.work}
            bound = nw.bind(cpus={FIRST})
            {self.work}
            say(bound=value(bound), seen=affinities(), threads=torch.get_num_threads())
            """,
            env={"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert words["threads"] == 2
        (note,) = [n for n in words["bound"]["notes"] if n.startswith("torch uses 2 threads")]
        assert note.endswith("torch.set_num_threads(1)")
        assert all(cpus == [FIRST] for cpus in words["seen"])
        assert len(words["seen"]) > 1

    def test_the_first_thread_bound_by_the_runtime_does_not_confine(self):
        """OMP_PROC_BIND pins the main thread to one CPU as soon as torch is imported."""
        words = said(
            f"""
            import torch
            before = sorted(os.sched_getaffinity(0))
            nw.bind(cpus={CPUS[1]})
            say(before=before, after=sorted(os.sched_getaffinity(0)))
            """,
            env={"OMP_PROC_BIND": "close", "OMP_PLACES": "threads"},
        )
        assert words["before"] == [FIRST]
        assert words["after"] == [CPUS[1]]

    @pytest.mark.parametrize(
        "setting",
        [{"OMP_PROC_BIND": "close"}, {"OMP_PLACES": "cores"}, {"GOMP_CPU_AFFINITY": f"{FIRST}-{CPUS[-1]}"}],
        ids=str,
    )
    def test_what_undoes_a_binding_is_noted_and_does_undo_it(self, setting: dict[str, str]):
        words = said(
            f"""
            import torch
            {self.work}
            bound = nw.bind(cpus={CPUS[1]})
            torch.set_num_threads(3)
            {self.work}
            say(notes=bound.notes, outside=bound.threads.outside, seen=affinities())
            """,
            env={**setting, "OMP_NUM_THREADS": "2"},  # a third is then one that it has to start
        )
        (name,) = setting
        assert words["outside"] == 0  # when it was looked at
        assert any(note.startswith(name) and "unset it" in note for note in words["notes"])
        assert any(cpus != [CPUS[1]] for cpus in words["seen"])

    def test_a_refusal_that_is_openmps_doing_says_so(self):
        words = said(
            f"""
            import torch
            try:
                nw.bind(cpus={CPUS[1]})
            except nw.NotPermittedError as error:
                say(error=str(error))
            """,
            env={"GOMP_CPU_AFFINITY": str(FIRST)},
        )
        assert f"GOMP_CPU_AFFINITY={FIRST}" in words["error"]

    def test_bound_before_the_import_nothing_is_undone(self):
        words = said(
            f"""
            bound = nw.bind(cpus={CPUS[1]})
            import torch
            torch.set_num_threads(3)
            {self.work}
            say(notes=bound.notes, seen=affinities())
            """,
            env={"OMP_PROC_BIND": "close"},
        )
        assert not any("OMP_PROC_BIND" in note for note in words["notes"])
        assert all(cpus == [CPUS[1]] for cpus in words["seen"])

    def test_lists_of_other_cpus_are_noted_before_anything_is_loaded(self):
        words = said(
            f"say(notes=nw.bind(cpus={CPUS[1]}).notes)", env={"GOMP_CPU_AFFINITY": f"{FIRST}-{CPUS[1]}"}
        )
        assert any(note.startswith("GOMP_CPU_AFFINITY") for note in words["notes"])


class TestRank:
    def test_ranks_share_the_cores_out(self):
        """As torchrun tells them; the two do not meet, and libraries loaded later are told how many threads."""
        code = (
            "b = nw.bind_rank()\nsay(seen=affinities(), threads=os.environ['OMP_NUM_THREADS'], asked=b.asked)"
        )
        told = [said(code, env={**ranks(i), "OMP_NUM_THREADS": ""}) for i in range(2)]
        assert [words["seen"] for words in told] == [[[CPUS[0]]], [[CPUS[1]]]] or len(CPUS) > 2
        assert {words["asked"] for words in told} == {"rank=0 (torchrun)", "rank=1 (torchrun)"}
        assert not set(told[0]["seen"][0]) & set(told[1]["seen"][0])
        assert all(words["threads"].isdigit() for words in told)

    @pytest.mark.torch
    def test_a_first_thread_bound_by_openmp_is_not_taken_for_the_launchers_doing(self):
        words = said(
            "import torch\nbound = nw.bind_rank()\nsay(seen=sorted(os.sched_getaffinity(0)), notes=bound.notes)",
            env={**ranks(1), "OMP_PROC_BIND": "close", "OMP_PLACES": "threads"},
        )
        assert FIRST not in words["seen"]
        assert not any("has bound this rank" in note for note in words["notes"])


def ranks(local: int) -> dict[str, str]:
    """What torchrun sets for one of two."""
    return {
        "LOCAL_RANK": str(local),
        "RANK": str(local),
        "LOCAL_WORLD_SIZE": "2",
        "WORLD_SIZE": "2",
        "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }


class TestPlan:
    def test_one_placement_of_a_plan(self):
        words = said(
            """
            plan = nw.plan(nw.read_topology(), nw.Request(workers=2))
            bound = nw.bind(placement=plan.placements[1])
            say(seen=affinities(), threads=os.environ.get("OMP_NUM_THREADS"), env=bound.placement.env)
            """,
            env={"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": "7"},
        )
        assert FIRST not in words["seen"][0]
        assert words["env"].keys() == {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"} or len(CPUS) == 2
        assert "MKL_NUM_THREADS" not in words["env"]

    def test_a_placement_of_another_machine_is_held_against_this_one(self):
        done = run(
            """
            from numawise.linux.cpuset import CPUSet
            nw.bind(placement=nw.Placement(0, CPUSet([4000])))
            """
        )
        assert "UsageError: CPUs 4000 are not on this machine" in done.stderr


def test_the_answer_survives_json():
    words = said(
        """
        from numawise.machine.codec import from_json, to_json
        bound = nw.bind(node=0)
        say(same=from_json(to_json(bound), nw.Bound, source="test") == bound)
        """
    )
    assert words["same"]
