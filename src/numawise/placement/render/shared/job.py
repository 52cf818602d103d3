"""What an export is made of, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from numawise.errors import UsageError
from numawise.placement.fill import fill
from numawise.placement.values import Placement, Plan

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


class Job(msgspec.Struct, frozen=True):
    """A plan and what is to run under it.

    `name` is what units, services, pods and files are called; `image` the container image; `listen` the port of a
    front; `port` that of the first process (the others count up); `size_kib` the memory each process is going to need.

    >>> Job(Plan(()), name="two words")
    Traceback (most recent call last):
    ...
    numawise.errors.UsageError: --name takes up to 40 small letters, digits and '-', a letter first, not 'two words'
    """

    plan: Plan
    command: tuple[str, ...] = ()
    port: int | None = None
    listen: int = 8080
    image: str = ""
    name: str = "numawise"
    size_kib: int | None = None

    def __post_init__(self) -> None:
        # Good everywhere: a DNS label (Kubernetes), a unit, a service, an upstream, a file.
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"--name takes up to 40 small letters, digits and '-', a letter first, not {self.name!r}"
            )
        if re.search(r"^-|[^!-~]", self.image):
            raise UsageError(f"not the name of an image: {self.image!r}")

    def words(self, placement: Placement, otherwise: Sequence[str] = ("COMMAND",)) -> list[str]:
        """The command of one process, placeholders filled in; `otherwise` when there is none.

        An empty `otherwise` says that these are arguments only, which go to a container's own entry point.
        Raises UsageError for a program that tools would take for an option of theirs.
        """
        words = [fill(word, placement, self.port) for word in self.command] or list(otherwise)
        if otherwise and (not words[0] or words[0].startswith("-")):
            raise UsageError(f"a command begins with the name of a program, not with {words[0]!r}")
        return words

    def name_of(self, placement: Placement) -> str:
        """`name`, and the rank where there are several."""
        return f"{self.name}-{placement.rank}" if len(self.plan.placements) > 1 else self.name

    def ports(self, why: str) -> list[int]:
        """The port of each process. Raises UsageError, saying `why` they are needed, when none was given."""
        if self.port is None:
            raise UsageError(f"{why}: add --port N, the first process's port")
        return [self.port + placement.rank for placement in self.plan.placements]


class Export(NamedTuple):
    """File name -> text (one for most tools), and what there is to know beside it: above all, what is lost."""

    files: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it; several files one after the other, each under a comment with its name."""
        if len(self.files) == 1:
            return next(iter(self.files.values()))
        return "\n".join(f"# {name}\n{text}" for name, text in self.files.items())


def placeholders(job: Job, *, image: bool = False, command: bool = True) -> Iterator[str]:
    """Notes on the words in the text that stand for something not given."""
    if command and not job.command:
        yield "COMMAND stands for your program; written after -- it is filled in"
    if image and not job.image:
        yield "IMAGE stands for your container image; --image NAME fills it in"


def unsaid(placement: Placement, tool: str) -> list[str]:
    """What no tool but `run` can do for a process."""
    if placement.thp != "never":
        return []
    return [
        f"--thp never is lost: {tool} cannot switch transparent huge pages off for one process "
        "(numawise run does, with prctl)"
    ]


def by_rank(job: Job, notes: Iterable[tuple[Placement, str]]) -> tuple[str, ...]:
    """Notes on placements, each with the ranks it holds for; for all of them, without."""
    ranks: dict[str, list[int]] = {}
    for placement, note in notes:
        ranks.setdefault(note, []).append(placement.rank)
    every = len(job.plan.placements)
    return tuple(
        note if len(found) == every else f"rank {','.join(map(str, found))}: {note}"
        for note, found in ranks.items()
    )
