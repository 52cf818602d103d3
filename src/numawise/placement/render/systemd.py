"""A plan as systemd service units, one a process.

Sources: systemd.exec(5) CPUAffinity=, NUMAPolicy=, NUMAMask=, Environment=; systemd.service(5) "Command lines".
"""

from __future__ import annotations

import re

from numawise.errors import UsageError
from numawise.linux.cpuset import format_list
from numawise.placement.render.numactl import policy_options
from numawise.placement.render.shared.job import Export, Job, by_rank, placeholders, unsaid
from numawise.placement.render.shared.quoting import VARIABLE, comments, systemd_word, under_env
from numawise.placement.values import Placement

USES = ("name",)

_POLICIES = ("bind", "preferred", "interleave", "local")
_EXECUTABLE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+-]*|(?:/[A-Za-z0-9_.+-]+)+")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f]"
)  # what Environment= refuses (systemd 252, env_value_is_valid)


def render(job: Job) -> Export:
    """One file a unit. Raises UsageError for a program with a relative path, which a unit cannot start."""
    notes: list[tuple[Placement, str]] = []
    files: dict[str, str] = {}
    for placement in job.plan.placements:
        said = [*_wrapped(placement), *unsaid(placement, "systemd")]
        notes += ((placement, note) for note in said)
        files[f"{job.name_of(placement)}.service"] = "\n".join([*_unit(job, placement, said), ""])
    several = ["several files, one after the other: --write DIR writes each"] if len(files) > 1 else []
    return Export(files, (*placeholders(job), *several, *by_rank(job, notes)))


def _unit(job: Job, placement: Placement, said: list[str]) -> list[str]:
    policy = placement.memory
    of = f" ({placement.rank} of 0 to {placement.ranks - 1})" if placement.ranks > 1 else ""
    lines = ["[Unit]", f"Description={job.name}, placed by numawise{of}", "", "[Service]"]
    lines += [*comments([*said, "Without User= this runs as root."]), f"CPUAffinity={placement.cpus}"]
    if policy.mode in _POLICIES:
        lines.append(f"NUMAPolicy={policy.mode}")
        lines += [f"NUMAMask={format_list(policy.nodes)}"] if policy.nodes else []
    odd = {}
    for name, value in placement.env.items():
        if VARIABLE.fullmatch(name) and not _CONTROL.search(value):
            lines.append(f"Environment={systemd_word(f'{name}={value}', command=False)}")
        else:
            odd[name] = value
    words = " ".join(systemd_word(word, command=True) for word in _command(job, placement, odd))
    return [*lines, f"ExecStart={words}", "", "[Install]", "WantedBy=multi-user.target"]


def _command(job: Job, placement: Placement, odd: dict[str, str]) -> list[str]:
    words = job.words(placement)
    if "/" in words[0] and not words[0].startswith("/"):
        raise UsageError(
            f"a systemd unit starts programs by absolute path or plain name: write {words[0]!r} in full"
        )
    if placement.memory.mode not in (*_POLICIES, "default"):
        words = ["numactl", *policy_options(placement.memory), *words]
    words = under_env(odd, words)
    if _EXECUTABLE.fullmatch(words[0]):
        return words
    # systemd reads the first word by rules of its own (prefixes such as @, no doubled dollars); env has fewer.
    if "=" in words[0]:
        raise UsageError(
            f"a systemd unit cannot start a program called {words[0]!r}; give it a name without ="
        )
    return ["/usr/bin/env", *words]


def _wrapped(placement: Placement) -> list[str]:
    policy = placement.memory
    if policy.mode in (*_POLICIES, "default"):
        return []
    return [
        f"memory policy {policy.mode} {format_list(policy.nodes)}: NUMAPolicy= has no word for it; numactl sets it, "
        "which the machine must have"
    ]
