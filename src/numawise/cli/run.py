"""`numawise run SELECTION -- CMD ...`: run it there, then say where its pages and threads really were.

The one command that bypasses click, numpy and rich: it stands in front of programs that start a thousand times a day.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from numawise.cli.shared.rank import is_per_rank, plan_of_rank
from numawise.cli.shared.resolve import resolve
from numawise.cli.shared.selection import SELECTION, Option, Values, parse_words, whole_number
from numawise.cli.shared.servers import SERVER_OPTIONS, are_servers, health_host, tells_port
from numawise.errors import UsageError
from numawise.launch.output import Labelled
from numawise.launch.process import Process
from numawise.launch.supervise import supervise
from numawise.launch.values import LaunchEnd
from numawise.linux.cpuset import format_list
from numawise.machine import read
from numawise.machine.topology import Topology
from numawise.placement.values import Placement, Plan

if TYPE_CHECKING:
    from numawise.observe.proof import Proof, Watcher

RUN_OPTIONS = (
    Option(("--strict",), None, "a placement that the system refuses in part is an error (exit code 3)"),
    Option(("--keep-going",), None, "of several processes, one that fails does not stop the others"),
    Option(
        ("--grace", "--stop-timeout"), "SECONDS", "time between asking a process to stop and killing it (10)"
    ),
    Option(("--quiet", "-q"), None, "say nothing about what was seen"),
    Option(
        ("--json",),
        None,
        "say what was seen as one line of JSON on standard error, at the end; of servers, each event as well",
    ),
    *SERVER_OPTIONS,
)
_LAST_PORT = 65535


def main(words: Sequence[str]) -> int:
    """Run the command in `words`; returns the program's own exit code (128 + signal when it was killed)."""
    values, command_line = parse_words(words, (*SELECTION, *RUN_OPTIONS))
    if not command_line or not command_line[0]:
        raise UsageError(
            "no command to run; write it after --, as in: numawise run --node 0 -- python train.py"
        )
    topology = read("/", devices=False)
    plan = plan_of_rank(values, topology) if is_per_rank(values) else resolve(values, topology)
    port = whole_number("port", values["port"][-1]) if "port" in values else None
    if port is not None and port + plan.placements[-1].rank > _LAST_PORT:
        raise UsageError(f"--port {port} leaves no port for the last of {len(plan.placements)} processes")
    if port is not None and ("health" in values or tells_port(values, command_line)):
        from numawise.launch.servers.ports import check_free

        check_free((port + placement.rank for placement in plan.placements), health_host(values))
    watch = _Watch(topology)
    as_json, silent = "json" in values, "quiet" in values
    grace_s = whole_number("grace", values["grace"][-1]) if "grace" in values else 10
    if are_servers(values, command_line, len(plan.placements)):
        end = _serve(values, command_line, plan, topology, watch, port, grace_s)
    else:
        end = supervise(
            plan,
            command_line,
            topology,
            port=port,
            sink=Labelled(_labels(plan.placements)) if len(plan.placements) > 1 else None,
            started=None if as_json or silent else _print_steps,
            look=watch.look,
            strict="strict" in values,
            keep_going="keep-going" in values,
            grace_s=grace_s,
        )
    if as_json:
        _print_json(plan, end, watch.proofs)
    elif not silent:
        for line in (*_note_lines(plan), *_proof_lines(end, watch)):
            _say(line)
    return end.exit_code


def _serve(
    values: Values,
    command_line: Sequence[str],
    plan: Plan,
    topology: Topology,
    watch: _Watch,
    port: int | None,
    grace_s: float,
) -> LaunchEnd:
    """Keep servers up. What that takes is imported here: most launches are of programs that end."""
    import msgspec

    from numawise.cli.shared.servers import event_writer, rules_from
    from numawise.launch.servers.relay import Relay
    from numawise.launch.servers.supervisor import supervise_servers
    from numawise.launch.servers.values import Event

    rules = msgspec.structs.replace(
        rules_from(values),
        stop_timeout_s=grace_s,
        keep_going="keep-going" in values,
        strict="strict" in values,
    )

    began = time.monotonic()

    def trouble(text: str) -> None:
        tell(Event("note", time.monotonic() - began, detail=text))

    several = len(plan.placements) > 1
    labels = _labels(plan.placements) if several else {plan.placements[0].rank: ""}
    relay = Relay(labels, trouble)
    tell = event_writer(relay.say, as_json="json" in values, silent="quiet" in values)
    return supervise_servers(
        plan, command_line, topology, rules, relay=relay, tell=tell, port=port, look=watch.look
    )


