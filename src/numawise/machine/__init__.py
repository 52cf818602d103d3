"""What this machine (or one in a file) is: `read(root="/") -> Topology`, and `save`.

- `topology`: the value
- `identity`: what makes two machines the same for a placement, and the key that says so
- `codec`: its JSON form, and that of every other value
- `reader`: `read`, which puts together what the readers below find
- `cpus`, `nodes`, `memory_kind`, `devices`, `allowed`: one subject each
- `gpus`: what placing next to a GPU needs to know beyond that: numbering, UUIDs, witnesses of its node
- `root`, `archive`: the tree that is read: live system, folder, or `.tar.gz`
- `snapshot`: `save`, which writes such a `.tar.gz`
- `saved`: `load`, for a Topology in JSON
- `published`: machines whose figures somebody published, by name and by kind
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numawise.machine.reader import read as read
    from numawise.machine.saved import load as load
    from numawise.machine.snapshot import save as save

__all__ = ["load", "read", "save"]

_HOMES = {"read": "reader", "load": "saved", "save": "snapshot"}


def __getattr__(name: str) -> object:
    # Whoever needs the value alone (a plan, a report) does not pay for the reader.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
