"""Profiles: a placement that was found, kept by name, with the machine it was found on.

`run --profile` starts here, so this module imports nothing slow (no database, no numpy, no rich).
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from numawise.errors import SnapshotError, UsageError
from numawise.experiment.records import Verdict
from numawise.linux.cpuset import CPUSet
from numawise.linux.files import write_file
from numawise.linux.home import ensure_folder, file_error, home
from numawise.machine.codec import from_json, to_json
from numawise.machine.identity import MachineFacts, NodeFacts, machine_facts
from numawise.machine.topology import Topology
from numawise.placement.values import Plan

PROFILE_VERSION = 1
_NAME_LIMIT = 64
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")


class Profile(msgspec.Struct, frozen=True):
    """A placement to use again, and where it comes from."""

    name: str
    plan: Plan
    command: tuple[str, ...]
    topology_key: str
    machine: MachineFacts
    candidate: str = "default"
    """The candidate's name in its study, and its facts below."""
    policy: str = "default"
    workers: int | None = None
    threads: int | None = None
    smt: bool = True
    thp: str = "default"
    verdict: Verdict | None = None
    created: float = 0.0
    study: str = ""
    numawise_version: str = ""
    version: int = PROFILE_VERSION


def differences(profile: Profile, topology: Topology) -> tuple[str, ...]:
    """In words, each way in which this machine is not the one the profile was found on; empty when it is.

    What the process is allowed to use is not looked at here: `placement.plan` refuses what is not allowed.
    """
    then, now = profile.machine, machine_facts(topology)
    found: list[str] = []
    if then.architecture != now.architecture:
        found.append(f"architecture was {then.architecture or 'unknown'}, is {now.architecture or 'unknown'}")
    nodes_then = {node.id: node for node in then.nodes}
    nodes_now = {node.id: node for node in now.nodes}
    for node_id in sorted(nodes_then.keys() | nodes_now.keys()):
        found.extend(_node_differences(node_id, nodes_then.get(node_id), nodes_now.get(node_id)))
    if then.sockets != now.sockets:
        found.append(f"sockets were {_listing(then.sockets)}, are {_listing(now.sockets)}")
    if then.cores != now.cores:
        found.append(_core_difference(then.cores, now.cores))
    return tuple(found)


def save_profile(profile: Profile, folder: Path | None = None) -> Path:
    """Keep `profile` under its name, in place of an older one of that name; on disk when this returns.

    Args:
        profile: what to keep; its name is checked (`check_name`).
        folder: where; numawise's own `profiles` folder unless given.

    Raises UsageError for a bad name, NumawiseError when it cannot be written.
    """
    path = _path(profile.name, folder)
    ensure_folder(path.parent)
    write_file(path, to_json(profile, indent=2) + b"\n", mode=0o600)
    return path


def load_profile(name: str, folder: Path | None = None) -> Profile:
    """The profile of this name. Whether it fits this machine is the caller's question: `differences`.

    Raises UsageError when there is none, SnapshotError naming file and field when it cannot be read.
    """
    path = _path(name, folder)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(list_profiles(folder)) or "none yet; `numawise tune` makes one"
        raise UsageError(f"no profile {name!r} in {path.parent} (there: {known})") from None
    except OSError as error:
        raise file_error("read", path, error) from None
    version = from_json(raw, _Version, source=str(path)).version
    if version > PROFILE_VERSION:
        raise SnapshotError(
            f"{path}: version {version} is from a newer numawise (this one reads up to {PROFILE_VERSION}); "
            "update numawise, or tune again"
        )
    profile = from_json(raw, Profile, source=str(path))
    if wrong := _what_is_wrong(profile.plan):
        raise SnapshotError(f"{path}: {wrong}; tune again, or mend it")
    return profile


def list_profiles(folder: Path | None = None) -> tuple[str, ...]:
    """The names of the profiles kept, in order."""
    folder = folder or home() / "profiles"
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith(".json")]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise file_error("list", folder, error) from None
    return tuple(sorted(name[:-5] for name in names if not name.startswith(".")))


