"""The texts a wish is written in: what reads, and the one clear line for what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import two_sockets

from numawise.errors import UsageError
from numawise.placement.request import parse_nodes, parse_policy, parse_size
from numawise.placement.values import MemoryPolicy


@pytest.mark.parametrize(
    ("text", "kib"),
    [("200G", 200 * 1024**2), ("1.2G", 1258292), ("1k", 1), ("3MiB", 3072), ("2TB", 2 * 1024**3)],
)
def test_sizes(text: str, kib: int) -> None:
    assert parse_size(text) == kib


@given(st.text(max_size=12))
def test_any_other_text_is_a_usage_error(text: str) -> None:
    try:
        assert parse_size(text) >= 1
    except UsageError as error:
        assert "amount of memory" in str(error)


@pytest.mark.parametrize("text", ["", "-1G", "nan", "inf", "G", "1X", "1e99G", "0"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "nodes"), [("0", (0,)), ("all", (0, 8, 9)), ("!0", (8, 9)), ("+1", (8,)), ("0,8", (0, 8))]
)
def test_node_lists(text: str, nodes: tuple[int, ...]) -> None:
    assert parse_nodes(text, two_sockets(ids=(0, 8), cpuless=True), memory=True) == nodes


def test_all_nodes_for_a_process_are_those_with_cpus() -> None:
    assert parse_nodes("all", two_sockets(cpuless=True)) == (0, 1)


@pytest.mark.parametrize("text", ["3-1", "x", "", "7", "+5", "0,,y", "-1"])
def test_node_lists_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_nodes(text, two_sockets())


def test_policies() -> None:
    machine = two_sockets()
    assert parse_policy("interleave:0,1", machine) == MemoryPolicy("interleave", (0, 1))
    assert parse_policy("bind", machine) == MemoryPolicy("bind")
    for text in ("bnd:0", "local:0", "bind:", "bind:9"):
        with pytest.raises(UsageError):
            parse_policy(text, machine)
