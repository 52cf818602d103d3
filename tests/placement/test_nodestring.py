"""Numactl's spelling of nodes and CPUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numawise.errors import UsageError
from numawise.linux.cpuset import format_list
from numawise.placement.nodestring import Ids, parse

NODES = Ids("node", existing=frozenset({0, 1, 2, 4, 8}), allowed=frozenset({1, 4, 8}))
CPUS = Ids("CPU", existing=frozenset(range(8)), allowed=frozenset({2, 3, 6}))
TEXTS = st.text(alphabet="0123456789,-+!alx: \tsmenf", max_size=12)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1", {1}),
        ("1,8", {1, 8}),
        ("1-8", {1, 4, 8}),  # 2 is in between, but not allowed
        ("all", {1, 4, 8}),
        ("1,all", {1, 4, 8}),
        ("+0", {1}),
        ("+0,2", {1, 8}),
        ("+1-2", {4, 8}),
        ("+all", {1, 4, 8}),
        ("!1", {0, 2, 4, 8}),
        ("!+0", {0, 2, 4, 8}),
        ("!all", {0, 2}),
        ("4,4", {4}),
        ("0x4", {4}),
        ("04", {4}),
        (" 1", {1}),
    ],
)
def test_what_a_text_names(text: str, named: set[int]):
    assert parse(text, NODES) == named


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither a node"),
        ("!", "neither a node"),
        ("1,,4", "neither a node"),
        ("1-", "neither a node"),
        ("-1", "neither a node"),
        ("x", "neither a node"),
        ("1:2", "neither a node"),
        ("+!1", "neither a node"),
        ("0x", "neither a node"),
        ("1_0", "neither a node"),
        ("²", "neither a node"),
        ("netdev:eth0", "neither a node"),  # nobody here who knows devices
        ("3", "does not exist"),
        ("1-9", "does not exist"),
        ("2", "not allowed"),
        ("1-2", "not allowed"),
        ("+3", "counts past"),
        ("8-1", "backwards"),
        ("010", "octal"),
        ("99999999999999999999", "past any node"),
        ("70000", "past any node"),
        ("same", "named last"),
    ],
)
def test_what_cannot_be_meant_says_so(text: str, said: str):
    with pytest.raises(UsageError, match=said):
        parse(text, NODES)


def test_nothing_at_all_is_an_error():
    with pytest.raises(UsageError, match="no CPU at all"):
        parse("!all", CPUS._replace(existing=CPUS.allowed))


def test_same_means_the_nodes_named_before():
    assert parse("same", NODES._replace(previous=frozenset({4}))) == {4}
    assert parse("!same", NODES._replace(previous=frozenset({4}))) == {0, 1, 2, 8}
    with pytest.raises(UsageError, match="neither a CPU"):
        parse("same", CPUS._replace(previous=frozenset({2})))


def test_devices_are_asked_for_by_kind_and_name():
    asked = []

    def locate(kind: str, name: str) -> set[int]:
        asked.append((kind, name))
        return {8}

    here = NODES._replace(locate=locate)
    assert parse("pci:0000:51:00.0", here) == {8}
    assert parse("!file:/a,b", here) == {0, 1, 2, 4}
    assert asked == [("pci", "0000:51:00.0"), ("file", "/a,b")]


@given(st.sets(st.sampled_from(sorted(CPUS.allowed)), min_size=1))
def test_the_kernels_own_lists_mean_what_they_say(cpus: set[int]):
    assert parse(format_list(cpus), CPUS) == cpus


@given(TEXTS)
def test_any_text_names_something_that_exists_or_is_refused(text: str):
    try:
        named = parse(text, CPUS)
    except UsageError as error:
        assert "\n" not in str(error)
        return
    assert named
    assert named <= CPUS.existing
    assert text.startswith("!") or named <= CPUS.allowed
