"""`numawise numactl ...`: the classic tool's options, output and exit codes, without libnuma or its binary.

Bypasses click like `run`: it stands in front of programs, and takes its arguments as getopt_long(3) does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from numawise.cli.classic.complaint import Complaint, refused
from numawise.cli.classic.getopt import BadOption, Reader
from numawise.cli.classic.numactl_options import AFTER_OPTIONS, OPTIONS, POLICIES, SHAPE_OPTIONS, USAGE
from numawise.cli.classic.policies import Naming, check_numa, run_on_cpus, run_on_nodes, set_policy

if TYPE_CHECKING:
    from numawise.cli.classic.segments import Shared


def console() -> NoReturn:
    """The script `numawise-numactl`, which a link called `numactl` may point to."""
    from numawise.cli.main import alone

    alone(main)


def main(words: Sequence[str]) -> int:
    """Do what `numactl WORDS` does; does not come back from a command that could be started. Else the exit code."""
    job = _Job(words)
    try:
        return job.run()
    except Complaint as complaint:
        print(f"numactl: {complaint}", file=sys.stderr)
        if complaint.usage:
            print(USAGE, file=sys.stderr)
        return 1
    finally:
        job.close()


class _Job:
    """One call of numactl: options act in the order they are given in."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._naming = Naming()
        self._balancing = False
        self._policy_set = False
        self._strict = False
        self._shape: dict[str, str] = {}
        self._shared: Shared | None = None
        self._code = 0

    def close(self) -> None:
        """Let go of shared memory."""
        if self._shared:
            self._shared.close()

    def run(self) -> int:
        """Act on all options, then start the command."""
        reader = Reader(self._words, OPTIONS)
        try:
            for option, value in reader:
                ended = self._act(option, value)
                if ended is not None:
                    return ended
        except BadOption as error:
            raise Complaint(str(error), usage=True) from None
        if self._shared:
            if reader.rest:
                raise Complaint("a command cannot be started together with --shm or --file", usage=True)
            return self._code
        useless = [option for option in self._shape if option != "shmid"]
        if useless:
            raise Complaint(f"shm related option --{useless[0]} for process", usage=True)
        if not reader.rest:
            raise Complaint("no command to run", usage=True)
        if self._strict:
            print("numactl: warning. Strict flag for process ignored.", file=sys.stderr)
        return _start(reader.rest)

    def _act(self, option: str, value: str) -> int | None:
        """Act on one option; gives the exit code when it is the last thing to do."""
        if option in ("help", "version", "hardware", "show"):
            return self._tell(option)
        if option in POLICIES:
            self._set_policy(option, value)
        elif option in ("cpunodebind", "physcpubind"):
            self._bind_cpus(option, value)
        elif option in SHAPE_OPTIONS:
            if self._shared:
                raise Complaint(f"--{option} must be before shared memory specification", usage=True)
            self._shape[option] = value
        elif option in ("shm", "file"):
            self._open(option, value)
        elif option in AFTER_OPTIONS:
            self._look(option)
        elif option == "all":
            self._naming.everything = True
        elif option == "balancing":
            if self._policy_set:
                raise Complaint("--balancing must come before the memory policy", usage=True)
            self._balancing = True
        elif option == "strict":
            self._strict = True
            if self._shared:
                self._shared.strict = True
        return None

    def _tell(self, option: str) -> int:
        if option == "hardware":
            check_numa()
            from numawise.cli.classic import hardware

            nodes = hardware.read_nodes()
            compress = any(len(word) > 5 and "--cpu-compress".startswith(word) for word in self._words)
            _print(
                [hardware.json_text(nodes)]
                if "--json" in self._words
                else hardware.lines(nodes, compress=compress)
            )
        elif option == "show":
            check_numa()
            from numawise.cli.classic import show

            _print(show.lines())
        elif option == "version":
            from numawise.version import installed_version

            print(f"numawise {installed_version()}, numactl's options as of 2.0.19")
        else:
            print(USAGE)
        return 0

    def _set_policy(self, option: str, value: str) -> None:
        check_numa()
        if self._policy_set:
            raise Complaint("Conflicting policies", usage=True)
        nodes = self._naming.for_memory(value) if option != "localalloc" else frozenset()
        if option == "preferred" and len(nodes) > 1:
            raise Complaint(
                f"<{value}> is invalid: --preferred takes one node, --preferred-many several", usage=True
            )
        self._policy_set = True
        if self._shared:
            self._shared.set_policy(option, nodes)
        else:
            set_policy(option, nodes, balancing=self._balancing)

    def _bind_cpus(self, option: str, value: str) -> None:
        if self._shared or self._shape:
            raise Complaint(f"shared memory has no CPUs: --{option} is for processes", usage=True)
        if option == "physcpubind":
            run_on_cpus(self._naming.cpus(value))
        else:
            check_numa()
            run_on_nodes(self._naming.for_cpus(value))

    def _open(self, option: str, value: str) -> None:
        check_numa()
        if self._policy_set:
            raise Complaint("specify policy after --shm/--file", usage=True)
        if self._shared:
            raise Complaint("one --shm or --file at a time", usage=True)
        from numawise.cli.classic.segments import Shared

        self._shared = Shared(self._shape, strict=self._strict)
        if option == "shm":
            self._shared.open_segment(value)
        else:
            self._shared.open_file(value)

    def _look(self, option: str) -> None:
        if self._shared is None:
            if option == "verify":
                raise Complaint(
                    "--verify must be after shared memory specification (the version: --version)", usage=True
                )
            raise Complaint(f"--{option} must be after shared memory specification", usage=True)
        if option == "touch":
            self._shared.touch()
        elif option == "verify":
            for line in self._shared.verify():
                print(line, file=sys.stderr)
                self._code = 1
        else:
            _print(self._shared.dump() if option == "dump" else self._shared.dump_nodes())


def _start(command: Sequence[str]) -> int:
    from numawise.linux.become import become

    raise refused(f"execution of `{command[0]}'", become(command))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def __getattr__(name: str) -> Any:
    """The click command, made when `--help` asks for it."""
    if name != "command":
        raise AttributeError(name)
    from numawise.cli.classic.command import click_command

    summary = "Run a program with numactl's options, or show nodes and policies as numactl does."
    return click_command("numactl", summary, OPTIONS, main)
