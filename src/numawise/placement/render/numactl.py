"""A plan as numactl lines."""

from __future__ import annotations

import shlex

from numawise.linux.cpuset import format_list
from numawise.placement.render.shared.job import Export, Job, by_rank, placeholders, unsaid
from numawise.placement.render.shared.quoting import comments, under_env
from numawise.placement.values import MemoryPolicy, Placement

_OPTIONS = {
    "bind": "--membind",
    "interleave": "--interleave",
    "weighted-interleave": "--weighted-interleave",
    "preferred": "--preferred",
    "preferred-many": "--preferred-many",
}
_SINCE = {"weighted-interleave": "2.0.19", "preferred-many": "2.0.15"}


def render(job: Job) -> Export:
    """One line a process, as a POSIX shell would take it."""
    lost = by_rank(job, ((p, note) for p in job.plan.placements for note in unsaid(p, "numactl")))
    new = (
        (p, f"--{p.memory.mode} needs numactl {_SINCE[p.memory.mode]} or later")
        for p in job.plan.placements
        if p.memory.mode in _SINCE
    )
    lines = [_line(job, placement) for placement in job.plan.placements]
    text = "\n".join([*comments(lost), *lines, ""])
    return Export({f"{job.name}.sh": text}, (*placeholders(job), *lost, *by_rank(job, new)))


def policy_options(policy: MemoryPolicy) -> list[str]:
    """Numactl's options for a memory policy; none for `default`."""
    if policy.mode == "default":
        return []
    if policy.mode == "local":
        return ["--localalloc"]
    return [f"{_OPTIONS[policy.mode]}={format_list(policy.nodes)}"]


def _line(job: Job, placement: Placement) -> str:
    words = ["numactl", f"--physcpubind={placement.cpus}", *policy_options(placement.memory)]
    # numactl takes everything after its options as the command, so no "--" is needed before it.
    return shlex.join(under_env(placement.env, [*words, *job.words(placement)]))
