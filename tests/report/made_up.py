"""Studies as tune and compare leave them, made up with a seed: two sockets, drift, near-ties, a failure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from numawise.experiment.records import Candidate, Outcome, Study, Trial, Verdict
from numawise.experiment.sequential import estimate, kind_of, verdict_of
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Allowed, Device, L3Domain, Node, Socket, Topology
from numawise.placement.values import MemoryPolicy, Placement, Plan

NODE_CPUS = {0: CPUSet.parse("0-15,32-47"), 1: CPUSet.parse("16-31,48-63")}
STARTED = 1_760_000_000.0


def two_sockets() -> Topology:
    """Two sockets of 16 cores with SMT, 256 GiB each, a GPU on either side."""
    everything = NODE_CPUS[0] | NODE_CPUS[1]
    return Topology(
        cpus=CPUSet(everything),
        cores=32,
        nodes=tuple(
            Node(id=i, cpus=cpus, memory_kib=263_800_000 + i * 256_000, kind="dram", free_kib=200_000_000)
            for i, cpus in NODE_CPUS.items()
        ),
        distances={0: {0: 10, 1: 21}, 1: {0: 21, 1: 10}},
        allowed=Allowed(cpus=CPUSet(everything), nodes=(0, 1)),
        devices=(
            Device(address="0000:17:00.0", kind="gpu", node=0, names=("card0",)),
            Device(address="0000:b3:00.0", kind="gpu", node=1, names=("card1",)),
            Device(address="0000:4b:00.0", kind="nic", node=0, names=("eth0",)),
        ),
        smt_siblings=tuple(CPUSet([core, core + 32]) for core in range(32)),
        sockets=tuple(Socket(id=i, cpus=cpus) for i, cpus in NODE_CPUS.items()),
        l3_domains=tuple(L3Domain(cpus=cpus, size_kib=49152) for cpus in NODE_CPUS.values()),
        transparent_huge_pages="madvise",
        architecture="x86_64",
        model_name="Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz",
    )


def _plan(policy: str, workers: int, threads: int, *, smt: bool, thp: str) -> Plan:
    mode, _, where = policy.partition(":")
    placements = []
    for rank in range(workers):
        if policy == "per-node":
            nodes, memory = (rank % 2,), MemoryPolicy("bind", (rank % 2,))
        elif where in {"0", "1"}:
            nodes, memory = (int(where),), MemoryPolicy(mode, (int(where),))  # type: ignore[arg-type]
        else:
            nodes = (0, 1)
            memory = MemoryPolicy(mode, (0, 1) if mode == "interleave" else ())  # type: ignore[arg-type]
        cpus = CPUSet(c for n in nodes for c in NODE_CPUS[n] if smt or c < 32)
        placements.append(
            Placement(
                rank=rank,
                cpus=cpus,
                memory=memory,
                threads=threads,
                env={"OMP_NUM_THREADS": str(threads)},
                node=nodes[0] if len(nodes) == 1 else None,
                thp=thp,  # type: ignore[arg-type]
            )
        )
    return Plan(tuple(placements))


def candidates() -> tuple[Candidate, ...]:
    """48 of them, the default first."""
    found = [Candidate("default", _plan("default", 1, 64, smt=True, thp="default"), workers=1, threads=64)]
    for policy in ("local", "bind:0", "bind:1", "interleave:all", "per-node"):
        for workers, threads, smt in (
            (1, 16, False),
            (1, 32, True),
            (2, 16, False),
            (2, 32, True),
            (4, 8, False),
        ):
            for thp in ("default", "madvise"):
                if len(found) < 48:
                    marks = ("" if smt else " no-smt") + ("" if thp == "default" else " thp")
                    name = f"{policy} {workers}x{threads}{marks}"
                    plan = _plan(policy, workers, threads, smt=smt, thp=thp)
                    found.append(
                        Candidate(
                            name, plan, policy=policy, workers=workers, threads=threads, smt=smt, thp=thp
                        )
                    )
    return tuple(found)


class _Machine:
    """Answers with a time: 3% noise, a warm-up drift, 5% of spikes."""

    def __init__(self, seed: int, base: float = 8.4, noise: float = 0.03) -> None:
        self.random = random.Random(seed)
        self.base = base
        self.noise = noise
        self.clock = STARTED
        self.trials: list[Trial] = []

    def run(self, candidate: Candidate, effect: float, phase: str, *, fails: bool = False) -> Trial:
        number = len(self.trials)
        drift = 0.05 * math.sin(number / 25) + 0.0004 * number
        noise = self.random.gauss(0, self.noise) + (0.25 if self.random.random() < 0.05 else 0)
        seconds = 0.4 if fails else self.base * effect * math.exp(drift + noise)
        nodes = {p.node for p in candidate.plan.placements}
        share = 0.5 if None in nodes or len(nodes) > 1 else (0.99 if nodes == {0} else 0.01)
        if candidate.name == "default":
            share = 0.71
        trial = Trial(
            number=number,
            candidate=candidate.name,
            phase=phase,  # type: ignore[arg-type]
            status="failed" if fails else "ok",
            value=None if fails else seconds,
            seconds=seconds,
            started=self.clock,
            exit_code=137 if fails else 0,
            tail="RuntimeError: [enforce fail at alloc_cpu.cpp:114] can't allocate memory\nKilled"
            if fails
            else "",
            on_target=None if fails or share in {0.5, 0.71} else 0.99,
            residency={} if fails else {0: round(share, 3), 1: round(1 - share, 3)},
            sampled_pages=0 if fails else 1000,
            cpus_used=CPUSet(c for p in candidate.plan.placements for c in p.cpus),
            notes=(),
        )
        self.clock += seconds + 0.3
        self.trials.append(trial)
        return trial


def _verdict(study: Study, trials: Sequence[Trial], first: str, second: str) -> Verdict:
    """By the experiment's own statistics, the first pair dropped."""
    costs: dict[str, list[float]] = {first: [], second: []}
    for trial in trials:
        if trial.phase != "race":
            assert trial.value is not None
            costs[trial.candidate].append(1 / trial.value if study.maximize else trial.value)
    seen = estimate(
        [math.log(a / b) for a, b in zip(costs[first], costs[second], strict=True)][1:], study.alpha
    )
    return verdict_of(seen, kind_of(seen, study.delta), "reached the cap")


