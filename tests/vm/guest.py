"""One virtual machine: two sockets with SMT, a CPU-less third node, a display device on node 1.

The distribution's kernel boots under QEMU (virtme-ng) on this host's own file system, mounted read-only, so
the guest runs the same checkout and the same `.venv`. Results come back line by line through the one writable
directory.
"""

from __future__ import annotations

import compileall
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
GUARD = REPO / "tests/programs/guard.py"
LIMIT_S = float(os.environ.get("NUMAWISE_VM_LIMIT", "1500"))
"""The machine is killed after this long, whatever it does."""
TEST_LIMIT_S = 400

MACHINE = (
    *("--cpus", "4", "-m", "3G"),
    *("--numa", "1280M,cpus=0-1", "--numa", "1280M,cpus=2-3", "--numa", "512M"),
    *("--numa-distance", "0,1=21", "--numa-distance", "0,2=31", "--numa-distance", "1,2=17"),
)
QEMU = (
    # QEMU exposes SMT to the guest only for an Intel vendor string; the kernel's answers to that vendor's
    # flaws (page table isolation) would triple the time of every system call under emulation.
    *("-cpu", "max,vendor=GenuineIntel", "-smp", "4,sockets=2,cores=1,threads=2"),
    *("-device", "pxb-pcie,id=px1,bus_nr=80,numa_node=1,bus=pcie.0"),
    *("-device", "pcie-root-port,id=rp1,bus=px1,chassis=1", "-device", "virtio-gpu-pci,bus=rp1"),
)
KERNEL_OPTIONS = ("mitigations=off", "pti=off")


def kernel() -> Path | None:
    """The newest kernel that can boot this way: Debian's *cloud* image has no 9p."""
    if "NUMAWISE_VM_KERNEL" in os.environ:
        return Path(os.environ["NUMAWISE_VM_KERNEL"])
    images = [
        image
        for image in Path("/boot").glob("vmlinuz-*")
        if list(Path("/lib/modules", image.name.removeprefix("vmlinuz-")).glob("kernel/fs/9p/9p.ko*"))
    ]
    return max(images, key=lambda image: image.stat().st_mtime, default=None)


def why_not() -> str | None:
    """The reason why this host cannot boot the machine, or None."""
    if os.uname().machine != "x86_64":
        return f"the virtual machine is described for x86-64, this is {os.uname().machine}"
    for tool in ("qemu-system-x86_64", "vng", "busybox"):
        if not shutil.which(tool, path=search_path()):
            return f"no {tool} here (.ci/run lists the packages)"
    image = kernel()
    if image is None:
        return "no kernel with 9p modules under /boot (Debian: linux-image-amd64, not the cloud image)"
    return None if os.access(image, os.R_OK) else f"{image} cannot be read by this user"


def search_path() -> str:
    return f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"


class Guest:
    """A booted machine running the given tests; `outcome` waits for one of them."""

    def __init__(self, node_ids: list[str], folder: Path) -> None:
        self.share = folder / "share"
        self.share.mkdir(parents=True)
        self.log = folder / "console.log"
        self._began = time.monotonic()
        self._outcomes: dict[str, dict[str, str]] = {}
        compileall.compile_dir(
            REPO / "src", quiet=2
        )  # the guest cannot write __pycache__ and would compile each time
        mounts = cached_mounts()
        (self.share / "tests.txt").write_text("\n".join(node_ids))
        (self.share / "inside.sh").write_text(inside_script(self.share, mounts))
        command = [sys.executable, str(GUARD), str(LIMIT_S), "--", *vng(self.share, mounts)]
        environment = {**os.environ, "PATH": search_path()}
        with self.log.open("wb") as log:
            self._guard = subprocess.Popen(
                command,
                cwd=REPO,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def outcome(self, node_id: str) -> dict[str, str]:
        """`{"outcome": passed|failed|skipped, "text": ...}` of one test, as soon as the guest has told it."""
        while node_id not in self._outcomes:
            ended = self._guard.poll() is not None
            self._read()
            if ended and node_id not in self._outcomes:
                return {
                    "outcome": "failed",
                    "text": f"the machine ended before this test did\n{self._tail()}",
                }
            time.sleep(0.2)
        return self._outcomes[node_id]

    def stop(self) -> None:
        """Kill the machine and wait until nothing of it is left."""
        self._guard.terminate()
        self._guard.wait()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def _read(self) -> None:
        results = self.share / "results.jsonl"
        if results.exists():
            for line in results.read_text(encoding="utf-8").split("\n")[:-1]:
                record = json.loads(line)
                self._outcomes[record["test"]] = record

    def _tail(self) -> str:
        logs = (self.log, self.share / "pytest.log")
        return "\n".join(log.read_text(errors="replace")[-2500:] for log in logs if log.exists())


def cached_mounts() -> dict[str, Path]:
    """Trees that Python imports from. The root is mounted without a cache; these again with one (2x faster
    start).
    """
    wanted = [REPO, Path(sys.prefix), Path(sysconfig.get_path("stdlib"))]
    kept = [p for p in wanted if not any(p != other and p.is_relative_to(other) for other in wanted)]
    return {f"cached{number}": path for number, path in enumerate(dict.fromkeys(kept))}


def vng(share: Path, mounts: dict[str, Path]) -> list[str]:
    """The command line that boots the machine."""
    shares: list[str] = []
    for tag, path in mounts.items():
        where = str(path).replace(",", ",,")
        shares += ["-fsdev", f"local,id={tag},path={where},security_model=none,readonly=on,multidevs=remap"]
        shares += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag},bus=pcie.0"]
    return [
        *("vng", "-r", str(kernel()), "--user", "root", "--disable-kvm", "--force-initramfs"),
        *(word for option in KERNEL_OPTIONS for word in ("--append", option)),
        *MACHINE,
        *("--rwdir", str(share)),
        f"--qemu-opts={shlex.join([*QEMU, *shares])}",
        *("-e", f"bash {shlex.quote(str(share / 'inside.sh'))}"),
    ]


def inside_script(share: Path, mounts: dict[str, Path]) -> str:
    """What the guest does: mount, then one pytest over the wanted tests, telling each result at once."""
    options = "trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro"
    quoted = {name: shlex.quote(str(path)) for name, path in {"repo": REPO, "share": share}.items()}
    return "\n".join(
        [
            "set -u",
            *(f"mount -t 9p -o {options} {tag} {shlex.quote(str(path))}" for tag, path in mounts.items()),
            f"cd {quoted['repo']}",
            "mkdir -p /tmp/home",
            "export HOME=/tmp/home PYTHONDONTWRITEBYTECODE=1",
            f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            f"export NUMAWISE_INSIDE_VM={quoted['share']}/results.jsonl",
            f"mapfile -t tests < {quoted['share']}/tests.txt",
            f"{shlex.quote(sys.executable)} -m pytest -v -p no:cacheprovider -p no:hypothesispytest "
            f"-o addopts=--import-mode=importlib --timeout={TEST_LIMIT_S} --durations=0 "
            f'"${{tests[@]}}" > {quoted["share"]}/pytest.log 2>&1',
        ]
    )
