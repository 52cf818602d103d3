"""Benches as they would come out on a two-socket machine: the real algorithm on simulated trials, by a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import msgspec
from machines import two_sockets

from numawise.errors import NotPermittedError
from numawise.experiment.bench.run import carry_out
from numawise.experiment.bench.suite import Arms, built_in, of_command
from numawise.experiment.compare import Ask
from numawise.experiment.metric import Metric, as_cost
from numawise.experiment.records import BenchDesign, Candidate, Outcome, Study, Trial
from numawise.experiment.search import TrialFailed
from numawise.machine.topology import Topology

STARTED = 1_760_000_000.0
Physics = Callable[[Candidate], float]
"""Seconds of a run of an arm; nan: it fails; inf: the system refuses to begin it."""


def machine() -> Topology:
    """Two nodes of four cores and a third without CPUs."""
    return two_sockets(4, smt=False, cpuless=True)


def memory_bound(candidate: Candidate) -> float:
    """Remote memory costs 30%, interleaving 12%, far memory half; per-expert is four times as fast."""
    seconds = 0.020
    policy = candidate.policy
    if policy.startswith("cpu:"):
        seconds *= 1.5 if policy.endswith("mem:2") else 1.3
    seconds *= {"interleave": 1.12, "default": 1.12, "local": 1.12}.get(policy, 1.0)
    words = candidate.arguments
    if "chosen" in words:
        seconds /= 4
        seconds *= max(1.0, 2 / (candidate.threads or 8))
    if "torch" in words:
        seconds *= 0.9
    if "non-contiguous" in words:
        seconds *= 1.4
    if "bfloat16" in words:
        seconds *= 0.55
    return seconds


def nothing_matters(candidate: Candidate) -> float:
    """Every arm takes the same."""
    del candidate
    return 0.020


class Simulated:
    """Answers as a recorder of real trials does: kept ones first, then new ones with noise and drift."""

    def __init__(
        self,
        study: Study,
        physics: Physics,
        *,
        noise: float = 0.01,
        kept: tuple[Trial, ...] = (),
        stop: int = 1 << 30,
    ) -> None:
        self._study, self._physics, self._noise, self._stop = study, physics, noise, stop
        self.trials = list(kept)
        self._ask: Ask | None = None

    def before(self, ask: Ask) -> None:
        assert ask.number <= len(self.trials)
        assert 1 <= ask.at_least <= ask.at_most or ask.at_most >= 1
        self._ask = ask

    def cost(self, candidate: Candidate) -> float:
        assert self._ask is not None
        number = self._ask.number
        if number == len(self.trials):
            if number >= self._stop:
                raise KeyboardInterrupt
            if math.isinf(self._physics(candidate)):
                raise NotPermittedError("cannot run there: the system answered EPERM")
            self.trials.append(self._trial(number, candidate))
        trial = self.trials[number]
        assert trial.candidate == candidate.name
        if trial.value is None:
            raise TrialFailed(trial.tail)
        return as_cost(Metric(self._study.metric, self._study.maximize), trial.value)

    def keep_refusal(self, candidate: Candidate, why: str) -> None:
        assert self._ask is not None
        self.trials.append(
            msgspec.structs.replace(_failed(self._ask.number, candidate, self._now()), tail=why, seconds=0.0)
        )

    def _now(self) -> float:
        return self.trials[-1].started + self.trials[-1].seconds + 0.05 if self.trials else STARTED

    def _trial(self, number: int, candidate: Candidate) -> Trial:
        rng = random.Random(self._study.seed * 100_003 + number)
        true = self._physics(candidate)
        if math.isnan(true):
            return _failed(number, candidate, self._now())
        value = true * math.exp(rng.gauss(0, self._noise) + 0.05 * math.sin(number / 25))
        policy, nodes = candidate.policy, [node for node in self._study.topology.nodes if node.cpus]
        bound = candidate.plan.placements[0].memory.nodes
        where = bound or tuple(node.id for node in nodes)
        rate = 0.138 / value
        return Trial(
            number=number,
            candidate=candidate.name,
            phase="pair",
            status="ok",
            value=1 / value if self._study.maximize else value,
            seconds=0.5 + value,
            started=self._now(),
            residency={node: 1 / len(where) for node in where},
            on_target=None if policy in ("default", "local") else 0.998,
            sampled_pages=900,
            cpus_used=candidate.plan.placements[0].cpus,
            figures={
                "seconds": value, "gflops": rate / 2, "gb_per_s": rate, "read_gb_per_s": 9.0, "share_of_read": rate / 9,
                "tokens": 1.0, "repeats": 12.0, "weights_mib": 132.0, "computing_threads": 8.0, "held_mib": 300.0,
                **{f"operations.{name}.{unit}": v for name in ("gate", "up", "down")
                   for unit, v in (("ms", 1e3 * value / 3), ("gflops", rate / 2), ("gb_per_s", rate))},
            } if self._study.bench and self._study.bench.built_in else {},
            energy_j=20.0 + 100 * value,
        )  # fmt: skip


def _failed(number: int, candidate: Candidate, now: float) -> Trial:
    return Trial(
        number=number, candidate=candidate.name, phase="pair", status="failed", value=None, seconds=0.1, started=now,
        exit_code=1, tail="exit code 1\nRuntimeError: no room",
    )  # fmt: skip


def study(
    topology: Topology | None = None,
    *,
    full: bool = False,
    own: bool = False,
    seed: int = 3,
    arms: Arms | None = None,
    **changes: object,
) -> Study:
    """A bench that is about to begin."""
    there = topology or machine()
    if arms is None:
        if own:
            arms = of_command(there, ("./mine",), full=full, threads=None, only=(), env={})
        else:
            arms = built_in(there, full=full, scale=0.35, torch=True, threads=None, only=())
    found = Study(
        id="251009-104500-b3c4",
        kind="bench",
        command=("./mine",) if own else ("python", "-m", "numawise.workloads.moe_einsum"),
        candidates=arms.candidates,
        default=arms.candidates[0].name,
        topology=there,
        seed=seed,
        budget=100_000,
        metric="" if own else "json:seconds",
        created=STARTED,
        numawise_version="0.1.0",
        settings={
            "memory policy inherited": "default",
            "NUMA balancing": "0",
            "load average": "0.10 0.20 0.30",
        },
        bench=BenchDesign(suite="full" if full else "quick", built_in=not own, left_out=arms.left_out),
    )
    return msgspec.structs.replace(found, **changes)


def carried_out(
    begun: Study, physics: Physics = memory_bound, *, noise: float = 0.01
) -> tuple[Study, tuple[Trial, ...], Outcome]:
    """The same study, run to its end."""
    recorder = Simulated(begun, physics, noise=noise)
    outcome = carry_out(begun, recorder)
    return begun, tuple(recorder.trials), outcome
