"""The options that say where: one table for every command, for the words of an --arm, and for numactl's spellings.

`run` reads it with getopt, the other commands with click: importing click alone takes 24 ms, more than all the rest of
`run` together.
"""

from __future__ import annotations

import getopt
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast, get_args

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine.gpus.values import Gpu, Gpus
from numawise.machine.topology import Topology
from numawise.placement.request import GpuMode, Per, Request, parse_nodes, parse_policy, parse_size
from numawise.placement.values import HugePageMode, MemoryPolicy


class Option(NamedTuple):
    """One option: its spellings, what its value is called (None: it takes none), and what it does."""

    flags: tuple[str, ...]
    metavar: str | None
    help: str
    multiple: bool = False

    @property
    def name(self) -> str:
        """The long spelling without dashes."""
        return next(flag for flag in self.flags if flag.startswith("--"))[2:]


Values = dict[str, list[str]]
"""What was given, by option name; an option without a value is there with an empty text."""

SELECTION = (
    Option(
        ("--node",), "N[,N]", "CPUs and memory of these nodes: ids, all, !0 (all but), +0 (first allowed)"
    ),
    Option(
        ("--gpu",),
        "G[,G]",
        "next to this GPU, and only it visible: index, UUID, MIG id, PCI address, or all",
    ),
    Option(
        ("--gpu-mode",),
        "MODE",
        "CPUs of a GPU: its node's (default), its socket's, exclusive (its even share of the node's cores), l3",
    ),
    Option(("--cpus", "-C", "--physcpubind"), "LIST", "these CPUs, such as 0-3,8"),
    Option(("--cpunodebind", "-N"), "NODES", "the CPUs of these nodes, memory as it is"),
    Option(
        ("--mem",),
        "POLICY[:NODES]",
        "memory policy: default, local, bind, preferred, preferred-many, interleave, weighted-interleave",
    ),
    Option(("--membind", "-m"), "NODES", "same as --mem bind:NODES"),
    Option(("--interleave", "-i"), "NODES", "same as --mem interleave:NODES"),
    Option(("--weighted-interleave", "-w"), "NODES", "same as --mem weighted-interleave:NODES"),
    Option(("--preferred", "-p"), "NODE", "same as --mem preferred:NODE"),
    Option(("--preferred-many", "-P"), "NODES", "same as --mem preferred-many:NODES"),
    Option(("--localalloc", "-l"), None, "same as --mem local"),
    Option(
        ("--per",),
        "UNIT",
        "one process for each node, gpu, socket, l3 or core; rank: as the rank that torchrun, srun or mpirun started",
    ),
    Option(("--workers",), "N", "so many processes, spread over the nodes, none straddling two"),
    Option(("--threads",), "T", "compute threads of each process (sets OMP_NUM_THREADS and its kin)"),
    Option(("--no-smt",), None, "one CPU of each core"),
    Option(("--thp",), "MODE", "transparent huge pages: default, never, madvise (malloc asks for them)"),
    Option(("--size",), "SIZE", "memory each process needs, such as 200G; refused when it cannot fit"),
    Option(("--profile",), "NAME", "the placement that tune saved under this name"),
    Option(
        ("--env",),
        "K=V",
        "environment of the processes; {node} {gpu} {rank} {threads} {workers} {port} ... are filled in",
        True,
    ),
    Option(("--port",), "PORT", "{port} of the first process; the others count up"),
)

_POLICY_SPELLINGS = {
    "membind": "bind",
    "interleave": "interleave",
    "weighted-interleave": "weighted-interleave",
    "preferred": "preferred",
    "preferred-many": "preferred-many",
    "localalloc": "local",
}


def parse_words(words: Sequence[str], options: Iterable[Option] = SELECTION) -> tuple[Values, list[str]]:
    """Read options off the front of `words`; what follows them (or `--`) is the command.

    >>> parse_words(["--node", "1", "--", "python", "-c", "pass"])
    ({'node': ['1']}, ['python', '-c', 'pass'])
    """
    table = {flag: option for option in options for flag in option.flags}
    short = "".join(f[1] + (":" if o.metavar else "") for f, o in table.items() if not f.startswith("--"))
    long = [f[2:] + ("=" if o.metavar else "") for f, o in table.items() if f.startswith("--")]
    try:
        pairs, rest = getopt.getopt(list(words), short, long)
    except getopt.GetoptError as error:
        raise UsageError(f"{error.msg}; see --help") from None
    values: Values = {}
    for flag, value in pairs:
        option = table[flag]
        add(values, option, value)
    return values, rest


