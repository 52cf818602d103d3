"""The one JSON form of every value: CPU sets travel as the kernel's list (`"0-3,8"`)."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from numawise.errors import SnapshotError, UsageError
from numawise.linux.cpuset import CPUSet

T = TypeVar("T")


def to_json(value: Any, *, indent: int = 0) -> bytes:
    """Encode any numawise value as JSON, `indent` spaces deep (0: one line)."""
    raw = msgspec.json.encode(value, enc_hook=_encode)
    return msgspec.json.format(raw, indent=indent) if indent else raw


def from_json(raw: bytes | str, kind: type[T], *, source: str) -> T:
    """Decode `raw` as `kind`. Unknown fields are ignored; raises SnapshotError naming the field and
    `source`.
    """
    try:
        return msgspec.json.decode(raw, type=kind, dec_hook=_decode)
    except (msgspec.DecodeError, UsageError) as error:
        raise SnapshotError(f"{source}: {error}") from None


def _encode(value: Any) -> Any:
    if isinstance(value, CPUSet):
        return str(value)
    raise NotImplementedError(f"no JSON form for {type(value)}")


def _decode(kind: type, value: Any) -> Any:
    if kind is CPUSet and isinstance(value, str):
        return CPUSet.parse(value)
    raise NotImplementedError(f"no JSON form for {kind}")
