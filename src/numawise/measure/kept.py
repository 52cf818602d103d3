"""The measurements of this machine, kept between runs: one file a machine, each part with its own time."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from numawise.errors import NumawiseError, SnapshotError
from numawise.linux.files import write_file
from numawise.linux.home import ensure_folder, file_error, home
from numawise.machine.codec import from_json, to_json
from numawise.machine.saved import refuse_newer
from numawise.measure.values import MEASUREMENTS_VERSION, Measurements

_ALSO = {"device": ("links",)}
"""What else belongs to a part than the list of its name."""


class Merged(NamedTuple):
    """What is kept after a run, and which of its parts did not get in."""

    measurements: Measurements
    held_back: tuple[str, ...]
    """Parts whose new figures have gaps, where the old ones have none: the old ones stay."""


class _Version(msgspec.Struct):
    version: int = 1


def path_of(key: str, folder: Path | None = None) -> Path:
    """Where the measurements of the machine with this topology key are kept."""
    return (folder or home() / "machines") / f"{key}.json"


def load(key: str, folder: Path | None = None) -> Measurements | None:
    """What is kept of the machine with this topology key; None when nothing is.

    Raises SnapshotError naming file and field when it cannot be read as measurements, or is from a newer numawise;
    NumawiseError when the file cannot be opened, or is none (a pipe would be waited for, a device never end).
    """
    path = path_of(key, folder)
    try:
        raw = _bytes_of(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_error("read", path, error) from None
    refuse_newer(str(path), from_json(raw, _Version, source=str(path)).version, MEASUREMENTS_VERSION)
    found = from_json(raw, Measurements, source=str(path))
    if found.topology_key != key:
        raise SnapshotError(
            f"{path}: holds the measurements of another machine ({found.topology_key!r}); remove it, measure again"
        )
    _check_figures(path, found)
    return found


def keep(measurements: Measurements, folder: Path | None = None) -> Path:
    """Keep `measurements` in place of what was there, whole or not at all. Raises NumawiseError."""
    path = path_of(measurements.topology_key, folder)
    ensure_folder(path.parent)
    write_file(path, to_json(measurements, indent=1) + b"\n", mode=0o600)
    return path


def merge(old: Measurements | None, new: Measurements) -> Merged:
    """`new`, with those parts of `old` that `new` did not measure, or measured with gaps where `old` had none.

    Raises SnapshotError when they are of two machines.
    """
    if old is None:
        return Merged(new, ())
    if old.topology_key != new.topology_key:
        raise SnapshotError(
            f"measurements of two machines ({old.topology_key}, {new.topology_key}) cannot be merged"
        )
    held_back = tuple(
        part for part in new.taken if part in old.taken and new.gaps.get(part) and not old.gaps.get(part)
    )
    changes: dict[str, Any] = {
        name: getattr(old, name)
        for part in old.taken
        if part not in new.taken or part in held_back
        for name in (part, *_ALSO.get(part, ()))
    }
    for name in ("gaps", "notes", "taken"):
        before, now = getattr(old, name), getattr(new, name)
        kept = {part: value for part, value in before.items() if part not in new.taken or part in held_back}
        changes[name] = kept | {part: value for part, value in now.items() if part not in held_back}
    changes["incomplete"] = told(changes["gaps"])
    return Merged(msgspec.structs.replace(new, **changes), held_back)


def _bytes_of(path: Path) -> bytes:
    # Without O_NONBLOCK, opening a pipe that nobody writes to waits forever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NumawiseError(f"could not read {path}: not a regular file; remove it, measure again")
        return file.read()


def _check_figures(path: Path, found: Measurements) -> None:
    """Refuse figures that no measurement gives: everything that is predicted is divided by them."""
    for part in ("latency", "bandwidth", "scaling", "pages"):
        for reading in getattr(found, part):
            figure = reading.figure
            if figure is not None and not 0 < figure.median < math.inf:
                raise SnapshotError(
                    f"{path}: a median of {figure.median:g} in `{part}` was never measured; remove it, measure again"
                )


def told(gaps: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """All gaps as lines, each said once with the parts it is about.

    >>> told({"latency": ("node 1: no room",), "pages": ("node 1: no room",)})
    ('latency, pages: node 1: no room',)
    """
    parts: dict[str, list[str]] = {}
    for part, lines in gaps.items():
        for line in lines:
            parts.setdefault(line, []).append(part)
    return tuple(f"{', '.join(names)}: {line}" for line, names in parts.items())
