"""A plan as a Compose file, one service a process.

The Compose Specification knows CPUs (`cpuset`) but has no word for memory nodes, so every policy is set by numactl.
"""

from __future__ import annotations

from numawise.placement.render.shared.containers import container_gpus, numactl_inside
from numawise.placement.render.shared.job import Export, Job, by_rank, placeholders, unsaid
from numawise.placement.render.shared.quoting import comments, twice, yaml, yaml_list
from numawise.placement.values import Placement

USES = ("image", "name")


def render(job: Job) -> Export:
    """`compose.yaml`. With a port, each service's is published on 127.0.0.1."""
    lines = ["services:"]
    notes: list[tuple[Placement, str]] = []
    for placement in job.plan.placements:
        block, said = _service(job, placement)
        notes += ((placement, note) for note in said)
        lines += [f"  {job.name_of(placement)}:", *(f"    {line}" for line in (*comments(said), *block))]
    wrapped = any(_entry(placement)[0] for placement in job.plan.placements)
    missing = placeholders(job, image=True, command=wrapped)
    return Export({"compose.yaml": "\n".join([*lines, ""])}, (*missing, *by_rank(job, notes)))


def _entry(placement: Placement) -> tuple[list[str], list[str]]:
    # "local" is what a new container has.
    return ([], []) if placement.memory.mode == "local" else numactl_inside(placement.memory)


def _service(job: Job, placement: Placement) -> tuple[list[str], list[str]]:
    gpus, (entry, said) = container_gpus(placement), _entry(placement)
    words = job.words(placement, ("COMMAND",) if entry else ())
    lines = [f"image: {_text(job.image or 'IMAGE')}", f"cpuset: {_text(str(placement.cpus))}"]
    if entry:
        lines += ["cap_add: [SYS_NICE]", f"entrypoint: {yaml_list(map(twice, entry))}"]
    if words:
        lines.append(f"command: {yaml_list(map(twice, words))}")
    if gpus.env:
        lines += ["environment:", *(f"  - {_text(f'{name}={value}')}" for name, value in gpus.env.items())]
    if job.port is not None:
        port = job.port + placement.rank
        lines.append(f"ports: [{_text(f'127.0.0.1:{port}:{port}')}]")
    if gpus.files:
        lines.append(f"devices: {yaml_list(f'{file}:{file}' for file in gpus.files)}")
    if gpus.nvidia:
        lines += [
            "deploy:",
            "  resources:",
            "    reservations:",
            "      devices:",
            "        - driver: nvidia",
        ]
        lines += [f"          device_ids: {yaml_list(gpus.nvidia)}", "          capabilities: [gpu]"]
    return lines, [*said, *gpus.notes, *unsaid(placement, "Compose")]


def _text(text: str) -> str:
    return yaml(twice(text))
