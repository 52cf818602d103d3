"""The environment of each process, as assignments a POSIX shell can read."""

from __future__ import annotations

import shlex

from numawise.linux.cpuset import format_list
from numawise.placement.render.shared.job import Export, Job
from numawise.placement.render.shared.quoting import VARIABLE, comments
from numawise.placement.values import Placement


def render(job: Job) -> Export:
    """`export` lines, a block a process; CPUs and memory policy are comments there."""
    lines: list[str] = []
    odd: dict[str, None] = {}
    for placement in job.plan.placements:
        held = {name: value for name, value in placement.env.items() if VARIABLE.fullmatch(name)}
        left_out = [name for name in placement.env if name not in held]
        odd.update(dict.fromkeys(f"{name!r} is left out: no name for a shell" for name in left_out))
        lines += comments([_about(placement)])
        lines += comments(f"{name!r} is left out: no name for a shell" for name in left_out)
        lines += [f"export {name}={shlex.quote(value)}" for name, value in held.items()]
    lost = "CPUs and memory policies are lost: these are the environment variables alone"
    return Export({f"{job.name}.env.sh": "\n".join([*lines, ""])}, (lost, *odd))


def _about(placement: Placement) -> str:
    policy = placement.memory
    nodes = f" {format_list(policy.nodes)}" if policy.nodes else ""
    thp = f", transparent huge pages {placement.thp}" if placement.thp != "default" else ""
    return f"rank {placement.rank}: CPUs {placement.cpus}, memory {policy.mode}{nodes}{thp}"
