"""Numactl's options on two nodes and a third without CPUs: ours beside the classic tool, option by option."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from classic_tools import REAL, REPORT, forked, ours, real, without_free
from vm.inside.tools import cpuset, offline

# Each names a policy, CPUs, or both: they do not sway each other.
PLACEMENTS = [
    *("-m 0 -C 0,2-3", "-m 0,2 -N !0", "-m !1 -C +1,3", "-m +1,2 -C !1", "-m all -N 1,2", "-m 0-1,2 -N 0-2"),
    *("-N 0,1 -m same", "-m 1 -N same", "-b -m 0,1", "-a -N 1 -m 2", "-i all -C all", "-i 0,1 -C !+0"),
    *("-p 2 -C 0 -N 1", "-p 1 -N 1 -C 0", "-P 0,2", "-P 1", "-l -N 1"),
]
SHOWN = ["", "-m 2", "-m 0,2", "-i 0,1", "-p 1", "-P 0,2", "-N 1", "-C 2 -m 1", "-N 1,2"]
REFUSED = ["-m 3", "-m 0-3", "-p 0,1", "-p all", "-N 2", "-C 4", "-C 0-7", "-m 0,1-", "-N file:/proc"]


@pytest.mark.parametrize("options", PLACEMENTS)
def test_the_program_gets_what_numactl_would_give_it(options: str):
    words = [*shlex.split(options), *REPORT]
    mine, classic = forked("numactl", *words), real("numactl", *words)
    assert (mine.stdout, mine.stderr, mine.returncode) == (classic.stdout, "", 0)
    assert mine.stdout.startswith("mode 0x")


def test_so_does_the_whole_command_line():
    words = ["-N", "1", "-m", "2", *REPORT]
    assert ours("numactl", *words).stdout == real("numactl", *words).stdout


def test_show_is_the_same_to_the_byte():
    for options in SHOWN:
        words = [*shlex.split(options), "--show"]
        assert forked("numactl", *words).stdout == real("numactl", *words).stdout, options


def test_show_names_the_preferred_node_that_numactl_gets_wrong():
    assert "preferred node: 1 (preferred-many)\n" in forked("numactl", "-P", "1", "-s").stdout
    shown = forked("numactl", "-b", "-m", "0,1", "-s").stdout
    assert shown.startswith("policy: bind (numa balancing)\npreferred node: 0\n")
    assert "membind: 0 1 \n" in shown


def test_the_inventory_is_the_same_but_for_the_free_memory():
    mine, classic = forked("numactl", "-H").stdout, real("numactl", "-H").stdout
    assert without_free(mine) == without_free(classic)
    assert "\nnode 2 cpus:\n" in mine
    assert "\nnode 1 cpus: 2-3 (2)\n" in forked("numactl", "-H", "--cpu-compress").stdout


def test_what_numactl_refuses_is_refused_in_one_line():
    for options in REFUSED:
        mine = forked("numactl", *shlex.split(options), "echo", "started")
        assert (mine.returncode, mine.stdout) == (1, ""), options
        assert mine.stderr.startswith("numactl: "), options
        assert real("numactl", *shlex.split(options), "echo", "started").returncode == 1, options
    assert "node 2 has no CPUs" in forked("numactl", "-N", "2", "true").stderr


def test_what_the_kernel_is_too_old_for_says_so():
    if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 9):
        pytest.skip("this kernel knows weighted interleaving")
    done = forked("numactl", "-w", "0,1", "echo", "started")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip().endswith("(EINVAL); it needs Linux 6.9")


def test_a_device_names_its_node():
    files = list(Path("/sys/bus/pci/devices").glob("*/numa_node"))
    address = next(file.parent.name for file in files if file.read_text().strip() == "1")
    for text, nodes in {address: "1", address.removeprefix("0000:"): "1", f"!{address}": "0 2"}.items():
        words = ["-m", f"{text[: text.count('!')]}pci:{text.lstrip('!')}", "--show"]
        assert f"\nmembind: {nodes} \n" in forked("numactl", *words).stdout


def test_within_a_cpuset_numbers_count_as_numactl_counts_them():
    def enter() -> None:
        Path("/sys/fs/cgroup/numawise-test/cgroup.procs").write_text(str(os.getpid()))  # that of tools.cpuset

    with cpuset("2-3", "1-2") as prefix:
        for options in ("", "-m all", "-m +0", "-m +1", "-m !1", "-N all", "-C +0", "-C !2", "-a -m all"):
            words = [*shlex.split(options), "--show"]
            mine = forked("numactl", *words, before=enter)
            assert (mine.stdout, mine.stderr) == (classic(prefix, words).stdout, ""), options
        for options in ("-m 0", "-m +2", "-N 0", "-C 0", "-C +2", "-a -m 0", "-a -C 0", "-p 0"):
            words = [*shlex.split(options), "true"]
            mine = forked("numactl", *words, before=enter)
            assert (mine.returncode, mine.stderr[:9]) == (1, "numactl: "), options
            assert classic(prefix, words).returncode == 1, options


def test_an_unplugged_cpu_is_not_given():
    with offline(3):
        for words in (["-N", "1", "--show"], ["-H"]):
            mine, other = (tool("numactl", *words).stdout for tool in (forked, real))
            assert without_free(mine) == without_free(other)
        assert (
            forked("numactl", "-C", "3", "true").returncode
            == real("numactl", "-C", "3", "true").returncode
            == 1
        )


def test_policies_of_files_lead_to_pages_on_their_nodes():
    file = Path(f"/dev/shm/numawise-test-{os.getpid()}")
    shape = ["--length=32k", "--file", str(file)]
    try:
        assert forked("numactl", *shape, "-m", "2", "--touch", "--verify").returncode == 0
        assert (
            forked("numactl", "--offset=16k", "--length=16k", "--file", str(file), "-i", "0,1").returncode
            == 0
        )
        # Not compared: the classic tool prints each part with the nodes of the part after it.
        assert forked("numactl", *shape, "--dump").stdout == (
            "0000000000000000-0000000000004000: bind : 2 \n0000000000004000-0000000000008000: interleave : 0 1 \n"
        )
        nodes = forked("numactl", *shape, "--dump-nodes").stdout
        assert nodes == real("numactl", *shape, "--dump-nodes").stdout
        assert (
            nodes == "0000000000000000-0000000000008000: 2\n"
        )  # the pages were there before the second policy
        late = forked("numactl", *shape, "-m", "1", "--verify")
        assert late.returncode == 1
        assert "0000000000000000-0000000000008000: pages on node 2, not on 1\n" in late.stderr
    finally:
        file.unlink(missing_ok=True)


def classic(prefix: list[str], words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [*prefix, REAL["numactl"] or "numactl", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
