"""What the forked child does to itself before exec: affinity of its only thread, memory policy, huge pages.

Down the permission ladder: the policy asked for, else CPU binding with first touch (memory follows), else as it is.
"""

from __future__ import annotations

import errno
import os

from numawise.errors import NotPermittedError
from numawise.linux import prctl, syscalls
from numawise.linux.container import how_to_allow
from numawise.placement.values import MemoryPolicy, Placement

_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)
ALLOW_IN_DOCKER = how_to_allow("set_mempolicy")
"""The flag that allows a policy of one's own, in the words of the runtime that this process is in."""


def apply(placement: Placement, *, follows_first_touch: bool, strict: bool) -> list[str]:
    """Put the calling process where `placement` says; everything is inherited by exec and by its children.

    `follows_first_touch`: the CPUs lie on the very nodes the policy names, so without the policy memory would get there
    as well. Returns the steps taken down the ladder, in words. Raises NotPermittedError for CPUs the kernel does not
    give and, when `strict`, for any step down.
    """
    steps = [*_set_affinity(placement), *_set_policy(placement.memory, follows_first_touch)]
    if placement.thp == "never":
        try:
            prctl.disable_transparent_huge_pages()
        except OSError as error:
            steps.append(f"transparent huge pages stay as they are: {_answer(error)}")
    if strict and steps:
        raise NotPermittedError(f"{steps[0]}; --strict makes this an error")
    return steps


def _set_affinity(placement: Placement) -> list[str]:
    if set(placement.cpus) == os.sched_getaffinity(0):
        return []
    try:
        os.sched_setaffinity(0, set(placement.cpus))
    except OSError as error:
        if error.errno in _REFUSALS:
            flag = how_to_allow("sched_setaffinity", error.errno or 0)
            return [f"CPUs are not bound: sched_setaffinity answered {_answer(error)} ({flag})"]
        raise NotPermittedError(
            f"cannot run on CPUs {placement.cpus}: sched_setaffinity answered {_answer(error)}; "
            "have they been taken offline, or out of the cpuset (a container gets its CPUs from --cpuset-cpus)? "
            "See: numawise topology"
        ) from None
    return []


def _set_policy(policy: MemoryPolicy, follows_first_touch: bool) -> list[str]:
    if policy.mode == "default":
        return []
    nodes = ",".join(map(str, policy.nodes))
    asked = f"{policy.mode}:{nodes}" if nodes else policy.mode
    try:
        syscalls.set_mempolicy(policy.mode, policy.nodes)
    except OSError as error:
        answer = f"set_mempolicy answered {_answer(error)}"
        flag = how_to_allow("set_mempolicy", error.errno or 0)
        if error.errno not in _REFUSALS:
            raise NotPermittedError(
                f"memory policy {asked} cannot be set: {answer}; "
                "is the node allowed here (a container gets its nodes from --cpuset-mems), and does the kernel know "
                "the policy?"
            ) from None
        if policy.mode == "local" or follows_first_touch:
            return [
                f"memory policy {asked} refused ({answer}; {flag}): "
                "CPUs are bound and memory follows by first touch"
            ]
        return [f"memory policy {asked} refused ({answer}; {flag}): memory is NOT placed"]
    return []


def _answer(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, error.errno)}"
