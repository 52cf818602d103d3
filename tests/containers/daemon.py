"""A Docker daemon of our own, or the reason why there is none: started, used, and ended whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
IMAGE = "numawise-test:bare"
GUARD = str(REPO / "tests/programs/guard.py")
START_S, LIMIT_S = 30.0, 300.0


class Docker:
    """A client of the daemon behind one socket, and an image that holds nothing but empty folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{folder}/docker.sock", "DOCKER_CONFIG": str(folder)}

    def client(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """The `docker` command."""
        return subprocess.run(
            ["docker", *words], text=True, capture_output=True, timeout=timeout_s, env=self.env
        )

    def run(self, options: list[str], *command: str) -> subprocess.CompletedProcess[str]:
        """`docker run` of this host's own programs, all of them mounted read-only, without a network."""
        # The image's bin, lib and lib64 are links into /usr, as on the host; Python may live elsewhere.
        mounts = {"/usr", str(REPO), sys.prefix, os.path.realpath(sys.base_prefix)}
        binds = [word for path in sorted(mounts) for word in ("--volume", f"{path}:{path}:ro")]
        return self.client("run", "--rm", "--network=none", *binds, *options, IMAGE, *command)

    def numawise(self, options: list[str], *words: str) -> subprocess.CompletedProcess[str]:
        """`numawise` inside a container."""
        return self.run(options, sys.executable, "-m", "numawise", *words)


@contextmanager
def daemon() -> Iterator[Docker]:
    """The daemon while the context lasts. Skips, with the reason, where no daemon can be had."""
    if os.geteuid() != 0:
        pytest.skip("a Docker daemon of our own needs root")
    for tool in ("docker", "dockerd"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    if not all(os.path.islink(f"/{name}") for name in ("bin", "lib")):
        pytest.skip(
            "this host's programs are not all under /usr, which is what the containers here are given"
        )
    # The socket's path may have 107 bytes, which pytest's own folders can exceed.
    folder = Path(tempfile.mkdtemp(prefix="nwd"))
    log, groups = folder / "log", _groups()
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                # Should these tests be killed, the daemon and all it has started are.
                *(sys.executable, GUARD, str(LIMIT_S), "--"),
                *("dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
                *("--pidfile", f"{folder}/pid", "--host", f"unix://{folder}/docker.sock"),
                *("--iptables=false", "--ip6tables=false", "--bridge=none"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        made = Docker(folder)
        _wait(process, made, log)
        _import(made)
        yield made
    finally:
        _end(process, folder)
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)
        for group in _groups() - groups:
            group.rmdir()


def _wait(process: subprocess.Popen[bytes], docker: Docker, log: Path) -> None:
    until = time.monotonic() + START_S
    while docker.client("version").returncode:
        if process.poll() is not None or time.monotonic() > until:
            last = (log.read_text().splitlines() or ["it says nothing"])[-1]
            pytest.skip(f"dockerd does not start here: {last}")
        time.sleep(0.2)


def _import(docker: Docker) -> None:
    tree = docker.folder / "tree"
    for name in ("usr", "proc", "sys", "dev", "tmp", "etc", "run"):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    with subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE) as packed:
        done = subprocess.run(
            ["docker", "import", "-", IMAGE],
            stdin=packed.stdout,
            env=docker.env,
            capture_output=True,
            timeout=60,
        )
    if done.returncode:
        pytest.skip(f"docker import: {done.stderr.decode().strip()}")


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """The daemon ends its containers and its containerd; what is left after that is killed by the guard."""
    with suppress(OSError, ValueError):  # it has not come so far as to write its id, or has ended
        os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()


def _groups() -> set[Path]:
    """The control groups that daemons put their containers in; they are left behind, empty."""
    return {*Path("/sys/fs/cgroup").glob("docker"), *Path("/sys/fs/cgroup").glob("*/docker")}


def _unmount(folder: Path) -> None:
    """What a killed daemon leaves mounted, the innermost first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)
