"""What is claimed of the same quantities (SLIT, HMAT, publications), beside what was measured, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from numawise.measure.claims import Claim
from numawise.report.measurements_view import number

_CLOSE = 0.1
"""As claimed: within so much of it."""


class ClaimGroup(msgspec.Struct, frozen=True):
    """Pairs of nodes of which one source says the same."""

    source: str
    quantity: str
    claimed: str
    measured: str
    pairs: str
    verdict: str
    """`as claimed`, or how far off, the farthest of the pairs."""
    close: bool


def groups(claims: Iterable[Claim], quantity: str = "") -> tuple[ClaimGroup, ...]:
    """Claims of one quantity (all if not given), put together where source and claim are the same."""
    found: dict[tuple[str, str, str, float, float], list[Claim]] = {}
    for claim in claims:
        if not quantity or claim.quantity == quantity:
            key = (claim.source, claim.quantity, claim.unit, claim.low, claim.high)
            found.setdefault(key, []).append(claim)
    return tuple(_group(group) for group in found.values())


def _group(claims: Sequence[Claim]) -> ClaimGroup:
    one = claims[0]
    farthest = max((_off(claim) for claim in claims), key=abs)
    low, high = min(claim.measured for claim in claims), max(claim.measured for claim in claims)
    close = abs(farthest) <= _CLOSE
    said = "published" if one.source == "published" else "claimed"
    way = "above" if farthest > 0 else "below"
    return ClaimGroup(
        source=one.source,
        quantity=one.quantity,
        claimed=_amount(one.low, one.high, one.unit),
        measured=_amount(low, high, one.unit),
        pairs=_pairs(claims),
        verdict=f"as {said}" if close else f"{100 * abs(farthest):.0f}% {way} what is {said}",
        close=close,
    )


def sentence(group: ClaimGroup) -> str:
    """`SLIT says 2.1 times the own for node 1 from node 0; measured 1.61: 23% below what is claimed`."""
    who = "published for machines of this kind:" if group.source == "published" else f"{group.source} says"
    return f"{who} {group.claimed} for {group.pairs}; measured {group.measured}: {group.verdict}"


def short_claim(claims: Iterable[Claim], quantity: str, cpu_node: int, memory_node: int) -> str:
    """The claims on one figure as short as they go: `SLIT 2.1x, HMAT 90 ns`."""
    return ", ".join(
        f"{claim.source} {_brief(claim)}"
        for claim in claims
        if (claim.quantity, claim.cpu_node, claim.memory_node) == (quantity, cpu_node, memory_node)
    )


def _brief(claim: Claim) -> str:
    span = _span(claim.low, claim.high)
    return f"{span}x" if claim.unit == "of own" else f"{span} {claim.unit}"


def _off(claim: Claim) -> float:
    """How far the figure is outside of what is claimed, as a share of the nearer end; 0 inside."""
    if claim.measured > claim.high:
        return claim.measured / claim.high - 1 if claim.high else 0.0
    return min(0.0, claim.measured / claim.low - 1) if claim.low else 0.0


def _amount(low: float, high: float, unit: str) -> str:
    return f"{_span(low, high)} times the own" if unit == "of own" else f"{_span(low, high)} {unit}"


def _span(low: float, high: float) -> str:
    ends = dict.fromkeys((number(low), number(high)))
    return " to ".join(ends)


def _pairs(claims: Sequence[Claim]) -> str:
    names = [
        f"node {claim.memory_node}"
        + ("" if claim.cpu_node == claim.memory_node else f" from node {claim.cpu_node}")
        for claim in claims
    ]
    if len(names) <= 2:
        return " and ".join(names)
    return f"{len(names)} {'nodes' if all(c.cpu_node == c.memory_node for c in claims) else 'pairs of nodes'}"
