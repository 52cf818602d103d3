"""CPU sets read the kernel's two spellings, refuse everything else in one line, and print what they read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numawise.errors import UsageError
from numawise.linux.cpuset import MAX_ID, CPUSet, format_list

ids = st.frozensets(st.integers(0, 2000), max_size=200)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("\n", set()),
        ("0", {0}),
        ("0-3,8\n", {0, 1, 2, 3, 8}),
        ("0-6:2", {0, 2, 4, 6}),
        (" 1 , 3-4 ", {1, 3, 4}),
        ("0-1,", {0, 1}),
        ("0-3\0", {0, 1, 2, 3}),
        ("5,5,4-6", {4, 5, 6}),
    ],
)
def test_reads_the_list_form(text: str, expected: set[int]) -> None:
    assert set(CPUSet.parse(text)) == expected


@pytest.mark.parametrize(
    "text", ["3-1", "a", "-1", "1-", "0x3", "1:2:3", "0-3:", "0-3:0", "1 2", "٣", "0-99999", "1e3", "0--2"]
)
def test_refuses_what_is_no_list_and_says_what_it_read(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        CPUSet.parse(text)
    assert "\n" not in str(caught.value)
    assert any(part in str(caught.value) for part in (text, "99999"))


def test_a_range_that_runs_backwards_is_turned_round_in_the_advice() -> None:
    with pytest.raises(UsageError, match="write 1-3"):
        CPUSet.parse("0,3-1")


def test_the_largest_id_is_the_limit() -> None:
    assert CPUSet.parse(str(MAX_ID)) == CPUSet([MAX_ID])
    with pytest.raises(UsageError, match="out of range"):
        CPUSet.parse(str(MAX_ID + 1))


@given(ids)
def test_what_is_printed_reads_back(some: frozenset[int]) -> None:
    assert CPUSet.parse(format_list(some)) == CPUSet(some)


@given(ids)
def test_the_hex_map_says_the_same_as_the_list(some: frozenset[int]) -> None:
    digits = f"{sum(1 << i for i in some):x}"
    digits = digits.rjust(-(-len(digits) // 8) * 8, "0")
    groups = ",".join(digits[i : i + 8] for i in range(0, len(digits), 8))
    assert CPUSet.from_hex_map(groups + "\n") == CPUSet(some)


def test_a_short_first_group_of_the_hex_map_keeps_its_place() -> None:
    assert CPUSet.from_hex_map("f,00000000") == CPUSet.parse("32-35")


@pytest.mark.parametrize("text", ["xyz", "1,2x", "-1"])
def test_refuses_what_is_no_hex_map(text: str) -> None:
    with pytest.raises(UsageError, match="hex CPU map"):
        CPUSet.from_hex_map(text)


@given(ids, ids)
def test_is_an_ordered_set_by_value(one: frozenset[int], other: frozenset[int]) -> None:
    a, b = CPUSet(one), CPUSet(other)
    assert list(a) == sorted(one)
    assert set(a | b) == one | other
    assert set(a - b) == one - other
    assert isinstance(a & b, CPUSet)
    assert (a == b) == (one == other)
    assert hash(CPUSet(sorted(one))) == hash(a)
    assert (a <= b) == (one <= other)
