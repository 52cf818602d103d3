"""A plan as Kubernetes pods: as many CPUs, as much memory and as many GPUs, which the kubelet then picks itself.

Sources: kubernetes.io, "Control CPU Management Policies on the Node", "Control Topology Management Policies on a
node", "Utilizing the NUMA-aware Memory Manager", "Configure Quality of Service for Pods".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from numawise.errors import UsageError
from numawise.linux.cpuset import format_list
from numawise.placement.render.shared.containers import ContainerGpus, container_gpus
from numawise.placement.render.shared.job import Export, Job, by_rank, placeholders, unsaid
from numawise.placement.render.shared.quoting import comments, twice, yaml, yaml_list
from numawise.placement.values import Placement

USES = ("image", "name", "size_kib")

_VARIABLE = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]*")
_RESOURCES = {
    "nvidia": "nvidia.com/gpu",
    "amd": "amd.com/gpu",
    "intel": "gpu.intel.com/i915",
    "ascend": "huawei.com/Ascend910",
}
_HIDES = ("CUDA_", "ROCR_VISIBLE", "HIP_VISIBLE", "ZE_", "ASCEND_")


def render(job: Job) -> Export:
    """One pod a process. Raises UsageError without the memory of each: the class Guaranteed takes its limit."""
    if job.size_kib is None:
        raise UsageError(
            "k8s gives a pod CPUs of its own only with a limit of memory: add --size, as in --size 200G"
        )
    notes: list[tuple[Placement, str]] = []
    pods: list[str] = []
    for placement in job.plan.placements:
        lines, said = _pod(job, placement, job.size_kib)
        notes += ((placement, note) for note in said)
        pods.append("\n".join(["---", *comments(said), *lines]))
    text = "\n".join([*comments(_about(job.plan.placements)), *pods, ""])
    return Export(
        {f"{job.name}.yaml": text}, (*placeholders(job, image=True, command=False), *by_rank(job, notes))
    )


def _about(placements: Iterable[Placement]) -> list[str]:
    wide = any(placement.node is None for placement in placements)
    manager = "restricted           # these pods span several nodes" if wide else "single-numa-node"
    return [
        "The kubelet picks CPUs, memory nodes and GPUs. It picks CPUs for the pod alone, with memory and GPUs of the",
        "same NUMA node, only with this in the machine's KubeletConfiguration:",
        "  cpuManagerPolicy: static                     # for pods like these: requests equal limits, whole CPUs",
        "  memoryManagerPolicy: Static                  # with reservedMemory for each NUMA node",
        f"  topologyManagerPolicy: {manager}",
        "CPUs in its reservedSystemCPUs cannot be had: a pod that asks for all CPUs of a node then waits for ever.",
        "Afterwards look: kubectl exec POD -- grep allowed_list /proc/self/status",
    ]


def _pod(job: Job, placement: Placement, size_kib: int) -> tuple[list[str], list[str]]:
    gpus = container_gpus(placement)
    amounts, said = _gpu_amounts(placement, gpus)
    # The device plugin decides which GPUs there are in the pod, and tells the program itself.
    env = {k: v for k, v in gpus.env.items() if not (amounts and k.startswith(_HIDES))}
    odd = [name for name in env if not _VARIABLE.fullmatch(name)]
    said += [f"environment variable {name!r} is left out: no name for Kubernetes" for name in odd]
    lines = ["apiVersion: v1", "kind: Pod", "metadata:", f"  name: {job.name_of(placement)}"]
    lines += [f"  labels: {{app: {job.name}}}", "spec:", "  containers:", "    - name: main"]
    lines.append(f"      image: {yaml(job.image or 'IMAGE')}")
    if words := job.words(placement, ()):
        lines.append(f"      args: {yaml_list(map(twice, words))}")
    if len(env) > len(odd):
        lines.append("      env:")
        lines += [
            f"        - {{name: {yaml(name)}, value: {yaml(twice(value))}}}"
            for name, value in env.items()
            if name not in odd
        ]
    if job.port is not None:
        lines.append(f"      ports: [{{name: http, containerPort: {job.port + placement.rank}}}]")
    limits = [f'cpu: "{len(placement.cpus)}"', f"memory: {size_kib}Ki", *amounts]
    lines.append("      resources:")
    for kind in ("requests", "limits"):
        lines += [f"        {kind}:", *(f"          {limit}" for limit in limits)]
    return lines, [*_lost(placement), *said, *unsaid(placement, "Kubernetes")]


def _lost(placement: Placement) -> list[str]:
    lost = f"CPUs {placement.cpus}"
    if placement.memory.mode != "default":
        nodes = f" {format_list(placement.memory.nodes)}" if placement.memory.nodes else ""
        lost += f" and memory policy {placement.memory.mode}{nodes}"
    return [f"{lost} are lost: the kubelet picks {len(placement.cpus)} CPUs, and memory follows them"]


def _gpu_amounts(placement: Placement, gpus: ContainerGpus) -> tuple[list[str], list[str]]:
    if not placement.devices:
        return [], []
    listed = ", ".join(placement.devices)
    name = _RESOURCES.get(gpus.maker)
    if name is None:
        return [], [f"{listed}: no device plugin is known for it"]
    amount = len(gpus.nvidia) or len(placement.devices)
    said = [f"GPU {listed} is lost: the device plugin picks {amount}"]
    if any(gpu.startswith("MIG-") for gpu in gpus.nvidia):
        said.append("MIG instances may go by another name (nvidia.com/mig-...): see kubectl describe node")
    if gpus.maker in ("intel", "ascend"):
        said.append(f"{name} depends on driver and model: kubectl describe node tells the name")
    return [f"{name}: {amount}"], said
