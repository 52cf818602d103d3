"""Inside real containers: what Docker's default profile refuses is named, with the flag that really allows it."""

from __future__ import annotations

import json
import sys

import pytest
from containers.daemon import Docker

UNCONFINED = ["--security-opt", "seccomp=unconfined"]
SYS_NICE = ["--cap-add", "SYS_NICE"]
PROBE = """
import errno, sys
from numawise.linux import syscalls
from numawise.linux.container import how_to_allow, runtime
print(runtime())
for call in ("set_mempolicy", "get_mempolicy", "mbind", "move_pages", "migrate_pages"):
    try:  # arguments that do nothing where the call is allowed
        syscalls._call(call, *((0x0FFF, 0, 0) if call == "set_mempolicy" else
                               (0, 0, 0x0FFF, 0, 0, 0) if call == "mbind" else (0, 0, 0, 0, 0, 0)))
        answer = 0
    except OSError as error:
        answer = error.errno
    print(call, "refused" if answer == errno.EPERM else "let through", how_to_allow(call), sep="|")
"""
# Memory that the program itself has touched, and where the kernel says that it is: by a file, which no profile refuses.
TOUCH = """
import mmap, re
area = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.write(bytes(16 << 20))
nodes = {}
for line in open("/proc/self/numa_maps"):
    size = re.search(r"kernelpagesize_kB=(\\d+)", line)
    if "anon=" in line:
        for node, pages in re.findall(r" N(\\d+)=(\\d+)", line):
            nodes[node] = nodes.get(node, 0) + int(pages) * int(size.group(1))
print(sorted(node for node, kib in nodes.items() if kib >= 16 << 10))
"""


def probe(docker: Docker, options: list[str]) -> tuple[str, dict[str, tuple[str, str]]]:
    done = docker.run(options, sys.executable, "-c", PROBE)
    assert done.returncode == 0, done.stderr
    where, *lines = done.stdout.splitlines()
    return where, {call: (state, flag) for call, state, flag in (line.split("|") for line in lines)}


@pytest.fixture(scope="session")
def default(docker: Docker) -> dict[str, tuple[str, str]]:
    where, calls = probe(docker, [])
    assert where == "docker"
    if calls["set_mempolicy"][0] != "refused":
        pytest.skip("this Docker runs containers without its default profile")
    return calls


def test_the_flag_named_for_each_refused_call_allows_it(
    docker: Docker, default: dict[str, tuple[str, str]]
) -> None:
    _, nice = probe(docker, SYS_NICE)
    _, unconfined = probe(docker, UNCONFINED)
    for call, (state, flag) in default.items():
        if state != "refused":
            continue
        if "--cap-add SYS_NICE allows it" in flag:
            assert nice[call][0] == "let through", call
        else:
            assert flag.startswith("in Docker, --security-opt seccomp=unconfined allows it"), call
            assert nice[call][0] == "refused", call
            # Now that the capability is there, it is not named again.
            assert "--cap-add SYS_NICE allows it" not in nice[call][1]
        assert unconfined[call][0] == "let through", call


@pytest.mark.usefixtures("default")
def test_a_refused_policy_falls_back_to_first_touch_and_the_pages_are_there(docker: Docker) -> None:
    words = ["run", "--node", "0", "--mem", "bind:0", "--", sys.executable, "-c", TOUCH]
    done = docker.numawise([], *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['0']\n"
    assert (
        "memory policy bind:0 refused (set_mempolicy answered EPERM; in Docker, --cap-add SYS_NICE allows it): "
        "CPUs are bound and memory follows by first touch"
    ) in done.stderr
    allowed = docker.numawise(SYS_NICE, *words)
    assert (allowed.returncode, allowed.stdout) == (0, "['0']\n")
    assert "refused (set_mempolicy" not in allowed.stderr


@pytest.mark.usefixtures("default")
def test_strict_makes_it_an_error_and_starts_nothing(docker: Docker) -> None:
    words = ["run", "--strict", "--node", "0", "--mem", "bind:0", "--", "echo", "started"]
    done = docker.numawise([], *words)
    assert (done.returncode, done.stdout) == (3, "")
    assert "--cap-add SYS_NICE allows it" in done.stderr
    assert "--strict makes this an error" in done.stderr
    assert docker.numawise(SYS_NICE, *words).stdout == "started\n"


@pytest.mark.usefixtures("default")
def test_pages_that_may_not_be_looked_at_are_told_with_what_allows_it(docker: Docker) -> None:
    words = ["run", "--node", "0", "--", "sleep", "0.5"]
    for options in ([], SYS_NICE):
        said = docker.numawise(options, *words).stderr
        assert "move_pages was refused (EPERM; in Docker, --security-opt seccomp=unconfined allows it" in said
    assert "move_pages" not in docker.numawise(UNCONFINED, *words).stderr


def test_quota_memory_and_cpuset_are_seen_and_obeyed(docker: Docker) -> None:
    limits = ["--cpus=0.5", "--memory=512m", "--cpuset-cpus=0", "--cpuset-mems=0"]
    done = docker.numawise(limits, "topology", "--json")
    assert done.returncode == 0, done.stderr
    allowed = json.loads(done.stdout)["allowed"]
    assert (allowed["cpus"], allowed["nodes"]) == ("0", [0])
    assert (allowed["cpu_quota"], allowed["memory_limit_kib"]) == (0.5, 512 << 10)
    assert 0 < allowed["memory_room_kib"] < 512 << 10
    refused = docker.numawise(limits, "run", "--node", "0", "--size", "2G", "--", "true")
    assert refused.returncode == 2
    assert (
        "2.0 GiB do not fit under the memory limit of this control group: 512 MiB, of which" in refused.stderr
    )
    beyond = docker.numawise(limits, "run", "--cpus", "1", "--", "true")
    assert beyond.returncode in (2, 3)  # 2: the host itself has one CPU
    if beyond.returncode == 3:
        assert "a container gets its CPUs from --cpuset-cpus" in beyond.stderr
    threads = docker.numawise(
        ["--cpus=1"], "run", "--node", "0", "--threads", "2", "--", "sh", "-c", "echo $OMP_NUM_THREADS"
    )
    if threads.returncode == 0:
        assert threads.stdout == "2\n"
        assert "2 threads, but control groups grant 1 CPUs' worth" in threads.stderr
