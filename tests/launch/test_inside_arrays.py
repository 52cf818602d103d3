"""Arrays that know their node, and policies for a while: real pages, real filters of system calls."""

from __future__ import annotations

import pytest
from inside_process import refuse, said

POLICY = "policy = lambda: Path('/proc/self/numa_maps').read_text().split()[1]\n"


class TestEmpty:
    def test_pages_are_there_bound_and_zero(self):
        words = said(
            """
            a = nw.empty((1024, 1024), "float32", node=0)
            base = a.__array_interface__["data"][0]
            maps = next(line for line in open("/proc/self/numa_maps") if line.startswith(f"{base:x} "))
            seen = nw.residency(a)
            say(maps=maps.split()[1], share=seen.on([0]).low, kib=seen.rss_kib, missed=seen.unmapped_pages,
                ok=bool((a == 0).all()) and a.flags.writeable and a.flags.c_contiguous and base % (2 << 20) == 0)
            """
        )
        assert words["maps"] == "bind:0"
        assert words["share"] > 0.99
        assert (words["kib"], words["missed"], words["ok"]) == (4096, 0, True)

    @pytest.mark.parametrize(
        ("call", "expected"),
        [
            ("nw.empty(5, node=0)", [[5], "float64"]),
            ("nw.empty((), 'int8', node=0)", [[], "int8"]),
            ("nw.empty((3, 0, 2), 'f2', node=0)", [[3, 0, 2], "float16"]),
            ("nw.empty([1025, 1023], 'complex64', node='0', huge=False)", [[1025, 1023], "complex64"]),
            ("nw.empty(10, 'bool', mem='interleave:all')", [[10], "bool"]),
            ("nw.empty(10, 'datetime64[s]', mem='local')", [[10], "datetime64[s]"]),
        ],
    )
    def test_shapes_and_types(self, call: str, expected: list):
        words = said(f"a = {call}\nsay(seen=[list(a.shape), str(a.dtype)])\na[...] = 1")
        assert words["seen"] == expected

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            ("nw.empty(5)", "give node= or mem="),
            ("nw.empty(5, node=0, mem='local')", "one of them"),
            ("nw.empty(5, node=63)", "no node 63"),
            ("nw.empty(5, 'O', node=0)", "references"),
            ("nw.empty((-1, 3), node=0)", "shape=(-1, 3)"),
            ("nw.empty(2.5, node=0)", "shape=2.5"),
            ("nw.empty(1 << 50, node=0)", "do not fit on node 0"),
            ("nw.empty(5, mem='near:0')", "near"),
        ],
    )
    def test_what_cannot_be_meant(self, call: str, words: str):
        told = said(f"try:\n    {call}\nexcept nw.UsageError as error:\n    say(error=str(error))")
        assert words in told["error"]

    def test_the_memory_goes_back_with_the_last_view(self):
        words = said(
            """
            def rss():
                return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) >> 10
            import numpy
            first = rss()
            a = nw.empty(64 << 20, "uint8", node=0)
            view = a[5:10]
            held = rss()
            del a
            still = rss()
            del view
            say(mib=[held - first, still - first, rss() - first])
            """
        )
        held, still, after = words["mib"]
        assert held >= 64
        assert still >= 64
        assert after < 16

    def test_a_refused_policy_is_placed_by_first_touch_and_said(self):
        words = said(
            "a = nw.empty(1000, node=0)\nsay(share=nw.residency(a).on([0]).share, cpus=affinities())",
            prefix=refuse("mbind"),
        )
        assert words["share"] == 1
        assert words["stderr"].count("RuntimeWarning") == 1
        assert "mbind answered EPERM" in words["stderr"]
        assert "first touch" in words["stderr"]
        assert len(words["cpus"]) <= 2  # the thread that touched it has ended; OpenBLAS's may live

    def test_what_cannot_be_looked_at_is_said(self):
        words = said("nw.empty(1000, node=0)", prefix=refuse("move_pages"))
        assert "move_pages answered EPERM" in words["stderr"]

    @pytest.mark.parametrize("call", ["mbind", "move_pages"])
    def test_strict_makes_either_an_error(self, call: str):
        words = said(
            "try:\n nw.empty(9, node=0, strict=True)\nexcept nw.NotPermittedError as error:\n say(error=str(error))",
            prefix=refuse(call),
        )
        assert f"{call} answered EPERM" in words["error"]

    @pytest.mark.torch
    def test_tensors(self):
        words = said(
            """
            import torch
            t = nw.empty_tensor((300, 5000), torch.bfloat16, node=0)
            t += 1
            empty = nw.empty_tensor((0, 3), node=0)
            seen = nw.residency(t.view(torch.int16).numpy())
            say(sum=t.float().sum().item(), dtype=str(t.dtype), share=seen.on([0]).low,
                empty=list(empty.shape), shared=torch.from_numpy(nw.empty(4, "float32", node=0)).sum().item())
            """
        )
        assert words["sum"] == 300 * 5000
        assert (words["dtype"], words["empty"], words["shared"]) == ("torch.bfloat16", [0, 3], 0)
        assert words["share"] > 0.99


