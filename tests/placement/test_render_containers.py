"""Containers under a plan: GPUs by the names that hold inside, policies that survive; tried on a real engine."""

from __future__ import annotations

import functools
import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from machines import two_sockets

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.placement.plan import plan
from numawise.placement.render import export, render
from numawise.placement.render.shared.job import Job
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy, Placement, Plan

HERE = read("/", devices=False)
NODE = HERE.allowed.nodes[0]
CUDA = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-aa,GPU-bb"}
TWO_CARDS = ("0000:41:00.0", "0000:42:00.0")


def place(
    env: dict[str, str], devices: tuple[str, ...] = TWO_CARDS[:1], policy: str = "default"
) -> Placement:
    nodes = () if policy in ("default", "local") else (0,)
    return Placement(
        rank=0, cpus=CPUSet([0, 1]), memory=MemoryPolicy(policy, nodes), devices=devices, env=env, node=0
    )


def made(tool: str, placement: Placement, *command: str, **more: object) -> str:
    job = Job(Plan((placement,)), command, image="image", size_kib=2048, **more)
    return export(job, tool).text


def test_nvidia_gpus_by_uuid() -> None:
    text = made("docker", place(CUDA, TWO_CARDS))
    assert """'--gpus="device=GPU-aa,GPU-bb"'""" in text
    assert "--env CUDA_VISIBLE_DEVICES=GPU-aa,GPU-bb" in text
    assert "--gpus=device=GPU-aa" in made("docker", place({**CUDA, "CUDA_VISIBLE_DEVICES": "GPU-aa"}))
    assert 'device_ids: ["GPU-aa", "GPU-bb"]' in made("compose", place(CUDA, TWO_CARDS))


def test_numbers_of_the_host_stay_outside() -> None:
    """A container with card 3 alone calls it 0."""
    text = made("docker", place({**CUDA, "CUDA_VISIBLE_DEVICES": "3"}))
    assert "--gpus=device=3" in text
    assert "CUDA_VISIBLE_DEVICES" not in text


@pytest.mark.parametrize(
    ("env", "files", "kept"),
    [
        ({"ROCR_VISIBLE_DEVICES": "GPU-1", "HIP_VISIBLE_DEVICES": "0"}, ["/dev/kfd", "/dev/dri"], True),
        ({"ZE_AFFINITY_MASK": "2"}, ["/dev/dri"], True),
        ({"ASCEND_RT_VISIBLE_DEVICES": "4"}, ["/dev/davinci4", "/dev/davinci_manager"], False),
    ],
)
def test_gpus_that_are_device_files(env: dict[str, str], files: list[str], kept: bool) -> None:
    docker, compose = (made(tool, place(env)) for tool in ("docker", "compose"))
    for file in files:
        assert f"--device={file}" in docker
        assert f'"{file}:{file}"' in compose
    for name, value in env.items():
        assert (f"--env {name}={value}" in docker) is kept
        assert (f'- "{name}={value}"' in compose) is kept


def test_a_device_that_no_variable_shows() -> None:
    for tool in ("docker", "compose", "k8s"):
        assert "0000:41:00.0" in made(tool, place({}))


def test_kubernetes_counts_gpus_and_says_what_is_lost() -> None:
    text = made("k8s", place(CUDA, TWO_CARDS, "bind"))
    assert text.count("nvidia.com/gpu: 2") == 2
    assert "CUDA_VISIBLE" not in text
    assert "GPU 0000:41:00.0, 0000:42:00.0 is lost" in text
    assert "CPUs 0-1 and memory policy bind 0 are lost" in text
    assert "topologyManagerPolicy: single-numa-node" in text
    with pytest.raises(UsageError, match="add --size"):
        render(Plan((place({}),)), "k8s", ())


def test_ports_count_up() -> None:
    placed = plan(two_sockets(), Request(per="node"))
    job = Job(placed, ("serve", "{port}"), port=8000, image="i", size_kib=1)
    assert "--publish 127.0.0.1:8001:8001" in export(job, "docker").text
    assert 'ports: ["127.0.0.1:8001:8001"]' in export(job, "compose").text
    assert "containerPort: 8001" in export(job, "k8s").text
    assert export(job, "docker").text.count("--detach") == 2


