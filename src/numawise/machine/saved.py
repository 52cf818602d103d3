"""A machine as JSON: what `numawise topology --json` prints, read back."""

from __future__ import annotations

import os

import msgspec

from numawise.errors import SnapshotError
from numawise.machine.codec import from_json
from numawise.machine.root import read_file
from numawise.machine.topology import Topology

VERSION = Topology.__struct_defaults__[-1]


class _Versioned(msgspec.Struct):
    version: int = 1


def load(path: str | os.PathLike[str]) -> Topology:
    """The Topology in a JSON file. Raises SnapshotError naming the file and what is wrong with it."""
    name = os.fspath(path)
    raw = read_file(name)
    version = from_json(raw, _Versioned, source=name).version
    refuse_newer(name, version, VERSION)
    return from_json(raw, Topology, source=name)


def refuse_newer(name: str, version: int, known: int) -> None:
    """Raise SnapshotError when `name` is in a form that this numawise is too old for."""
    if version > known:
        raise SnapshotError(
            f"{name}: written by a newer numawise (form {version}, this one reads up to {known}); "
            "update numawise to read it"
        )


def looks_like_json(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a regular file that begins as a JSON object."""
    if not os.path.isfile(path):  # noqa: PTH113 - pathlib costs start-up time
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(64).lstrip().startswith(b"{")
    except OSError:
        return False  # whoever opens it next says what is wrong
