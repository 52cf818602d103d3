"""`numawise predict`: what the model expects of placements, on this machine, one in a file, or a published one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from numawise.cli.shared.options import command_argument, json_option, root_option
from numawise.errors import UsageError
from numawise.experiment.predict import Machine, Predicted, Work
from numawise.experiment.predict.work import FirstTouch

if TYPE_CHECKING:
    from numawise.experiment.records import Candidate
    from numawise.machine.topology import Topology

_SHOWN = 16
_NAMED = 6


@click.command("predict", context_settings={"allow_interspersed_args": False})
@root_option
@click.option("--machine", metavar="NAME", help="A published machine instead (a wrong name lists them).")
@click.option(
    "--bytes", "moved", metavar="N", help="Bytes it moves to and from memory, such as 120G (10**9)."
)
@click.option("--flops", metavar="N", help="Operations it computes meanwhile, such as 3T.")
@click.option("--footprint", metavar="SIZE", help="Memory each process needs, such as 200G.")
@click.option("--threads", type=click.IntRange(1, 65535), metavar="T", help="Threads it has by itself.")
@click.option(
    "--latency-bound",
    type=click.FloatRange(0, 0.95),
    metavar="SHARE",
    help="Share of its time spent waiting for single loads (0.1 when only bytes and operations are given).",
)
@click.option("--gpu", metavar="G", help="It copies to and from this GPU: an index or a PCI address.")
@click.option(
    "--copies",
    type=click.FloatRange(0, 0.95),
    metavar="SHARE",
    help="Share of its time that these copies take, with --gpu (0.2).",
)
@click.option(
    "--first-touch",
    type=click.Choice(get_args(FirstTouch)),
    help="Who touches its pages first; not known unless given.",
)
@click.option("--workload", metavar="NAME", help="A built-in program, run once to see what it does.")
@click.option(
    "--candidate", "extra", multiple=True, metavar="SEL", help="A placement, as selection options in quotes."
)
@json_option
@command_argument
def command(
    root: str, machine: str | None, as_json: bool, extra: tuple[str, ...], command_line: tuple[str, ...],
    workload: str | None, **given: Any,
) -> None:  # fmt: skip
    """Say what each placement should be worth against the default, with a 95% interval and the reason.

    Nothing is tried but CMD (or the --workload), once as it is, to see what it does; --bytes and --flops say it
    instead, and so make any machine possible. What `numawise measure` found here is used; where there is nothing,
    figures of published machines are, and the intervals are wide. Only `tune` and `compare` show what is really faster.
    """
    from numawise.experiment.predict import expectations

    described = {name: value for name, value in given.items() if value is not None}
    program, command_line = _program(command_line, workload)
    if program and (machine or root != "/"):
        raise UsageError(
            "a program can only be run here: describe it with --bytes and --flops for other machines"
        )
    if program and {"moved", "flops", "latency_bound"} & set(described):
        raise UsageError("the program shows what it does: leave --bytes, --flops and --latency-bound out")
    known = _machine(root, machine)
    candidates = _candidates(known.topology, command_line, extra)
    work = _profiled(candidates[0], command_line, known) if program else _described(known, described)
    work = _more(work, known, described)
    candidates, too_small = _that_hold(candidates, work, known)
    found = expectations(work, known, candidates[0].plan, [candidate.plan for candidate in candidates[1:]])
    listed = sorted(zip(candidates[1:], found, strict=True), key=lambda pair: pair[1].ratio)
    notes = _notes(known, work, machine, program=program, described=bool({"moved", "flops"} & set(described)))
    if too_small:
        rest = f" and {len(too_small) - _NAMED} more" if len(too_small) > _NAMED else ""
        notes.append(
            f"left out, the nodes they bind to do not hold it: {', '.join(too_small[:_NAMED])}{rest}"
        )
    if as_json:
        _as_json(known, work, listed, notes)
    else:
        _as_text(listed, notes, everything=bool(extra))


def _program(command_line: tuple[str, ...], workload: str | None) -> tuple[bool, tuple[str, ...]]:
    """Whether there is a program to run, and its words: of one that is only described, that it can be split."""
    if command_line and workload:
        raise UsageError("--workload stands in for CMD: give one of them")
    if workload:
        from numawise import workloads

        return True, workloads.command(workload)
    return bool(command_line), command_line or ("{rank}",)


def _machine(root: str, name: str | None) -> Machine:
    from numawise.experiment.predict import from_published
    from numawise.experiment.predict.profile import known_machine
    from numawise.machine import published, read

    if name is None:
        return known_machine(read(root))
    if root != "/":
        raise UsageError("--root and --machine both name a machine: give one of them")
    return from_published(published.get(name))


def _candidates(
    topology: Topology, command_line: tuple[str, ...], extra: tuple[str, ...]
) -> tuple[Candidate, ...]:
    from numawise.cli.compare import candidate
    from numawise.experiment.space import Space, default_candidate, enumerate_candidates

    if not extra:
        return enumerate_candidates(topology, command_line, Space())
    return (default_candidate(topology, Space()), *(candidate(words, topology) for words in extra))


def _profiled(default: Candidate, command_line: tuple[str, ...], machine: Machine) -> Work:
    from numawise.experiment.metric import Metric
    from numawise.experiment.predict.profile import profile
    from numawise.experiment.trial import Conditions

    return profile(default, Conditions(command_line, Metric(), machine.topology), machine)


def _described(machine: Machine, given: dict[str, Any]) -> Work:
    """The work that --bytes, --flops and --latency-bound describe, by roofline; something of everything without."""
    from numawise.experiment.predict.work import from_roofline, unknown

    if "moved" not in given and "flops" not in given:
        if "latency_bound" in given:
            raise UsageError("--latency-bound is a share of what --bytes and --flops take: give one of them")
        return unknown(machine)
    return from_roofline(
        machine,
        gigabytes=_amount("bytes", given.get("moved")),
        gflop=_amount("flops", given.get("flops")),
        latency_bound=given.get("latency_bound", 0.1),
        threads=given.get("threads"),
    )


def _more(work: Work, machine: Machine, given: dict[str, Any]) -> Work:
    """`work` with what the other options say."""
    import msgspec

    from numawise.experiment.predict.work import with_copies
    from numawise.placement.request import parse_size

    if not given.get("copies", 0.0) >= 0:
        raise UsageError(f"--copies takes a share from 0 to 0.95, not {given['copies']}")
    if "copies" in given and "gpu" not in given:
        raise UsageError("--copies goes with --gpu: copies to and from where?")
    changes: dict[str, Any] = {name: given[name] for name in ("threads", "first_touch") if name in given}
    if "footprint" in given:
        changes["footprint_kib"] = parse_size(given["footprint"])
    work = msgspec.structs.replace(work, **changes)
    if "gpu" in given:
        work = with_copies(work, machine, given.get("copies", 0.2), _gpu_node(given["gpu"], machine.topology))
    return work


def _that_hold(
    candidates: tuple[Candidate, ...], work: Work, machine: Machine
) -> tuple[tuple[Candidate, ...], list[str]]:
    """Those whose memory is enough for what each process needs, and the names of the others.

    Bound past the capacity of its nodes a process is killed, so there is no time to predict.
    """
    needed = work.footprint_kib
    room = {node: machine.topology.node(node).available_kib for node in machine.memory_nodes}
    if needed > sum(room.values()):
        raise UsageError(
            f"each process needs {needed / 2**20:,.1f} GiB, and this machine has {sum(room.values()) / 2**20:,.1f} GiB "
            "free in all: nothing to predict"
        )
    kept, names = [], []
    for each in candidates:
        bound = [p.memory.nodes for p in each.plan.placements if p.memory.mode == "bind"]
        if any(bound.count(nodes) * needed > sum(room.get(n, 0) for n in nodes) for nodes in set(bound)):
            names.append(each.name)
        else:
            kept.append(each)
    return tuple(kept), names


def _gpu_node(text: str, topology: Topology) -> int:
    gpus = [device for device in topology.devices if device.kind == "gpu"]
    for index, device in enumerate(gpus):
        if text.lower() in (str(index), device.address, device.address.partition(":")[2]):
            if device.node is None:
                raise UsageError(f"GPU {device.address}: the kernel does not know its node")
            return device.node
    there = ", ".join(f"{i} ({device.address})" for i, device in enumerate(gpus)) or "none"
    raise UsageError(f"--gpu {text}: no such GPU on this machine; there are {there}")


def _amount(name: str, text: str | None) -> float:
    """10**9 of what `text` says, such as 120G, 3T, 5e12."""
    if text is None:
        return 0.0
    factors = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
    try:
        unit = text[-1:].upper() if text[-1:].upper() in factors else ""
        amount = float(text[:-1] if unit else text) * factors.get(unit, 1.0)
    except ValueError:
        amount = -1.0
    if not 1 <= amount < 1e24:
        raise UsageError(f"--{name} takes a number from 1 on such as 120G or 5e12, not {text!r}")
    return amount / 1e9


def _notes(machine: Machine, work: Work, name: str | None, *, program: bool, described: bool) -> list[str]:
    notes = []
    if machine.origin == "prior":
        notes.append(
            "nothing was measured on this machine, so published machines stand in and intervals are wide; "
            "numawise measure makes its profile"
        )
    elif machine.origin == "published":
        notes.append(f"figures of {name} as published, not measured here")
        if machine.missing:
            notes.append(f"not published, so believed: {', '.join(machine.missing)}")
    elif machine.missing:
        notes.append(f"not measured, so believed: {', '.join(machine.missing)}; numawise measure measures it")
    if not program and not described:
        notes.append(
            "nothing was said of the program: it is taken to do some of everything; --bytes, --flops or CMD"
        )
    if work.first_touch is None and len(machine.memory_nodes) > 1:
        notes.append(
            "who touches its pages first is not known (--first-touch): intervals span the possibilities"
        )
    return notes


def _as_json(
    machine: Machine, work: Work, listed: list[tuple[Candidate, Predicted]], notes: list[str]
) -> None:
    from numawise.machine.codec import to_json

    form = {
        "machine": {
            "origin": machine.origin,
            "model_name": machine.topology.model_name,
            "missing": machine.missing,
        },
        "work": work,
        "candidates": [
            {"name": candidate.name, "plan": candidate.plan, **_figures(predicted)}
            for candidate, predicted in listed
        ],
        "notes": notes,
    }
    click.echo(to_json(form, indent=2))


def _figures(predicted: Predicted) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(predicted)


def _as_text(listed: list[tuple[Candidate, Predicted]], notes: list[str], *, everything: bool) -> None:
    from numawise.report.words import relative

    if not listed:
        click.echo("there is no placement but the default here")
    shown = listed if everything else listed[:_SHOWN]
    width = max((len(candidate.name) for candidate, _ in shown), default=0)
    if shown:
        click.echo(f"{'placement':{width}}  expected time against the default")
    for candidate, predicted in shown:
        span = f"({relative(predicted.low)} to {relative(predicted.high)})"
        click.echo(f"{candidate.name:{width}}  {relative(predicted.ratio):>7} {span:20} {predicted.reason}")
    if len(listed) > len(shown):
        click.echo(f"and {len(listed) - len(shown)} more, expected to be slower; --json has them")
    for note in notes:
        click.echo(f"note: {note}")