def test_what_kubectl_reads_is_what_was_written() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    text = made("k8s", place({**CUDA, "A": "x$y"}, TWO_CARDS), "serve", "--port", "{port}", port=8000)
    command = ["kubectl", "annotate", "--local", "-o", "json", "-f", "-", "seen=yes"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen, written = json.loads(done.stdout), yaml.safe_load(text)
    # It drops fields that it does not know and refuses values of the wrong kind.
    assert seen["spec"] == written["spec"]


def test_compose_takes_the_file(tmp_path: Path) -> None:
    compose = next((c for c in (["docker", "compose"], ["docker-compose"]) if _works([*c, "version"])), None)
    if compose is None:
        pytest.skip("no docker compose here")
    placed = plan(two_sockets(), Request(per="node", env={"A": 'x$y "z"'}))
    job = Job(placed, ("sh", "-c", "echo $A"), port=8000, image="image")
    (tmp_path / "compose.yaml").write_text(export(job, "compose").text)
    (tmp_path / "gpu.yaml").write_text(made("compose", place(CUDA, TWO_CARDS, "interleave"), "serve"))
    for file in ("compose.yaml", "gpu.yaml"):
        line = [*compose, "-f", str(tmp_path / file), "config"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "numactl" in done.stdout


def _works(words: list[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


@functools.cache
def image() -> str:
    """An image of a shell and numactl, made of what this machine has; skips where there is no Docker engine."""
    if not _works(["docker", "info"]) or "Server Version" not in _docker("info"):
        pytest.skip("no Docker engine answers here (DOCKER_HOST may name one)")
    busybox, numactl = shutil.which("busybox"), shutil.which("numactl")
    if busybox is None or numactl is None:
        pytest.skip("the image is made of busybox (static) and numactl, which are not installed")
    libraries = re.findall(r"/\S+", subprocess.check_output(["ldd", numactl], text=True).replace(":", ""))
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as tar:
        for path in ("/usr/bin/numactl", *libraries):
            tar.add(Path(path).resolve(), path)
        tar.add(Path(busybox).resolve(), "bin/busybox")
        for applet in ("sh", "sed", "grep", "cat"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    name = "numawise-test:exports"
    subprocess.run(["docker", "import", "-", name], input=files.getvalue(), check=True, capture_output=True)
    return name


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=60).stdout


SHOW = (
    "sh",
    "-c",
    'grep allowed_list /proc/self/status; sed -n "1s/^[^ ]* \\([^ ]*\\).*/policy \\1/p" /proc/self/numa_maps; echo $A',
)


@pytest.mark.parametrize(
    ("mode", "policy"),
    [
        ("default", "default"),
        ("local", "default"),
        ("bind", "default"),  # by the cpuset, below
        ("preferred", f"prefer:{NODE}"),
        ("preferred-many", f"prefer (many):{NODE}"),
        ("interleave", f"interleave:{NODE}"),
    ],
)
def test_a_container_is_where_the_plan_says(mode: str, policy: str) -> None:
    name = image()
    cpu = CPUSet([max(HERE.allowed.cpus)])
    wish = MemoryPolicy(mode, () if mode in ("default", "local") else (NODE,))  # type: ignore[arg-type]
    placed = plan(HERE, Request(cpus=cpu, memory=wish, env={"A": "it's $x"}))
    text = export(Job(placed, SHOW, image=name, name=f"numawise-{mode}"), "docker").text
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = done.stdout.splitlines()
    assert seen[0].split() == ["Cpus_allowed_list:", str(cpu)]
    assert seen[2].removeprefix("policy ").startswith(policy.split(" ")[0])
    assert seen[3] == "it's $x"
    if mode == "bind":
        assert f"--cpuset-mems={NODE}" in text
        assert seen[1].split() == ["Mems_allowed_list:", str(NODE)]
    # Without the capability the engine's filter refuses the call: it is not asked for in vain.
    if "SYS_NICE" in text:
        less = text.replace("--cap-add SYS_NICE", "")
        refused = subprocess.run(["sh", "-c", less], capture_output=True, text=True, timeout=120, check=False)
        assert refused.returncode != 0
        assert "not permitted" in refused.stderr or "without kernel support" in refused.stderr
