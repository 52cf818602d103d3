"""A plan as numactl lines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from numawise.linux.cpuset import format_list
from numawise.placement.fill import fill
from numawise.placement.values import MemoryPolicy, Placement, Plan

_OPTIONS = {
    "bind": "--membind",
    "interleave": "--interleave",
    "weighted-interleave": "--weighted-interleave",
    "preferred": "--preferred",
    "preferred-many": "--preferred-many",
}


def render(plan: Plan, command: Sequence[str]) -> str:
    """One line a process, as a POSIX shell would take it."""
    return "\n".join(_line(placement, command) for placement in plan.placements)


def policy_options(policy: MemoryPolicy) -> list[str]:
    """Numactl's options for a memory policy; none for `default`."""
    if policy.mode == "default":
        return []
    if policy.mode == "local":
        return ["--localalloc"]
    return [f"{_OPTIONS[policy.mode]}={format_list(policy.nodes)}"]


def _line(placement: Placement, command: Sequence[str]) -> str:
    env = [f"{name}={value}" for name, value in placement.env.items()]
    words = [*(["env", *env] if env else []), "numactl", f"--physcpubind={placement.cpus}"]
    words += policy_options(placement.memory)
    # env and numactl both take everything after their options as the command, so no "--" is needed before it.
    return shlex.join([*words, *(fill(word, placement) for word in command or ["COMMAND"])])
