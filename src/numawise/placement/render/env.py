"""The environment of each process, as assignments a POSIX shell can read."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from numawise.placement.values import Plan


def render(plan: Plan, command: Sequence[str]) -> str:
    """`export` lines, a block a process."""
    blocks = [
        "\n".join(
            [f"# rank {p.rank}: CPUs {p.cpus}", *(f"export {k}={shlex.quote(v)}" for k, v in p.env.items())]
        )
        for p in plan.placements
    ]
    return "\n".join(blocks)
