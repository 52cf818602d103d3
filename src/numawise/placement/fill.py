"""Filling `{node} {gpu} {rank} {ranks} {threads} {workers} {port}` into commands and environment, for each process."""

from __future__ import annotations

from numawise.errors import UsageError
from numawise.placement.values import Placement

PLACEHOLDERS = ("node", "gpu", "rank", "ranks", "threads", "workers", "port")


def mentions(text: str, *names: str) -> bool:
    """Does `text` hold one of these placeholders?

    >>> mentions("--port={port}", "port", "rank")
    True
    """
    return any("{" + name + "}" in text for name in names)


def fill(text: str, placement: Placement, port: int | None = None) -> str:
    """Replace known placeholders; other braces (JSON, shell, awk) stay as they are.

    `{threads}` is the placement's thread count or, when none was asked for, its number of CPUs. `{gpu}` is the PCI
    address of its GPU, which every vendor's tools take (an index means another GPU once others are hidden).

    Raises UsageError for a placeholder that has no value here.

    >>> from numawise.linux.cpuset import CPUSet
    >>> fill('{rank}/{ranks} {"a": 1}', Placement(rank=1, cpus=CPUSet([2]), ranks=2))
    '1/2 {"a": 1}'
    """
    if "{" not in text:
        return text
    values = {
        "node": placement.node,
        "gpu": ",".join(placement.devices) or None,
        "rank": placement.rank,
        "ranks": placement.ranks,
        "threads": placement.threads if placement.threads is not None else len(placement.cpus),
        "workers": placement.workers if placement.workers is not None else 1,
        "port": port + placement.rank if port is not None else None,
    }
    for name in PLACEHOLDERS:
        if mentions(text, name):
            if values[name] is None:
                raise UsageError(f"{{{name}}} in {text!r} has no value here: {_MISSING[name]}")
            text = text.replace("{" + name + "}", str(values[name]))
    return text


_MISSING = {
    "node": "the process spans several nodes; use --per node or --node N",
    "gpu": "no GPU was asked for; use --gpu G or --per gpu",
    "port": "add --port N",
}
