"""How two GPUs are linked, decided from what a driver tells. Pure: nothing is asked here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from numawise.measure.device_values import DeviceLink, LinkPath

_ADDRESS = re.compile(r"\s*(?:([0-9a-f]+):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.([0-7]))?\s*", re.IGNORECASE)

_PATHS: dict[int, LinkPath] = {
    0: "board",
    10: "switch",
    20: "switches",
    30: "host-bridge",
    40: "node",
    50: "system",
}
"""`nvmlGpuTopologyLevel_t` of nvml.h: INTERNAL, SINGLE, MULTIPLE, HOSTBRIDGE, NODE, SYSTEM."""


class LinkEnd(NamedTuple):
    """One active NVLink of a GPU."""

    address: str
    """PCI address of what is at the other end; empty when the driver does not say."""
    switch: bool
    """An NVSwitch is there."""
    version: str = ""


def same_address(one: str, other: str) -> bool:
    """Whether two texts name one PCI function: CUDA, NVML and Linux write the domain in 4, 8 or more digits.

    >>> same_address("0000:17:00.0", "00000000:17:00.0"), same_address("10000:17:00.0", "0000:17:00.0")
    (True, False)
    """
    first, second = parsed(one), parsed(other)
    return first is not None and first == second


def parsed(address: str) -> tuple[int, int, int, int] | None:
    """Domain, bus, device and function; None for what is no PCI address."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return None
    domain, bus, device, function = (int(part or "0", 16) for part in found.groups())
    return domain, bus, device, function


def link_between(
    first: str, second: str, level: int, ends: tuple[Sequence[LinkEnd], Sequence[LinkEnd]], *, reaches: bool
) -> DeviceLink:
    """The link of two GPUs.

    Args:
        first: PCI address of the one.
        second: of the other.
        level: `nvmlGpuTopologyLevel_t` of the two.
        ends: the active NVLinks of both.
        reaches: the driver says that NVLink carries traffic between them. An NVSwitch joins all that it is wired to
            only in the partition it is set up with, so that links to switches alone prove nothing.
    """
    straight = [end for end in ends[0] if not end.switch and same_address(end.address, second)]
    switched = [[end for end in side if end.switch] for side in ends]
    if straight:
        return DeviceLink(first, second, _path(level), len(straight), _version(straight))
    # As nvidia-smi counts them: what the one with fewer links to switches has.
    fewer = min(switched, key=len)
    if fewer and reaches:
        return DeviceLink(first, second, _path(level), len(fewer), _version(fewer), through_switch=True)
    return DeviceLink(first, second, _path(level))


def _path(level: int) -> LinkPath:
    return _PATHS.get(level, "unknown")


def _version(ends: Sequence[LinkEnd]) -> str:
    return Counter(end.version for end in ends).most_common(1)[0][0]
