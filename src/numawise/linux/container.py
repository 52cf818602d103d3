"""Which container runtime this process is in, and the flag by which that one allows a refused system call.

What the default seccomp profile of Docker refuses, by its text (moby, profiles/seccomp/default.json) and as tried with
Docker 20.10: without CAP_SYS_NICE set_mempolicy, get_mempolicy, mbind (and set_mempolicy_home_node, where the profile
knows it); move_pages and migrate_pages with any capability short of --privileged. The profile goes by the capabilities
that the container was given; the kernel itself asks none for a policy of one's own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Literal

from numawise.linux.procfs import read_text

Runtime = Literal["docker", "podman", "kubernetes", "containerd", "lxc"]

_BY_CAPABILITY = ("set_mempolicy", "get_mempolicy", "mbind", "set_mempolicy_home_node")
_CAP_SYS_ADMIN, _CAP_SYS_NICE = 21, 23  # include/uapi/linux/capability.h

_IN_GROUPS: tuple[tuple[str, Runtime], ...] = (
    ("kubepods", "kubernetes"),
    ("libpod", "podman"),
    ("docker", "docker"),
    ("containerd", "containerd"),
    ("lxc", "lxc"),
)


def runtime(root: str = "", environ: Mapping[str, str] = os.environ) -> Runtime | None:
    """The runtime that started the container we are in; None: none is known, which does not prove that there is none.

    Kubernetes comes first, whatever runs its pods, since that is where a person changes something.
    """
    groups = _text(f"{root}/proc/1/cgroup")
    if "KUBERNETES_SERVICE_HOST" in environ or "kubepods" in groups:
        return "kubernetes"
    if os.path.exists(f"{root}/run/.containerenv"):  # noqa: PTH110 - pathlib costs start-up time
        return "podman"
    if os.path.exists(f"{root}/.dockerenv"):  # noqa: PTH110
        return "docker"
    return next((name for word, name in _IN_GROUPS if word in groups), None)


def is_rootless(root: str = "") -> bool:
    """Are we in a user namespace of fewer ids than there are (user_namespaces(7)), as rootless containers are?"""
    first = _text(f"{root}/proc/self/uid_map").split()
    return bool(first) and first[:3] != ["0", "0", "4294967295"]


def how_to_allow(
    call: str, answer: int = errno.EPERM, *, root: str = "", environ: Mapping[str, str] = os.environ
) -> str:
    """In words, the exact flag by which `call`, refused with `answer`, would be allowed where we are.

    >>> how_to_allow("mbind", root="/nonexistent", environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    'in Kubernetes, securityContext.capabilities.add: ["SYS_NICE"] allows it'
    """
    if answer == errno.ENOSYS:
        return "the kernel was built without NUMA, or a sandbox has no such call: no flag allows it"
    where = runtime(root, environ)
    status = _text(f"{root}/proc/self/status")
    # The bounding set is what the container was given; the effective one is empty for its ordinary users.
    bounds = int(_field(status, "CapBnd") or "0", 16)
    given = bool(bounds >> _CAP_SYS_NICE & 1)
    # With SYS_ADMIN it is a privileged container, which has no profile, or none at all: virtual machines made from an
    # image keep its /.dockerenv. The refusal comes from elsewhere then.
    if where is None or bounds >> _CAP_SYS_ADMIN & 1:
        return _outside(call, _field(status, "Seccomp") == "2")
    by_capability = call in _BY_CAPABILITY and not given
    return _ADVICE[where](call, by_capability, is_rootless(root))


def _outside(call: str, filtered: bool) -> str:
    who = "a seccomp filter answers so" if filtered else "a security module or sandbox answers so"
    flag = "--cap-add SYS_NICE" if call in _BY_CAPABILITY else "--security-opt seccomp=unconfined"
    return f"{who}; in Docker, {flag} allows it"


def _docker(call: str, by_capability: bool, rootless: bool) -> str:
    return _of_engine("rootless Docker" if rootless else "Docker", call, by_capability)


def _podman(call: str, by_capability: bool, rootless: bool) -> str:
    return _of_engine("rootless Podman" if rootless else "Podman", call, by_capability)


def _of_engine(engine: str, call: str, by_capability: bool) -> str:
    if by_capability:
        return f"in {engine}, --cap-add SYS_NICE allows it"
    return (
        f"in {engine}, --security-opt seccomp=unconfined allows it, or seccomp=FILE with a profile that lists {call}; "
        "--cap-add SYS_NICE does not"
    )


def _kubernetes(call: str, by_capability: bool, rootless: bool) -> str:
    if by_capability:
        return 'in Kubernetes, securityContext.capabilities.add: ["SYS_NICE"] allows it'
    return (
        "in Kubernetes, securityContext.seccompProfile.type: Unconfined allows it, or Localhost with a profile that "
        f"lists {call}"
    )


def _containerd(call: str, by_capability: bool, rootless: bool) -> str:
    if by_capability:
        return "in containerd, --cap-add SYS_NICE (nerdctl, ctr) allows it"
    return f"in containerd, --security-opt seccomp=unconfined (nerdctl), or a profile that lists {call}, allows it"


def _lxc(call: str, by_capability: bool, rootless: bool) -> str:
    return f"in LXC, take {call} out of the file that lxc.seccomp.profile names"


_ADVICE: dict[Runtime, Callable[[str, bool, bool], str]] = {
    "docker": _docker,
    "podman": _podman,
    "kubernetes": _kubernetes,
    "containerd": _containerd,
    "lxc": _lxc,
}


def _field(status: str, name: str) -> str:
    lines = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return next((line.partition(":")[2].strip() for line in lines), "")


def _text(path: str) -> str:
    try:
        return read_text(path)
    except (OSError, ValueError):
        return ""  # hidden from us, or not there: it says nothing