class _Watch:
    """A Watcher that is imported at its first look: a program that ends before it costs nothing to watch."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._watcher: Watcher | None = None

    def look(self, processes: Sequence[Process]) -> None:
        """See Watcher.look."""
        if self._watcher is None:
            from numawise.observe.proof import Watcher

            self._watcher = Watcher(self._topology)
        self._watcher.look(processes)

    @property
    def proofs(self) -> dict[int, Proof]:
        """See Watcher.proofs."""
        return self._watcher.proofs if self._watcher else {}

    @property
    def refused(self) -> str:
        """See Watcher.refused."""
        return self._watcher.refused if self._watcher else ""


def _labels(placements: Sequence[Placement]) -> dict[int, str]:
    nodes = [p.node for p in placements]
    by_node = None not in nodes and len(set(nodes)) == len(nodes)
    return {p.rank: f"node{p.node}" if by_node else f"rank{p.rank}" for p in placements}


def _print_steps(process: Process) -> None:
    for step in process.steps:
        _say(step if process.placement.rank == 0 else f"rank {process.placement.rank}: {step}")


def _note_lines(plan: Plan) -> Iterator[str]:
    (first, *others) = plan.placements
    for note in plan.notes:
        yield f"{'' if others else _of_many(first)}note: {note}"


def _of_many(placement: Placement, ours: int = 1) -> str:
    """Which process a line is about; empty where there is one only, whether we start them or a launcher did."""
    return f"rank {placement.rank}: " if max(ours, placement.ranks) > 1 else ""


def _proof_lines(end: LaunchEnd, watch: _Watch) -> Iterator[str]:
    proofs = watch.proofs
    for ended in end.ends:
        rank = ended.process.placement.rank
        who = _of_many(ended.process.placement, len(end.ends))
        if rank in proofs:
            yield who + _proof_line(proofs[rank], ended.process.placement)
        elif watch.refused:
            yield f"{who}not looked at: {watch.refused}"
        elif ended.process.placement.memory.mode != "default":
            yield f"{who}ended after {ended.seconds:.2f} s, before its pages could be looked at"
        if ended.exit_code and len(end.ends) > 1:
            yield f"{who}exit code {ended.exit_code}"


def _proof_line(proof: Proof, placement: Placement) -> str:
    seen = ", ".join(f"{share.share:.1%} on node {node}" for node, share in sorted(proof.residency.items()))
    pages = f"{proof.anonymous_kib / 1024:.0f} MiB"
    if proof.on_target is not None:
        nodes = format_list(proof.wanted_nodes)
        target = proof.on_target
        pages = (
            f"{target.share:.1%} of {pages} where it should be ({placement.memory.mode} {nodes}; "
            f"{target.low:.1%} to {target.high:.1%}, {proof.sampled_pages} pages sampled)"
        )
    if len(proof.residency) > 1 or proof.on_target is None:
        pages += f": {seen}" if seen else ""
    outside = (
        f", {proof.threads_outside} of them free to leave CPUs {placement.cpus}"
        if proof.threads_outside
        else ""
    )
    threads, cpus = len(proof.threads), proof.cpus_used
    places = f"{threads} thread{'s' if threads != 1 else ''} on CPU{'s' if len(cpus) != 1 else ''} {cpus}"
    return f"{pages}; {places}{outside}"


def _print_json(plan: Plan, end: LaunchEnd, proofs: dict[int, Proof]) -> None:
    from numawise.machine.codec import to_json

    document: dict[str, Any] = {
        "exit_code": end.exit_code,
        "seconds": end.seconds,
        "plan": plan,
        "processes": [
            {
                "rank": ended.process.placement.rank,
                "pid": ended.process.pid,
                "exit_code": ended.exit_code,
                "seconds": ended.seconds,
                "steps": ended.process.steps,
                **({"restarts": end.restarts[number]} if end.restarts else {}),
                "proof": proofs.get(ended.process.placement.rank),
            }
            for number, ended in enumerate(end.ends)
        ],
    }
    _write(to_json(document).decode())


def _say(line: str) -> None:
    _write(f"numawise: {line}")


def _write(line: str) -> None:
    # Standard error that is full or has lost its reader is no reason to hide the program's own exit code.
    with suppress(OSError):
        print(line, file=sys.stderr)


def __getattr__(name: str) -> Any:
    """The click command, made when `--help` asks for it."""
    if name != "command":
        raise AttributeError(name)
    import click

    from numawise.cli.shared.options import command_argument, selection_options

    @click.command("run", context_settings={"allow_interspersed_args": False})
    @selection_options((*SELECTION, *RUN_OPTIONS))
    @command_argument
    def command(**_: object) -> None:
        """Run CMD where the selection says, pass its exit code on, and prove where its pages and threads were."""

    return command
