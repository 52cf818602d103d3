"""Sets of CPUs (or nodes) and the kernel's two spellings of them: the list `0-3,8` and the hex map `ff,00000001`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from numawise.errors import UsageError

# A list such as "0-4000000000" is a typing error or an attack, not a machine; the kernel's own limit is 8192.
MAX_ID = 65535


class CPUSet(Set[int]):
    """An immutable, ordered set of CPU ids, by OS id. Prints and travels (JSON) as the kernel's list form.

    >>> CPUSet.parse("8,0-3")
    CPUSet('0-3,8')
    >>> sorted(CPUSet.parse("0-3") & CPUSet([2, 3, 4]))
    [2, 3]
    """

    __slots__ = ("_ids",)

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._ids = frozenset(ids)

    @classmethod
    def parse(cls, text: str) -> CPUSet:
        """Read the kernel's list form: `0-3,8`, `0-6:2` (every second), or empty.

        Raises UsageError for anything else, including a range that runs backwards.
        """
        ids: set[int] = set()
        for part in text.strip().strip("\0").split(","):
            item = part.strip()
            if item:
                ids.update(_parse_range(item, text))
        return cls(ids)

    @classmethod
    def from_hex_map(cls, text: str) -> CPUSet:
        """Read the kernel's hex map, groups of 32 bits from high to low: `00000001,000000ff`.

        >>> CPUSet.from_hex_map("1,000000f0")
        CPUSet('4-7,32')
        """
        groups = text.strip().strip("\0").split(",")
        try:
            bits = int("".join(group.strip().rjust(8, "0") for group in groups), 16)
        except ValueError:
            raise UsageError(f"not a hex CPU map: {text.strip()!r}") from None
        return cls(i for i in range(bits.bit_length()) if bits >> i & 1)

    def __and__(self, other: Set[object]) -> CPUSet:
        # What planning for a thousand CPUs spends its time on: the inherited one asks CPU by CPU.
        return CPUSet(self._ids & other._ids if isinstance(other, CPUSet) else self._ids.intersection(other))

    def __contains__(self, item: object) -> bool:
        return item in self._ids

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._ids))

    def __len__(self) -> int:
        return len(self._ids)

    def __hash__(self) -> int:
        return hash(self._ids)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CPUSet):
            return self._ids == other._ids
        return NotImplemented

    def __str__(self) -> str:
        return format_list(self._ids)

    def __repr__(self) -> str:
        return f"CPUSet('{self}')"


def format_list(ids: Iterable[int]) -> str:
    """Write ids in the kernel's list form.

    >>> format_list([3, 0, 1, 2, 8])
    '0-3,8'
    """
    parts: list[str] = []
    ordered = sorted(set(ids))
    i = 0
    while i < len(ordered):
        j = i
        while j + 1 < len(ordered) and ordered[j + 1] == ordered[j] + 1:
            j += 1
        parts.append(str(ordered[i]) if i == j else f"{ordered[i]}-{ordered[j]}")
        i = j + 1
    return ",".join(parts)


def _parse_range(item: str, whole: str) -> range:
    span, _, stride_text = item.partition(":")
    first_text, dash, last_text = span.partition("-")
    numbers = (first_text, last_text if dash else first_text, stride_text or "1")
    if not all(n.strip().isascii() and n.strip().isdigit() for n in numbers) or (
        ":" in item and not stride_text
    ):
        raise UsageError(f"not a list of ids: {whole.strip()!r} (at {item!r}); write it like 0-3,8")
    first, last, stride = (int(n) for n in numbers)
    if first > last:
        raise UsageError(f"the range {item!r} runs backwards; write {last}-{first}")
    if last > MAX_ID or stride < 1:
        raise UsageError(f"out of range in a list of ids: {item!r} (ids go up to {MAX_ID})")
    return range(first, last + 1, stride)
