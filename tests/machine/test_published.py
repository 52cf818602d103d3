"""Published machines: every file can be used, says where its fields are from, and is found by its kind."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from machines import one_node, two_sockets

from numawise.errors import UsageError
from numawise.machine import published
from numawise.machine.codec import from_json, to_json
from numawise.machine.published.values import Published
from numawise.machine.topology import Topology
from numawise.placement.plan import plan
from numawise.placement.request import Request

DATA = Path(published.__file__).parent / "data"


def test_there_is_a_machine_for_each_file_and_for_nothing_else():
    assert set(published.names()) == {path.stem for path in DATA.iterdir()}


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="2x-xeon-8358"):
        published.get("2x-xeon-9999")


@pytest.mark.parametrize("name", published.names())
class TestEveryFile:
    def test_holds_only_fields_that_are_read(self, name: str):
        held = json.loads((DATA / f"{name}.json").read_text("utf-8"))
        assert set(held) <= set(Published.__struct_fields__) - {"name"}
        assert published.get(name).name == name

    def test_says_where_it_is_from(self, name: str):
        machine = published.get(name)
        assert machine.source and machine.specification and machine.title
        assert set(machine.origins) <= set(Published.__struct_fields__)
        assert machine.links

    def test_gives_figures_in_the_range_of_real_machines(self, name: str):
        for link in published.get(name).links:
            assert link.latency_ns or link.gb_per_s
            if link.latency_ns:
                assert 30 <= link.latency_ns[0] <= link.latency_ns[1] <= 2000
            assert link.gb_per_s is None or 1 <= link.gb_per_s <= 10_000

    def test_names_no_relation_twice_and_its_own_memory_is_the_nearest(self, name: str):
        machine = published.get(name)
        relations = [link.relation for link in machine.links]
        assert len(relations) == len(set(relations))
        local = machine.link("local")
        for link in machine.links:
            if local and link.relation in ("domain", "socket", "two-hops", "cxl"):
                assert local.gb_per_s is None or link.gb_per_s is None or local.gb_per_s >= link.gb_per_s
                assert (
                    not local.latency_ns or not link.latency_ns or local.latency_ns[0] <= link.latency_ns[0]
                )

    def test_is_a_machine_that_can_be_planned_for(self, name: str):
        machine = published.get(name)
        topology = machine.topology()
        assert len(topology.cpus) == machine.sockets * machine.cores_per_socket * machine.threads_per_core
        assert len(topology.nodes) == machine.nodes + len(machine.extra_nodes)
        assert [node.id for node in topology.nodes] == list(range(len(topology.nodes)))
        assert sum(len(node.cpus) for node in topology.nodes) == len(topology.cpus)
        assert len(plan(topology, Request(per="node")).placements) == machine.nodes
        assert from_json(to_json(topology), Topology, source="itself") == topology

    def test_is_found_by_its_own_kind(self, name: str):
        assert name in {each.name for each in published.similar(published.get(name).topology())}


def test_relations_are_between_nodes_of_the_topology():
    machine = published.get("2x-epyc-9224-cxl")
    assert [machine.relation(0, node) for node in range(5)] == ["local", "domain", "socket", "socket", "cxl"]
    with pytest.raises(KeyError):
        machine.relation(4, 0)  # the CXL node has no CPU


def test_a_machine_of_no_published_kind_has_no_range():
    assert published.similar(one_node()) == ()
    assert published.normal(one_node()) is None


def test_a_machine_that_hides_its_name_is_compared_with_those_of_every_vendor():
    hidden = two_sockets()
    assert hidden.model_name == ""
    found = {machine.name for machine in published.similar(hidden)}
    assert {"2x-xeon-8358", "2x-skylake"} <= found
    named = msgspec.structs.replace(hidden, model_name="AMD EPYC 7763 64-Core Processor")
    assert "2x-xeon-8358" not in {machine.name for machine in published.similar(named)}


def test_the_range_spans_the_machines_of_the_kind():
    topology = published.get("2x-xeon-6980p").topology()
    normal = published.normal(topology)
    assert normal is not None and len(normal.machines) >= 6
    assert normal.bandwidth_ratio is not None and normal.latency_ratio is not None
    for machine in published.similar(topology):
        local, far = machine.link("local"), machine.link("socket")
        assert local and far and local.gb_per_s and far.gb_per_s
        assert normal.bandwidth_ratio[0] <= far.gb_per_s / local.gb_per_s <= normal.bandwidth_ratio[1]
