"""What a container needs beyond its CPUs: GPUs that it can see, and a memory policy that survives."""

from __future__ import annotations

from typing import NamedTuple

from numawise.linux.cpuset import CPUSet, format_list
from numawise.placement.render.numactl import policy_options
from numawise.placement.values import MemoryPolicy, Placement

_ASCEND_COMMON = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")


class ContainerGpus(NamedTuple):
    """How a container gets its GPUs: by NVIDIA's names, or as device files; and its environment then."""

    maker: str
    nvidia: tuple[str, ...]
    files: tuple[str, ...]
    env: dict[str, str]
    notes: tuple[str, ...] = ()


def container_gpus(placement: Placement) -> ContainerGpus:
    """What the visibility variables of the plan come to in a container.

    A container that holds some of the GPUs numbers them anew, so numbers of the host must not go into it; UUIDs may.
    """
    env = dict(placement.env)
    if not placement.devices:
        return ContainerGpus("", (), (), env)
    if "ROCR_VISIBLE_DEVICES" in env:
        note = "the container gets the device files of all AMD GPUs; ROCR_VISIBLE_DEVICES chooses among them"
        return ContainerGpus("amd", (), ("/dev/kfd", "/dev/dri"), env, (note,))
    if "ZE_AFFINITY_MASK" in env:
        note = (
            "the container gets the device files of all graphics cards; ZE_AFFINITY_MASK chooses among them"
        )
        return ContainerGpus("intel", (), ("/dev/dri",), env, (note,))
    if "ASCEND_RT_VISIBLE_DEVICES" in env:
        numbers = CPUSet.parse(env.pop("ASCEND_RT_VISIBLE_DEVICES"))
        files = (*(f"/dev/davinci{n}" for n in numbers), *_ASCEND_COMMON)
        note = (
            "CANN also needs the host's driver folder in the container (/usr/local/Ascend/driver, read-only)"
        )
        return ContainerGpus("ascend", (), files, env, (note,))
    names = tuple(name for name in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if name)
    if names:
        if not all(name.upper().startswith(("GPU-", "MIG-")) for name in names):
            del env["CUDA_VISIBLE_DEVICES"]
        return ContainerGpus("nvidia", names, (), env)
    listed = ", ".join(placement.devices)
    return ContainerGpus(
        "", (), (), env, (f"no option is known that gives {listed} to a container: add its device files",)
    )


def numactl_inside(policy: MemoryPolicy) -> tuple[list[str], list[str]]:
    """The entry point that sets a policy which the container engine cannot, and what there is to say about it."""
    options = policy_options(policy)
    if not options:
        return [], []
    nodes = f" {format_list(policy.nodes)}" if policy.nodes else ""
    return ["numactl", *options], [
        f"memory policy {policy.mode}{nodes}: the engine has no option for it; numactl sets it, which the image must "
        "hold. It takes the place of the image's entry point, so the command must be whole, and Docker's seccomp "
        "profile lets it through only with SYS_NICE"
    ]