class TestMemoryPolicy:
    def test_it_holds_inside_and_is_taken_back(self):
        words = said(
            POLICY
            + """
with nw.memory_policy("interleave:all") as scope:
    inside = policy()
    with nw.memory_policy("preferred:0"):
        nested = policy()
    again = policy()
say(seen=[inside, nested, again, policy()], notes=scope.notes, mode=scope.memory.mode)
"""
        )
        assert words["seen"] == ["interleave:0", "prefer:0", "interleave:0", "default"]
        assert (words["notes"], words["mode"]) == ([], "interleave")

    def test_it_is_taken_back_on_exceptions(self):
        words = said(
            POLICY
            + """
nw.bind(mem="bind:0")
try:
    with nw.memory_policy("local"):
        inside = policy()
        raise KeyError("x")
except KeyError:
    say(seen=[inside, policy()])
"""
        )
        assert words["seen"] == ["local", "bind:0"]

    def test_flags_of_the_old_policy_are_kept(self):
        words = said(
            """
            from numawise.linux import syscalls
            syscalls.set_mempolicy("bind", [0], flags=syscalls.MPOL_F_NUMA_BALANCING)
            with nw.memory_policy("local"):
                inside = syscalls.mempolicy_flags()
            say(flags=[inside, syscalls.mempolicy_flags() == syscalls.MPOL_F_NUMA_BALANCING])
            """
        )
        assert words["flags"] == [0, True]

    def test_threads_that_exist_already_are_noted(self):
        words = said("waiting(3)\nwith nw.memory_policy('bind:0') as scope:\n    say(notes=scope.notes)")
        (note,) = words["notes"]
        assert note.startswith("3 other threads follow policies of their own")

    def test_leaving_it_on_another_thread_is_refused(self):
        words = said(
            """
            scope = nw.memory_policy("local")
            scope.__enter__()
            def leave():
                try:
                    scope.__exit__(None, None, None)
                except nw.UsageError as error:
                    say(error=str(error))
            thread = threading.Thread(target=leave)
            thread.start()
            thread.join()
            """
        )
        assert "another thread" in words["error"]

    def test_refused_it_warns_and_the_program_goes_on(self):
        words = said(
            "with nw.memory_policy('bind:0') as scope:\n    say(steps=scope.steps)",
            prefix=refuse("set_mempolicy"),
        )
        assert "set_mempolicy answered EPERM" in words["steps"][0]
        assert words["stderr"].count("RuntimeWarning") == 1
        assert "<string>" in words["stderr"]  # the caller's line, not ours

    def test_strict_makes_it_an_error(self):
        words = said(
            """
            try:
                with nw.memory_policy("bind:0", strict=True):
                    say(ran=True)
            except nw.NotPermittedError as error:
                say(error=str(error))
            """,
            prefix=refuse("set_mempolicy", "get_mempolicy"),
        )
        assert "EPERM" in words["error"]
        assert "ran" not in words

    @pytest.mark.parametrize("policy", ["stripe", "bind:64", "local:0", ""])
    def test_what_cannot_be_meant(self, policy: str):
        words = said(
            f"try:\n nw.memory_policy({policy!r}).__enter__()\nexcept nw.UsageError as error:\n say(error=str(error))"
        )
        assert words["error"]
