"""A plan as taskset lines: CPUs only, so memory follows by first touch where the policy is the processes' own node."""

from __future__ import annotations

import shlex

from numawise.placement.render.shared.job import Export, Job, by_rank, placeholders, unsaid
from numawise.placement.render.shared.quoting import comments, under_env
from numawise.placement.values import Placement


def render(job: Job) -> Export:
    """One line a process; a comment where taskset cannot say what the plan does."""
    lines: list[str] = []
    lost: list[tuple[Placement, str]] = []
    for placement in job.plan.placements:
        words = under_env(
            placement.env, ["taskset", "--cpu-list", str(placement.cpus), *job.words(placement)]
        )
        said = [*_lost_policy(placement), *unsaid(placement, "taskset")]
        lost += ((placement, note) for note in said)
        lines += [*comments(said), shlex.join(words)]
    return Export({f"{job.name}.sh": "\n".join([*lines, ""])}, (*placeholders(job), *by_rank(job, lost)))


def _lost_policy(placement: Placement) -> list[str]:
    mode = placement.memory.mode
    return [] if mode in ("default", "local") else [f"memory policy {mode} is lost: taskset binds CPUs only"]
