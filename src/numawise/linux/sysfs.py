"""Text of `/sys` and `/proc` files, turned into values. Pure: no file is opened here.

Every function answers None for text it cannot make sense of: old kernels, firmware and damaged snapshots all
leave strange files behind, and the reader then turns to the next witness.
"""

from __future__ import annotations

import re

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet

_MAC_IN_NAME = re.compile(r"^[a-z]{2}x[0-9a-f]{12,16}$")


def parse_list(text: str | None) -> frozenset[int] | None:
    """The ids of a list file (`0-3,8`); None when the text is missing or not a list.

    >>> sorted(parse_list("0-2,8"))
    [0, 1, 2, 8]
    >>> parse_list("3-1") is None
    True
    """
    if text is None:
        return None
    if text.isdigit() and len(text) < 5:  # by far the most common: one CPU
        return frozenset((int(text),))
    try:
        return frozenset(CPUSet.parse(text))
    except UsageError:
        return None


def parse_map(text: str | None) -> frozenset[int] | None:
    """The ids of a hex map file (`00000001,000000ff`); None when the text is missing, not hex, or absurdly
    long.
    """
    if not text or len(text) > 40_000:
        return None
    try:
        return frozenset(CPUSet.from_hex_map(text))
    except UsageError:
        return None


def parse_int(text: str | None) -> int | None:
    """A whole number in decimal, or in hexadecimal after `0x`; None for anything else.

    >>> parse_int("0x030200"), parse_int("-1"), parse_int("n/a")
    (197120, -1, None)
    """
    if text is None:
        return None
    try:
        return int(text, 16) if text.startswith("0x") else int(text)
    except ValueError:
        return None


def parse_size_kib(text: str | None) -> int | None:
    """A cache's `size` file, such as `32768K` or `32M`, in KiB."""
    if not text:
        return None
    number = parse_int(text.rstrip("KMG"))
    if number is None:
        return None
    return number << {"K": 0, "M": 10, "G": 20}.get(text[-1], 0)


def chosen(text: str | None) -> str | None:
    """The bracketed word of a file that lists choices.

    >>> chosen("always [madvise] never")
    'madvise'
    """
    found = re.search(r"\[(\S+)\]", text or "")
    return found.group(1) if found else None


def field(text: str | None, name: str) -> str | None:
    """The value of the first `name: value` line, with or without `Node N` before it.

    >>> field("Node 0 MemTotal:  1024 kB", "MemTotal")
    '1024 kB'
    """
    found = re.search(rf"^(?:Node \d+ )?{re.escape(name)}[ \t]*:[ \t]*(.*?)[ \t]*$", text or "", re.MULTILINE)
    return found.group(1) if found else None


def field_kib(text: str | None, name: str) -> int | None:
    """The value of a `name: N kB` line, in KiB."""
    value = field(text, name)
    return parse_int(value.split()[0]) if value else None


def processor_ids(cpuinfo: str | None) -> list[dict[str, str]]:
    """The blocks of `/proc/cpuinfo`, one per online CPU: the only witness where `/sys` has no CPUs."""
    blocks: list[dict[str, str]] = []
    for line in (cpuinfo or "").splitlines():
        key, colon, value = line.partition(":")
        key = key.strip()
        if not colon:
            continue
        # s390 writes a line a CPU: "processor 0: version = FF, ..."
        if key.startswith("processor ") and key[10:].isdigit():
            key, value = "processor", key[10:]
        if key == "processor" and value.strip().isdigit():
            blocks.append({})
        if blocks:
            blocks[-1][key] = value.strip()
    return blocks


def embeds_mac_address(interface: str) -> bool:
    """Whether udev built the interface's name from its MAC address (`enx0123456789ab`)."""
    return _MAC_IN_NAME.match(interface) is not None
