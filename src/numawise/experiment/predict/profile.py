"""What the model is fed with: the machine's kept measurements, and a short run of the program as it is."""

from __future__ import annotations

import resource

import msgspec

from numawise.errors import NumawiseError
from numawise.experiment.metric import Metric
from numawise.experiment.predict.machine import Machine, from_measurements, from_priors
from numawise.experiment.predict.work import Work, from_run
from numawise.experiment.records import Candidate, Expectation
from numawise.experiment.trial import Conditions, run_trial
from numawise.linux.idle import idle_seconds
from numawise.machine.identity import topology_key
from numawise.machine.topology import Topology
from numawise.measure import kept

RATE = "json:gb_per_s"
"""A program that prints it on its last line of JSON says itself what it moves (the built-in workload does)."""


def known_machine(topology: Topology) -> Machine:
    """The machine by the measurements that `numawise measure` kept of it, or by priors when there are none.

    Raises SnapshotError when what was kept cannot be read.
    """
    measured = kept.load(topology_key(topology))
    readings = () if measured is None else (*measured.latency, *measured.bandwidth)
    if measured is None or all(reading.figure is None for reading in readings):
        return from_priors(topology)
    return from_measurements(topology, measured)


def profile(default: Candidate, conditions: Conditions, machine: Machine) -> Work:
    """Run the command once under `default`, and see how many CPUs it keeps busy and what it moves.

    CPU time is that of all processes waited for meanwhile. Raises NumawiseError when the command fails.
    """
    cpus = default.plan.placements[0].cpus
    idle_before = idle_seconds(cpus)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    trial = run_trial(
        0, default, "race", msgspec.structs.replace(conditions, metric=Metric(RATE, maximize=True))
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if trial.status not in ("ok", "no-metric"):
        raise NumawiseError(f"the command fails as it is, before anything is predicted: {trial.tail}")
    idle_after = idle_seconds(cpus)
    took = max(trial.seconds, 1e-3)
    busy = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / took
    return from_run(
        machine,
        seconds=1.0,
        busy=busy,
        cpus=max(1, len(cpus)),
        idle=None if idle_before is None or idle_after is None else (idle_after - idle_before) / took,
        gigabytes=trial.value,
        footprint_kib=after.ru_maxrss,
    )


def single_node(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """For each node, the candidate bound to it that is expected to be best: they are tried whatever is expected."""
    best: dict[int, Candidate] = {}
    for candidate in candidates:
        policies = {placement.memory for placement in candidate.plan.placements}
        if len(policies) != 1 or candidate.expected is None:
            continue
        policy = policies.pop()
        if policy.mode == "bind" and len(policy.nodes) == 1:
            node = policy.nodes[0]
            if node not in best or candidate.expected.ratio < _ratio(best[node].expected):
                best[node] = candidate
    return tuple(best.values())


def _ratio(expected: Expectation | None) -> float:
    return expected.ratio if expected is not None else 1.0