def check_name(name: str) -> str:
    """`name`, when it can be a file's name everywhere: 1 to 64 of A-Z a-z 0-9 . _ + -, no leading . or -.

    >>> check_name("moe-8x2")
    'moe-8x2'
    """
    if not name or len(name) > _NAME_LIMIT or name[0] in ".-" or not _NAME_CHARACTERS.issuperset(name):
        raise UsageError(
            f"not a profile name: {name[:80]!r}; use 1 to {_NAME_LIMIT} letters, digits and . _ + -, "
            "beginning with a letter or digit"
        )
    return name


def suggest_name(command: tuple[str, ...]) -> str:
    """A name for the profile of this command: the script's or program's own, without folder and ending.

    >>> suggest_name(("python3", "-u", "bench/serve.py", "--port", "80"))
    'serve'
    >>> suggest_name(("/opt/llama/llama-bench", "-m", "model.gguf"))
    'llama-bench'
    >>> suggest_name(("python", "-m", "numawise.workloads.moe_einsum"))
    'moe_einsum'
    """
    words = list(command)
    stem = os.path.basename(words[0]) if words else ""  # noqa: PTH119 - a command is text, not a path of ours
    if stem.startswith(("python", "bash", "sh")):
        module = words[words.index("-m") + 1 :] if "-m" in words else []
        script = [word for word in words[1:] if not word.startswith("-")]
        if module:
            stem = module[0].rpartition(".")[2]
        elif script:
            stem = os.path.splitext(os.path.basename(script[0]))[0]  # noqa: PTH119, PTH122 - likewise
    kept = "".join(c if c in _NAME_CHARACTERS else "-" for c in stem).strip(".-")[:_NAME_LIMIT]
    return kept or "tuned"


def _what_is_wrong(plan: Plan) -> str:
    """What no plan of ours holds, but a file edited by hand may: with no placement, `run` would run nothing."""
    if not plan.placements:
        return "it holds no placement"
    if [placement.rank for placement in plan.placements] != list(range(len(plan.placements))):
        return "the ranks of its placements do not count up from 0"
    for placement in plan.placements:
        if not placement.cpus:
            return f"placement {placement.rank} has no CPU"
        for name, value in placement.env.items():
            if not name or "=" in name or "\0" in name + value:
                return f"placement {placement.rank} has an environment variable that cannot be: {name!r}"
    return ""


class _Version(msgspec.Struct):
    version: int


def _path(name: str, folder: Path | None) -> Path:
    return (folder or home() / "profiles") / f"{check_name(name)}.json"


def _node_differences(node_id: int, then: NodeFacts | None, now: NodeFacts | None) -> list[str]:
    if then is None:
        return [f"node {node_id} was not there"]
    if now is None:
        return [f"node {node_id} is not here"]
    found = []
    if then.cpus != now.cpus:
        found.append(f"node {node_id} had CPUs {str(then.cpus) or 'none'}, has {str(now.cpus) or 'none'}")
    if then.memory_kib != now.memory_kib:
        found.append(f"node {node_id} had {_gib(then.memory_kib)} of memory, has {_gib(now.memory_kib)}")
    return found


def _core_difference(then: tuple[CPUSet, ...], now: tuple[CPUSet, ...]) -> str:
    if len(then) != len(now):
        return f"there were {len(then)} physical cores, are {len(now)}"
    first_then, first_now = next((a, b) for a, b in zip(then, now, strict=True) if a != b)
    return f"SMT siblings are numbered otherwise: CPUs {first_then} were a core, {first_now} are"


def _listing(sets: tuple[CPUSet, ...]) -> str:
    return (
        f"{len(sets)} (CPUs {' and '.join(str(cpus) for cpus in sets[:4])}{' ...' if len(sets) > 4 else ''})"
    )


def _gib(kib: int) -> str:
    return f"{kib / 2**20:.4g} GiB"