def add(values: Values, option: Option, value: str) -> None:
    """Note a value. Raises UsageError for an option given twice that can be given once."""
    if option.name in values and not option.multiple:
        raise UsageError(f"--{option.name} is given twice")
    values.setdefault(option.name, []).append(value)


def wants_gpus(values: Mapping[str, Sequence[str]]) -> bool:
    """Do the options speak of GPUs?"""
    return "gpu" in values or values.get("per", [""])[-1] == "gpu"


def request_from(
    values: Mapping[str, Sequence[str]], topology: Topology, gpus: Gpus | None = None
) -> Request:
    """Turn given options into a Request for this machine. Raises UsageError for those that cannot be read.

    `gpus`: what is known of its GPUs beyond what `topology` says (see `resolve`).
    """

    def text(name: str) -> str | None:
        return values[name][-1] if values.get(name) else None

    def nodes(name: str) -> tuple[int, ...] | None:
        given = text(name)
        return None if given is None else parse_nodes(given, topology)

    def number(name: str) -> int | None:
        given = text(name)
        return None if given is None else whole_number(name, given)

    if "gpu-mode" in values and not wants_gpus(values):
        raise UsageError("--gpu-mode goes with --gpu or --per gpu")
    cpus, size, mode = text("cpus"), text("size"), text("gpu-mode")
    chosen, present = _gpus(values, topology, gpus)
    return Request(
        nodes=nodes("node"),
        cpu_nodes=nodes("cpunodebind"),
        cpus=_cpus(cpus, topology) if cpus is not None else None,
        memory=_memory(values, topology),
        per=cast("Per | None", _one_of("per", text("per"), get_args(Per))),
        gpus=chosen,
        gpus_present=present,
        gpu_mode=cast("GpuMode", _one_of("gpu-mode", mode, get_args(GpuMode)) or "node"),
        workers=number("workers"),
        threads=number("threads"),
        smt="no-smt" not in values,
        thp=cast("HugePageMode", _one_of("thp", text("thp"), get_args(HugePageMode)) or "default"),
        size_kib=parse_size(size) if size is not None else None,
        env=dict(_assignment(pair) for pair in values.get("env", ())),
        port=number("port"),
    )


def _gpus(
    values: Mapping[str, Sequence[str]], topology: Topology, gpus: Gpus | None
) -> tuple[tuple[Gpu, ...] | None, tuple[Gpu, ...]]:
    """The GPUs asked for, and all there are."""
    if not wants_gpus(values):
        return None, ()
    from numawise.placement.gpu import choose

    if gpus is None:
        from numawise.machine.gpus.reader import read_gpus

        gpus = read_gpus(topology)
    return choose(values["gpu"][-1] if "gpu" in values else "all", gpus), gpus.present


def _memory(values: Mapping[str, Sequence[str]], topology: Topology) -> MemoryPolicy | None:
    given = [name for name in ("mem", *_POLICY_SPELLINGS) if name in values]
    if len(given) > 1:
        raise UsageError(f"one memory policy at a time, not --{' and --'.join(given)}")
    if not given:
        return None
    name, value = given[0], values[given[0]][-1]
    if name == "mem":
        return parse_policy(value, topology)
    mode = _POLICY_SPELLINGS[name]
    return parse_policy(mode if mode == "local" else f"{mode}:{value}", topology)


def _cpus(text: str, topology: Topology) -> CPUSet:
    if text == "all":
        return topology.allowed.cpus
    if text.startswith("!"):
        return CPUSet(topology.allowed.cpus - CPUSet.parse(text[1:]))
    if text.startswith("+"):
        allowed = list(topology.allowed.cpus)
        places = CPUSet.parse(text[1:])
        if places and max(places) >= len(allowed):
            raise UsageError(f"{text}: only {len(allowed)} CPUs are allowed, so +0 to +{len(allowed) - 1}")
        return CPUSet(allowed[i] for i in places)
    return CPUSet.parse(text)


def whole_number(name: str, text: str, most: int = 65535) -> int:
    """Read a count given to option `name`. Raises UsageError for anything but a whole number from 1 to `most`."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise UsageError(f"--{name} takes a whole number from 1 to {most}, not {text!r}")
    return int(text)


def _one_of(name: str, text: str | None, choices: Sequence[str]) -> str | None:
    if text is not None and text not in choices:
        raise UsageError(f"--{name} takes one of {', '.join(choices)}, not {text!r}")
    return text


def _assignment(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals or not name or "\0" in pair:
        raise UsageError(f"--env takes NAME=VALUE, not {pair!r}")
    return name, value
