"""A plan as a batch script for Slurm: one job on one machine, a task a process, bound by srun.

`--cpu-bind=mask_cpu` and `--mem-bind=mask_mem` mean the kernel's ids, reliably so only when the job has the whole
machine (srun(1)), hence `--exclusive`. Both need `TaskPlugin=task/affinity` in slurm.conf.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from numawise.linux.cpuset import format_list
from numawise.placement.render.numactl import policy_options
from numawise.placement.render.shared.job import Export, Job, by_rank, placeholders, unsaid
from numawise.placement.render.shared.quoting import comments, under_env
from numawise.placement.values import Placement

USES = ("name", "size_kib")

_ABOUT = (
    "Made for one machine, whose CPU and node numbers it holds: name it, with --nodelist here or on sbatch's command "
    "line. Slurm must bind (TaskPlugin=task/affinity in slurm.conf); --exclusive, because numbers mean the kernel's "
    "own only in a job that has the machine to itself."
)


def render(job: Job) -> Export:
    """A script for sbatch."""
    places = job.plan.placements
    bound, inside = _memory_options(places)
    notes = [(p, note) for p in places for note in (*_wrapped(p, inside=inside), *unsaid(p, "Slurm"))]
    gpus = len({device for p in places for device in p.devices})
    said = list(by_rank(job, notes))
    if gpus:
        said.append(
            f"Slurm picks {gpus} of the machine's GPUs itself; where it has more, ask for all of them in --gres, so "
            "that the plan's are among them"
        )
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={job.name}",
        "#SBATCH --nodes=1",
        f"#SBATCH --ntasks={len(places)}",
    ]
    # Without --mem a job gets DefMemPerNode or DefMemPerCPU, which may be less than the machine has; 0 is all of it.
    memory = "0" if job.size_kib is None else f"{job.size_kib * len(places)}K"
    lines += ["#SBATCH --exclusive", f"#SBATCH --mem={memory}"]
    lines += [f"#SBATCH --gres=gpu:{gpus}"] if gpus else []
    lines += [*comments((_ABOUT, *said)), ""]
    masks = ",".join(_mask(placement.cpus) for placement in places)
    srun = ["srun", f"--ntasks={len(places)}", f"--cpu-bind=mask_cpu:{masks}", *bound]
    commands = [_command(job, placement, inside=inside) for placement in places]
    if len(places) == 1:
        lines.append(f"{shlex.join(srun)} {commands[0]}")
    else:
        lines += _by_task(srun, commands)
    return Export({f"{job.name}.sbatch": "\n".join([*lines, ""])}, (*placeholders(job), *said))


def _memory_options(places: tuple[Placement, ...]) -> tuple[list[str], bool]:
    """Srun's option for the policies of all tasks, which is one for all; else numactl sets them (True)."""
    modes = {placement.memory.mode for placement in places}
    nodes = [placement.memory.nodes for placement in places]
    if modes == {"default"}:
        return [], False
    if modes == {"local"}:
        return ["--mem-bind=local"], False
    if modes == {"bind"}:
        return [f"--mem-bind=mask_mem:{','.join(map(_mask, nodes))}"], False
    if modes == {"preferred"}:
        return [f"--mem-bind=prefer,map_mem:{','.join(str(n[0]) for n in nodes)}"], False
    return [], True


def _mask(ids: Iterable[int]) -> str:
    return hex(sum(1 << i for i in ids))


def _wrapped(placement: Placement, *, inside: bool) -> list[str]:
    policy = placement.memory
    if not inside or policy.mode == "default":
        return []
    nodes = f" {format_list(policy.nodes)}" if policy.nodes else ""
    return [
        f"memory policy {policy.mode}{nodes}: srun has no option for it here; numactl sets it, which the machine "
        "must have"
    ]


def _command(job: Job, placement: Placement, *, inside: bool) -> str:
    options = policy_options(placement.memory) if inside else []
    words = [*(["numactl", *options] if options else []), *job.words(placement)]
    return shlex.join(under_env(placement.env, words))


def _by_task(srun: list[str], commands: list[str]) -> list[str]:
    body = [
        "case $SLURM_PROCID in",
        *(f"{rank}) exec {line} ;;" for rank, line in enumerate(commands)),
        "esac",
    ]
    inner = {line for text in body for line in text.split("\n")}
    end = next(word for word in (f"END{'_' * n}" for n in range(len(inner) + 1)) if word not in inner)
    return [
        f"IFS= read -r -d '' task <<'{end}'",
        *body,
        end,
        f'{shlex.join(srun)} bash -c "$task"',
    ]
