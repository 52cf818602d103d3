"""A plan as taskset lines: CPUs only, so memory follows by first touch where the policy is the processes' own node."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from numawise.placement.fill import fill
from numawise.placement.values import Placement, Plan


def render(plan: Plan, command: Sequence[str]) -> str:
    """One line a process; a comment where taskset cannot say what the plan does."""
    return "\n".join(_line(placement, command) for placement in plan.placements)


def _line(placement: Placement, command: Sequence[str]) -> str:
    env = [f"{name}={value}" for name, value in placement.env.items()]
    words = [*(["env", *env] if env else []), "taskset", "--cpu-list", str(placement.cpus)]
    line = shlex.join([*words, *(fill(word, placement) for word in command or ["COMMAND"])])
    lost = placement.memory.mode not in ("default", "local")
    return (
        f"# memory policy {placement.memory.mode} is lost: taskset binds CPUs only\n{line}" if lost else line
    )
