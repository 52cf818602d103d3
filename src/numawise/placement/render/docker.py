"""A plan as `docker run` lines: CPUs and memory nodes as a cpuset, which the kernel holds the whole container to.

A cpuset of memory nodes is what `bind` is, one level up. Other policies are set by numactl inside, which Docker's
default seccomp profile refuses without CAP_SYS_NICE (moby, profiles/seccomp/default.json).
"""

from __future__ import annotations

from numawise.linux.cpuset import format_list
from numawise.placement.render.shared.containers import container_gpus, numactl_inside
from numawise.placement.render.shared.job import Export, Job, by_rank, placeholders, unsaid
from numawise.placement.render.shared.quoting import comments, shell_lines
from numawise.placement.values import Placement

USES = ("image", "name")


def render(job: Job) -> Export:
    """One command a process; several run in the background. With a port, it is published on 127.0.0.1."""
    blocks: list[str] = []
    notes: list[tuple[Placement, str]] = []
    for placement in job.plan.placements:
        text, said = _command(job, placement)
        notes += ((placement, note) for note in said)
        blocks += [*comments(said), text]
    wrapped = any(numactl_inside(p.memory)[0] for p in job.plan.placements if p.memory.mode not in _AS_CPUSET)
    missing = placeholders(job, image=True, command=wrapped)
    return Export({f"{job.name}.sh": "\n".join([*blocks, ""])}, (*missing, *by_rank(job, notes)))


_AS_CPUSET = ("default", "local", "bind")
"""`local` is what a new container has: nobody in it has set a policy."""


def _command(job: Job, placement: Placement) -> tuple[str, list[str]]:
    gpus, policy = container_gpus(placement), placement.memory
    entry, said = ([], []) if policy.mode in _AS_CPUSET else numactl_inside(policy)
    mems = [f"--cpuset-mems={format_list(policy.nodes)}"] if policy.mode == "bind" else []
    # Docker reads --gpus as comma-separated fields, so a list in one of them wants quotes of its own.
    quote = '"' if len(gpus.nvidia) > 1 else ""
    asked = [f"--gpus={quote}device={','.join(gpus.nvidia)}{quote}"] if gpus.nvidia else []
    port = job.port + placement.rank if job.port is not None else None
    return shell_lines(
        [
            "docker",
            "run",
            "--rm",
            *(["--detach"] if placement.ranks > 1 else []),
            "--name",
            job.name_of(placement),
        ],
        [f"--cpuset-cpus={placement.cpus}", *mems],
        [*asked, *(f"--device={file}" for file in gpus.files)],
        *(["--env", f"{name}={value}"] for name, value in gpus.env.items()),
        ["--publish", f"127.0.0.1:{port}:{port}"] if port is not None else [],
        ["--cap-add", "SYS_NICE", "--entrypoint", entry[0]] if entry else [],
        [job.image or "IMAGE", *entry[1:], *job.words(placement, ("COMMAND",) if entry else ())],
    ), [*said, *gpus.notes, *unsaid(placement, "Docker")]
