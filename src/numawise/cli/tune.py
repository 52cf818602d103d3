"""`numawise tune [SPACE] -- CMD ...`: find the placement, judge it against the default, save it as a profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

import click
import msgspec

from numawise.cli.compare import candidate
from numawise.cli.shared.options import command_argument, selection_options, take_values
from numawise.cli.shared.selection import SELECTION, request_from, whole_number
from numawise.cli.shared.studies import (
    StudyOptions,
    begin_or_resume,
    carry_out,
    finish,
    study_options,
    take_study_options,
)
from numawise.errors import NumawiseError, UsageError
from numawise.experiment.metric import Metric
from numawise.experiment.records import Candidate, Outcome, Study
from numawise.experiment.space import POLICIES, Space, enumerate_candidates
from numawise.experiment.store import Store
from numawise.experiment.trial import Conditions, run_trial
from numawise.experiment.tune import least_budget
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Allowed, Topology
from numawise.placement.request import parse_size
from numawise.placement.values import HugePageMode

_NARROWING = [o for o in SELECTION if o.name in ("node", "cpus", "env", "no-smt")]


@click.command("tune", context_settings={"allow_interspersed_args": False})
@selection_options(_NARROWING)
@click.option("--policies", metavar="P,P", help=f"Only these of {', '.join(POLICIES)}.")
@click.option("--workers", metavar="N,N", help="Only these numbers of workers, filled in as {workers}.")
@click.option("--threads", metavar="T,T", help="Only these numbers of threads (of each worker).")
@click.option("--thp", metavar="M,M", help=f"Only these of {', '.join(get_args(HugePageMode))}.")
@click.option(
    "--memory-per-worker", metavar="SIZE", help="What one worker needs: only as many as fit are tried."
)
@click.option(
    "--candidate",
    "extra",
    multiple=True,
    metavar="SEL",
    help="One more candidate, as selection options in quotes.",
)
@click.option(
    "--budget",
    metavar="N|60s|5m",
    help="Trials in all, the final comparison included, or about how long they may take.",
)
@click.option(
    "--workload", metavar="NAME", help="A built-in program instead of CMD (moe_einsum unless CMD is given)."
)
@click.option(
    "--no-predict",
    is_flag=True,
    help="Try every candidate, whatever the measurements of this machine let expect of it.",
)
@click.option("--save", metavar="NAME", help="Name of the profile (default: after the program).")
@study_options
@command_argument
def command(
    extra: tuple[str, ...],
    budget: str | None,
    workload: str | None,
    no_predict: bool,
    save: str | None,
    command_line: tuple[str, ...],
    **given: Any,
) -> int:
    """Find the placement under which CMD runs best, compare it with the default, and keep it as a profile.

    Varies memory policy, workers, threads, SMT and huge pages; {workers} {threads} {rank} {ranks} {node} in CMD or
    --env are filled in for each candidate. Without CMD the built-in mixture-of-experts workload is tuned.
    """
    from numawise.experiment.profiles import check_name

    values = take_values(given, _NARROWING)
    limits = {
        name: given.pop(name) for name in ("policies", "workers", "threads", "thp", "memory_per_worker")
    }
    options = take_study_options(given)
    if save is not None:
        check_name(save)
    command_line, options = _program(command_line, workload, options)

    def make() -> tuple[tuple[Candidate, ...], Topology, int]:
        candidates, topology = _candidates(values, limits, extra, command_line)
        trials = _budget(budget, candidates, topology, command_line, options)
        if not no_predict:
            candidates = _expected(candidates, topology, command_line, options)
        return candidates, topology, trials

    with Store.open() as store:
        study = begin_or_resume(store, "tune", command_line, options, make)
        outcome = carry_out(store, study, options)
        finish(store, study, _keep_profile(study, outcome, save), options)
    return 0


def default_budget(candidates: int) -> int:
    """Trials for so many candidates: where more no longer find noticeably better ones (docs/statistics.md)."""
    return max(40, round(2.3 * candidates))


def _budget(
    text: str | None,
    candidates: Sequence[Candidate],
    topology: Topology,
    command_line: tuple[str, ...],
    options: StudyOptions,
) -> int:
    """Trials there may be. A time is divided by that of one run of the default, made for this and not kept."""
    if text is None:
        return default_budget(len(candidates))
    if text.isascii() and text.isdigit() and 2 <= int(text) <= 100_000:
        return int(text)
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * factor
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e7:
        raise UsageError(
            f"--budget takes a number of trials from 2 to 100000, or a time such as 60s or 5m, not {text!r}"
        )
    metric = Metric(options.metric, options.maximize)
    trial = run_trial(0, candidates[0], "race", Conditions(command_line, metric, topology, options.timeout))
    if trial.status != "ok":
        raise NumawiseError(f"the command fails as it is, before any placement is tried: {trial.tail}")
    return max(least_budget(len(candidates)), int(seconds / max(trial.seconds, 1e-3)))


def _expected(
    candidates: tuple[Candidate, ...],
    topology: Topology,
    command_line: tuple[str, ...],
    options: StudyOptions,
) -> tuple[Candidate, ...]:
    """The candidates with what is expected of them, where `numawise measure` has kept this machine's figures.

    The command is run once as it is for this. Priors alone are no reason to leave anything untried.
    """
    from numawise.experiment.predict import expectations
    from numawise.experiment.predict.profile import known_machine, profile

    machine = known_machine(topology)
    if machine.origin != "measured":
        return candidates
    metric = Metric(options.metric, options.maximize)
    conditions = Conditions(
        command_line, metric, topology, options.timeout, tuple(str(path) for path in options.cold)
    )
    work = profile(candidates[0], conditions, machine)
    default, *others = candidates
    found = expectations(work, machine, default.plan, [candidate.plan for candidate in others])
    return (
        default,
        *(
            msgspec.structs.replace(candidate, expected=predicted.expectation)
            for candidate, predicted in zip(others, found, strict=True)
        ),
    )


def _program(
    command_line: tuple[str, ...], workload: str | None, options: StudyOptions
) -> tuple[tuple[str, ...], StudyOptions]:
    if command_line and workload:
        raise UsageError("--workload stands in for CMD: give one of them")
    if command_line:
        return command_line, options
    from numawise import workloads

    built_in = workloads.get(workload or "moe_einsum")
    metric = options.metric or built_in.metric
    return built_in.command, msgspec.structs.replace(options, metric=metric)


def _candidates(
    values: dict[str, list[str]],
    limits: dict[str, str | None],
    extra: tuple[str, ...],
    command_line: tuple[str, ...],
) -> tuple[tuple[Candidate, ...], Topology]:
    from numawise.linux.own_policy import own_policy
    from numawise.machine import read
    from numawise.placement.values import MemoryPolicy

    topology = read("/")
    request = request_from(values, topology)
    memory = limits["memory_per_worker"]
    space = Space(
        policies=_names("policies", limits["policies"], POLICIES),
        workers=_numbers("workers", limits["workers"]),
        threads=_numbers("threads", limits["threads"]),
        smt=None if request.smt else (False,),
        thp=cast("tuple[HugePageMode, ...] | None", _names("thp", limits["thp"], get_args(HugePageMode))),
        memory_per_worker_kib=parse_size(memory) if memory is not None else None,
        env=request.env,
    )
    mode, nodes = own_policy()
    inherited = MemoryPolicy(cast("Any", mode), nodes)
    allowed = _narrowed(topology, request.nodes, request.cpus)
    found = enumerate_candidates(topology, command_line, space, inherited=inherited, within=allowed)
    known = {each.name for each in found}
    more = [candidate(words, topology) for words in extra]
    return (*found, *(each for each in more if each.name not in known)), topology


def _narrowed(topology: Topology, nodes: tuple[int, ...] | None, cpus: CPUSet | None) -> Allowed:
    """What candidates may use: --node and --cpus narrow the search, never the default."""
    allowed_cpus, allowed_nodes = topology.allowed.cpus, topology.allowed.nodes
    if nodes is not None:
        allowed_nodes = tuple(n for n in allowed_nodes if n in nodes)
        allowed_cpus = CPUSet(allowed_cpus & CPUSet(c for n in nodes for c in topology.node(n).cpus))
    if cpus is not None:
        allowed_cpus = CPUSet(allowed_cpus & cpus)
    if not allowed_cpus:
        raise UsageError("--node and --cpus leave no CPU to try anything on")
    return msgspec.structs.replace(topology.allowed, cpus=allowed_cpus, nodes=allowed_nodes)


def _keep_profile(study: Study, outcome: Outcome, save: str | None) -> Outcome:
    from numawise.experiment.profiles import Profile, save_profile, suggest_name
    from numawise.machine.identity import machine_facts, topology_key

    best = next(each for each in study.candidates if each.name == outcome.best)
    name = save or suggest_name(study.command)
    profile = Profile(
        name=name,
        plan=best.plan,
        command=study.command,
        topology_key=topology_key(study.topology),
        machine=machine_facts(study.topology),
        candidate=best.name,
        policy=best.policy,
        workers=best.workers,
        threads=best.threads,
        smt=best.smt,
        thp=best.thp,
        verdict=outcome.verdict,
        created=study.created,
        study=study.id,
        numawise_version=study.numawise_version,
    )
    save_profile(profile)
    return msgspec.structs.replace(outcome, profile=name)


def _numbers(name: str, text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(whole_number(name, part.strip()) for part in text.split(","))


def _names(name: str, text: str | None, known: tuple[str, ...]) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(","))
    for each in names:
        if each not in known:
            raise UsageError(f"--{name}: {each!r} is none of {', '.join(known)}")
    return names