def tuned(seed: int = 7, *, best_effect: float = 0.88) -> tuple[Study, tuple[Trial, ...], Outcome]:
    """A finished tune: halving from 48, then pairs. With `best_effect` 1 nothing differs from the default."""
    arms = candidates()
    machine = _Machine(seed, noise=0.012 if best_effect >= 1 else 0.03)
    spread = random.Random(seed + 1)
    flat = best_effect >= 1
    effects = {c.name: 1.0 if flat else 1 + spread.choice((-0.04, 0.02, 0.05, 0.1, 0.3, 0.6)) for c in arms}
    effects["default"] = 1.0
    best = next(c for c in arms if c.name == "per-node 2x16 no-smt thp")
    effects[best.name] = best_effect
    broken = next(c for c in arms if c.name == "bind:1 4x8 no-smt")
    alive = [c for c in arms if c is not broken]
    machine.run(broken, 1, "race", fails=True)
    while len(alive) > 3:
        block = list(alive)
        machine.random.shuffle(block)
        for arm in block:
            machine.run(arm, effects[arm.name], "race")
        scores = {
            c.name: [math.log(t.value or 1) for t in machine.trials if t.candidate == c.name] for c in alive
        }
        alive.sort(key=lambda c: sum(scores[c.name]) / len(scores[c.name]))
        alive = alive[: max(3, len(alive) // 2)]
    winner = best if not flat else alive[0]
    for _ in range(31 if flat else 12):
        pair = [arms[0], winner]
        machine.random.shuffle(pair)
        for arm in pair:
            machine.run(arm, effects[arm.name], "final")
    study = Study(
        id="251009-104500-a1f3",
        kind="tune",
        command=("python", "serve.py", "--model", "mixtral-8x7b", "--threads", "{threads}"),
        candidates=arms,
        default="default",
        topology=two_sockets(),
        seed=seed,
        budget=130,
        created=STARTED,
        numawise_version="0.1.0",
    )
    verdict = _verdict(study, machine.trials, "default", winner.name)
    outcome = Outcome(
        best="default" if flat else winner.name,
        verdict=verdict,
        winner=winner.name,
        trials=len(machine.trials),
        profile="" if flat else "serve",
        failed={broken.name: "exit code 137 (killed)"},
    )
    return study, tuple(machine.trials), outcome


def compared(seed: int = 3) -> tuple[Study, tuple[Trial, ...], Outcome]:
    """A finished compare of two arms, 14 pairs, with a metric to maximize and a step down the ladder."""
    arms = (
        Candidate(
            "--node 0",
            _plan("bind:0", 1, 16, smt=False, thp="default"),
            policy="bind:0",
            workers=1,
            threads=16,
        ),
        Candidate(
            "--node 1",
            _plan("bind:1", 1, 16, smt=False, thp="default"),
            policy="bind:1",
            workers=1,
            threads=16,
        ),
    )
    machine = _Machine(seed, base=3.0)
    for _ in range(15):
        pair = [(arms[0], 1.0), (arms[1], 1.19)]
        machine.random.shuffle(pair)
        for arm, effect in pair:
            machine.run(arm, effect, "pair")
    trials = tuple(
        Trial(
            number=t.number,
            candidate=t.candidate,
            phase="pair",
            status="ok",
            value=400 / t.seconds,
            seconds=t.seconds,
            started=t.started,
            residency=t.residency,
            sampled_pages=1000,
            cpus_used=t.cpus_used,
            notes=("mbind refused (EPERM); bound to the CPUs, memory follows the first touch",)
            if t.number == 3
            else (),
        )
        for t in machine.trials
    )
    study = Study(
        id="251009-120000-77be",
        kind="compare",
        command=("./decode", "--prompt", "hello world"),
        candidates=arms,
        default="--node 0",
        topology=two_sockets(),
        seed=seed,
        budget=60,
        metric=r"tokens/s: ([0-9.]+)",
        maximize=True,
        created=STARTED + 5000,
        numawise_version="0.1.0",
    )
    verdict = _verdict(study, trials, "--node 0", "--node 1")
    return study, trials, Outcome(best="--node 0", verdict=verdict, winner="--node 0", trials=len(trials))
