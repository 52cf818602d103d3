"""Numactl's spelling of sets of nodes and CPUs: `0-3,8`, `all`, `!1`, `+0-1`, `same`, `netdev:eth0`.

The other options of numawise take the kernel's plain lists (`linux.cpuset`); this is for people and scripts that
write numactl lines. Pure: what a device's node is comes from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from numawise.errors import UsageError
from numawise.linux.cpuset import MAX_ID, format_list

DEVICES = ("netdev", "file", "ip", "block", "pci")
"""What may stand before a colon instead of numbers."""

_DECIMAL, _HEXADECIMAL = frozenset("0123456789"), frozenset("0123456789abcdefABCDEF")
_MOST_DIGITS = 9

Locate = Callable[[str, str], Iterable[int]]
"""From a kind of device and its name to its nodes; raises UsageError when nobody knows them."""


class Ids(NamedTuple):
    """The ids that a text may name."""

    what: str
    """`node` or `CPU`, for messages."""
    existing: frozenset[int]
    """All there are; `!` means all of these but the ones named."""
    allowed: frozenset[int]
    """Those this process may use: `all` means these, `+N` counts through them, and no other may be named."""
    previous: frozenset[int] | None = None
    """What `same` means: the nodes named last."""
    locate: Locate | None = None
    """Who knows the nodes of devices; None: they cannot be named here."""


def parse(text: str, ids: Ids) -> frozenset[int]:
    """The ids that `text` names. Never empty.

    - `N`, `N-M`, comma-separated; ids inside a range that are not allowed are passed over, its two ends must be allowed
    - `all`: every allowed id
    - `+` before the list: numbers count through the allowed ids, from 0
    - `!` before it all: every existing id but those
    - `same`: the nodes named last; `netdev:IF`, `file:PATH`, `ip:ADDRESS`, `block:DEVICE`, `pci:ADDRESS`: nodes only

    Raises UsageError, which says what is wrong with the text but does not repeat all of it.

    >>> here = Ids("node", existing=frozenset({0, 1, 4}), allowed=frozenset({1, 4}))
    >>> sorted(parse("!1", here)), sorted(parse("+1", here)), sorted(parse("all", here))
    ([0, 4], [4], [1, 4])
    """
    inverted = text.startswith("!")
    body = text.removeprefix("!")
    kind, colon, name = body.partition(":")
    if body == "same" and ids.what == "node":
        if ids.previous is None:
            raise UsageError("'same' means the nodes named last, and none were named before it")
        named = ids.previous
    elif colon and kind in DEVICES and ids.locate is not None:
        named = frozenset(ids.locate(kind, name))
    else:
        named = _listed(body, ids)
    result = ids.existing - named if inverted else named
    if not result:
        raise UsageError(f"that is no {ids.what} at all")
    return result


def _listed(body: str, ids: Ids) -> frozenset[int]:
    relative = body.startswith("+")
    order = sorted(ids.allowed)
    found: set[int] = set()
    for item in body.removeprefix("+").split(","):
        if item == "all":
            found |= ids.allowed
            continue
        first_text, dash, last_text = item.partition("-")
        first = _number(first_text, item, ids.what)
        last = _number(last_text, item, ids.what) if dash else first
        if first > last:
            raise UsageError(f"the range {item} runs backwards; write {last}-{first}")
        for end in (first, last):
            _check(end, ids, relative)
        found |= (
            {order[n] for n in range(first, last + 1)}
            if relative
            else set(range(first, last + 1)) & ids.allowed
        )
    return frozenset(found)


def _number(text: str, item: str, what: str) -> int:
    """A decimal or (0x) hexadecimal number."""
    digits = text.strip()
    hexadecimal = digits[:2] in ("0x", "0X")
    known = _HEXADECIMAL if hexadecimal else _DECIMAL
    bare = digits[2:] if hexadecimal else digits
    if not bare or not set(bare) <= known:
        raise UsageError(f"{item!r} is neither a {what}, a range of them, nor 'all'")
    if len(bare) > _MOST_DIGITS or (number := int(bare, 16 if hexadecimal else 10)) > MAX_ID:
        raise UsageError(f"{item!r} is past any {what} that Linux has ({MAX_ID})")
    if not hexadecimal and bare[0] == "0" and number > 7:
        raise UsageError(f"{digits} would be octal to numactl; write {number} if that is meant")
    return number


def _check(number: int, ids: Ids, relative: bool) -> None:
    if relative and number >= len(ids.allowed):
        raise UsageError(
            f"+{number} counts past the {len(ids.allowed)} {ids.what}s allowed here ({format_list(ids.allowed)})"
        )
    if not relative and number not in ids.existing:
        raise UsageError(f"{ids.what} {number} does not exist; there are {format_list(ids.existing)}")
    if not relative and number not in ids.allowed:
        raise UsageError(f"{ids.what} {number} is not allowed here; {format_list(ids.allowed)} are")
