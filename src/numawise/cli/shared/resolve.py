"""From given options to a Plan for this machine, a saved profile included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from numawise.cli.shared.rank import is_per_rank, refuse
from numawise.cli.shared.selection import SELECTION, request_from, wants_gpus
from numawise.errors import UsageError
from numawise.machine.topology import Topology
from numawise.placement.fit import check_cpus, check_nodes
from numawise.placement.plan import plan
from numawise.placement.values import Plan

_BESIDE_PROFILE = ("profile", "env", "port")


def resolve(
    values: Mapping[str, Sequence[str]], topology: Topology, *, root: str = "/", advise: bool = False
) -> Plan:
    """The Plan that the options ask for on `topology`, which was read from `root`.

    `advise` adds what to know beside the placement: the network cards nearest to its GPUs.
    Raises as `placement.plan` does, and SnapshotError for a profile that cannot be read.
    """
    if is_per_rank(values):
        raise refuse()
    if "profile" not in values:
        if wants_gpus(values):
            from numawise.cli.shared.gpus import plan_with_gpus

            return plan_with_gpus(values, topology, root, advise=advise)
        return plan(topology, request_from(values, topology))
    others = [
        option.name for option in SELECTION if option.name in values and option.name not in _BESIDE_PROFILE
    ]
    if others:
        raise UsageError(f"--profile says where everything goes; leave --{others[0]} out")
    return _from_profile(values["profile"][-1], request_from(values, topology).env, topology)


def _from_profile(name: str, env: Mapping[str, str], topology: Topology) -> Plan:
    from numawise.experiment.profiles import differences, load_profile

    profile = load_profile(name)
    for placement in profile.plan.placements:
        check_cpus(placement.cpus, topology)
        check_nodes(placement.memory.nodes, topology, cpus=False, memory=True)
    placements = tuple(
        msgspec.structs.replace(placement, env={**placement.env, **env})
        for placement in profile.plan.placements
    )
    notes = [
        f"profile {name} was made on a different machine: {line}" for line in differences(profile, topology)
    ]
    return Plan(placements, (*profile.plan.notes, *notes))
