"""Finding published machines: by name, or those of the same kind as a machine at hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from numawise.errors import UsageError
from numawise.machine.codec import from_json
from numawise.machine.published.values import Normal, Published
from numawise.machine.topology import Topology

_FOLDER = Path(__file__).parent / "data"


def names() -> tuple[str, ...]:
    """The names of all published machines, sorted.

    >>> "2x-xeon-8358" in names()
    True
    """
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def get(name: str) -> Published:
    """The machine of this name. Raises UsageError, naming those there are, when there is none.

    >>> link = get("2x-xeon-8358").link("socket")
    >>> link.latency_ns, link.gb_per_s
    ((140.0, 140.0), 110.0)
    """
    if name not in names():
        raise UsageError(f"no published machine is called {name!r}; there are {', '.join(names())}")
    path = _FOLDER / f"{name}.json"
    machine = from_json(path.read_bytes(), Published, source=path.name)
    return msgspec.structs.replace(machine, name=name)


def similar(topology: Topology) -> tuple[Published, ...]:
    """The published machines of the same kind: sockets, nodes with CPUs, vendor, kinds of memory; by name.

    Where the vendor is not known (a container may hide it), those of every vendor count.
    """
    wanted, vendor = _kind(topology), vendor_of(topology)
    return tuple(
        machine
        for machine in map(get, names())
        if _kind(machine.topology()) == wanted and vendor in (None, machine.vendor)
    )


def normal(topology: Topology) -> Normal | None:
    """What memory of the other socket is on machines of this kind; None when there is none of it.

    >>> found = normal(get("2x-skylake").topology())
    >>> [f"{share:.0%}" for share in found.bandwidth_ratio]
    ['30%', '56%']
    """
    machines = similar(topology)
    if not machines:
        return None
    pairs = [(m.link("local"), m.link("socket")) for m in machines]
    known = [(local, far) for local, far in pairs if local is not None and far is not None]
    return Normal(
        machines=tuple(machine.name for machine in machines),
        latency_ratio=_range(
            far_end / near_end
            for local, far in known
            if local.latency_ns and far.latency_ns
            for near_end, far_end in zip(local.latency_ns, far.latency_ns, strict=True)
        ),
        bandwidth_ratio=_range(
            far.gb_per_s / local.gb_per_s for local, far in known if local.gb_per_s and far.gb_per_s
        ),
        local_latency_ns=_range(end for local, _ in pairs if local for end in local.latency_ns or ()),
        local_gb_per_s=_range(local.gb_per_s for local, _ in pairs if local and local.gb_per_s),
    )


def vendor_of(topology: Topology) -> str | None:
    """`intel`, `amd`, `nvidia` or `other`; None when the machine does not say.

    Grace is recognised by its cores (Neoverse V2), which other machines of aarch64 may have too.
    """
    text = topology.model_name.lower()
    for word, vendor in (("intel", "intel"), ("amd", "amd"), ("grace", "nvidia"), ("neoverse-v2", "nvidia")):
        if word in text:
            return vendor
    return "other" if text else None


def _kind(topology: Topology) -> tuple[int, int, frozenset[str], bool]:
    kinds = frozenset(node.kind for node in topology.nodes if node.memory_kib)
    # A machine that does not list its sockets has at least one.
    sockets = max(1, len(topology.sockets))
    return sockets, sum(bool(node.cpus) for node in topology.nodes), kinds, topology.architecture == "aarch64"


def _range(values: Iterable[float]) -> tuple[float, float] | None:
    found = list(values)
    return (min(found), max(found)) if found else None
