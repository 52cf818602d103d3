"""Which runtime we are in by what it leaves lying about, and the flag named for it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from numawise.linux.container import how_to_allow, is_rootless, runtime

GIVEN, NOT_GIVEN = (
    "CapBnd:\t00000000a08425fb\n",
    "CapBnd:\t00000000a00425fb\n",
)  # Docker's own, with SYS_NICE and without
POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": 'engine="podman-4.3.1"'}, {}, "podman"),
        ({".dockerenv": ""}, POD, "kubernetes"),
        ({"proc/1/cgroup": "4:memory:/kubepods/burstable/pod1/2\n"}, {}, "kubernetes"),
        ({"proc/1/cgroup": "4:memory:/docker/7f\n"}, {}, "docker"),
        ({"proc/1/cgroup": "0::/machine.slice/libpod-7f.scope\n"}, {}, "podman"),
        ({"proc/1/cgroup": "0::/lxc.payload.web\n"}, {}, "lxc"),
        ({"proc/1/cgroup": "0::/system.slice/sshd.service\n"}, {}, None),
    ],
)
def test_runtime(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], expected: str | None
) -> None:
    assert runtime(tree(tmp_path, files), environ) == expected


def test_the_capability_is_named_for_what_it_allows_and_nothing_else(tmp_path: Path) -> None:
    root = tree(tmp_path, {".dockerenv": "", "proc/self/status": NOT_GIVEN})
    assert how_to_allow("set_mempolicy", root=root, environ={}) == "in Docker, --cap-add SYS_NICE allows it"
    said = how_to_allow("move_pages", root=root, environ={})
    assert "--security-opt seccomp=unconfined allows it" in said
    assert "a profile that lists move_pages; --cap-add SYS_NICE does not" in said


def test_a_capability_that_is_there_already_is_not_asked_for(tmp_path: Path) -> None:
    root = tree(tmp_path, {".dockerenv": "", "proc/self/status": GIVEN})
    assert "--security-opt seccomp=unconfined" in how_to_allow("mbind", root=root, environ={})


@pytest.mark.parametrize(
    ("files", "environ", "words"),
    [
        ({}, POD, 'securityContext.capabilities.add: ["SYS_NICE"]'),
        (
            {"run/.containerenv": "", "proc/self/uid_map": "0 1000 1\n1 100000 65536\n"},
            {},
            "in rootless Podman, --cap-add",
        ),
        (
            {"run/.containerenv": "", "proc/self/uid_map": "         0          0 4294967295\n"},
            {},
            "in Podman, --cap-add",
        ),
        ({"proc/1/cgroup": "0::/containerd/7f\n"}, {}, "nerdctl"),
        ({"proc/1/cgroup": "0::/lxc/7f\n"}, {}, "lxc.seccomp.profile"),
        (
            {".dockerenv": "", "proc/self/status": "CapBnd:\t000001ffffffffff\nSeccomp:\t0\n"},
            {},
            "sandbox answers so",
        ),
        (
            {"proc/self/status": "Seccomp:\t2\n"},
            {},
            "a seccomp filter answers so; in Docker, --cap-add SYS_NICE",
        ),
        ({}, {}, "sandbox answers so"),
    ],
)
def test_the_words_are_the_runtimes_own(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], words: str
) -> None:
    assert words in how_to_allow("mbind", root=tree(tmp_path, files), environ=environ)


@pytest.mark.parametrize(
    ("files", "environ", "words"),
    [
        ({}, POD, "seccompProfile.type: Unconfined"),
        ({"proc/1/cgroup": "0::/containerd/7f\n"}, {}, "--security-opt seccomp=unconfined (nerdctl)"),
    ],
)
def test_what_no_capability_allows(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], words: str
) -> None:
    assert words in how_to_allow("migrate_pages", root=tree(tmp_path, files), environ=environ)


def test_a_call_that_is_not_there_is_not_a_matter_of_flags() -> None:
    assert "no flag allows it" in how_to_allow("set_mempolicy", errno.ENOSYS)


def test_this_process_is_in_the_first_user_namespace_or_says_so() -> None:
    whole = Path("/proc/self/uid_map").read_text().split()[:3] == ["0", "0", "4294967295"]
    assert is_rootless() is not whole
