"""Measurements in a terminal: everything measured is there, fits 80 columns, and what is missing comes first."""

from __future__ import annotations

import io
import os
import pty
import re

import made_measurements
import msgspec
import pytest
from made_measurements import MACHINES, TWO

from numawise.machine.topology import Topology
from numawise.measure.claims import claims
from numawise.measure.values import Measurements
from numawise.report import measurements_text


def text(measurements: Measurements, topology: Topology | None) -> str:
    said = claims(measurements, topology) if topology else ()
    return "\n".join(line for _, line in measurements_text.lines(measurements, topology, said))


@pytest.mark.parametrize("name", MACHINES)
def test_it_fits_80_columns(name: str) -> None:
    lines = text(*MACHINES[name]).split("\n")
    assert [line for line in lines if len(line) > 80] == []


def test_two_nodes_are_told_in_full() -> None:
    measurements, topology = TWO
    said = text(measurements, topology)
    for reading in (*measurements.latency, *measurements.bandwidth):
        assert reading.figure is not None
        cell = rf"{reading.figure.median:.1f} \+-{reading.figure.mad:.1f} \({reading.figure.best:.1f}\)"
        assert re.search(cell, said), reading
    assert "latency of other nodes' memory: 1.61 times" in said
    assert "counted: read + written" in said
    assert re.search(r"node 0, read: saturates at \d+ cores of 36", said)
    assert re.search(r"more than twice the idle\s+latency beyond \d+ GB/s", said)
    assert "one L3 domain" in said
    assert "across sockets" in said


def test_claims_stand_below_what_they_speak_of() -> None:
    said = " ".join(text(*TWO).split())
    latency = said[said.index("Latency, ns") : said.index("Bandwidth, GB/s")]
    assert "SLIT says 2.1 times the own for node 1 from node 0 and node 0 from node 1" in latency
    assert "23% below what is claimed" in latency
    assert "published for machines of this kind: 80 to 130 ns" in latency
    assert ": as published" in latency


def test_what_is_missing_comes_before_any_figure_and_beside_its_place() -> None:
    measurements, topology = MACHINES["gaps"]
    lines = list(measurements_text.lines(measurements, topology, ()))
    said = "\n".join(line for _, line in lines)
    assert said.index("incomplete: memory of node 1") < said.index("Latency, ns")
    assert "incomplete: loaded latency: mbind refused (EPERM)" in said
    assert re.search(r"^node 0 .*\(.*\) +none$", said, re.MULTILINE)
    assert "none: node 1 from node 0; node 1 from node 1: node 1 has 0.4 GiB free" in said
    assert {style for style, line in lines if line.startswith(("incomplete", "none:"))} == {"open"}


def test_every_node_has_its_column_however_many_there_are() -> None:
    said = text(*MACHINES["sixteen"])
    block = said[said.index("Latency, ns") : said.index("Bandwidth, GB/s")]
    assert re.findall(r"node \d+", "\n".join(re.findall(r"CPUs \\ memory.*", block))) == [
        f"node {i}" for i in range(16)
    ]
    assert len(re.findall(r"^node \d+ ", block, re.MULTILINE)) % 16 == 0
    assert "the median absolute deviation is at most" in block


def test_devices_and_their_links_are_told() -> None:
    said = text(*MACHINES["gpus"])
    assert "NVIDIA A100-SXM4-80GB, host-to-device, GB/s" in said
    assert re.search(r"0000:b1:00.0 \(node 1\) +21\.\d \+-0\.043 +26", said)
    assert "PCIe 4.0 x16" in said
    assert said.count("NV12") == 12
    assert "NVLinks (3.0)" in said


def test_parts_that_were_not_measured_say_nothing() -> None:
    measurements, _ = TWO
    bare = Measurements(measurements.topology_key, measurements.machine, measurements.created)
    assert len(text(bare, None).split("\n")) == 2


def test_notes_are_told_once() -> None:
    measurements, topology = TWO
    noted = msgspec.structs.replace(
        measurements,
        notes={"latency": ("one node: the matrix is 1x1",)},
        latency=tuple(msgspec.structs.replace(r, note="caches can hold it") for r in measurements.latency),
    )
    said = text(noted, topology)
    assert said.count("note: one node: the matrix is 1x1") == 1
    assert said.count("note: caches can hold it") == 1


def test_control_characters_of_a_stored_file_do_not_reach_the_terminal() -> None:
    measurements, topology = TWO
    evil = "evil\x1b[31m\x00\x07"
    odd = msgspec.structs.replace(
        measurements,
        model_name=evil,
        numawise_version=evil,
        incomplete=(evil,),
        settings={evil: evil},
        latency=tuple(
            msgspec.structs.replace(r, figure=None, why=evil, kernel=evil) for r in measurements.latency
        ),
        bandwidth=tuple(
            msgspec.structs.replace(r, kernel=evil, bytes_counted=evil) for r in measurements.bandwidth
        ),
        aggregate=tuple(msgspec.structs.replace(r, kernel=evil) for r in measurements.aggregate),
        smt=tuple(msgspec.structs.replace(r, kernel=evil) for r in measurements.smt),
        scaling=tuple(msgspec.structs.replace(r, kernel=evil) for r in measurements.scaling),
    )
    gpus, _ = made_measurements.with_gpus(odd, topology)
    odd = msgspec.structs.replace(
        gpus,
        device=tuple(msgspec.structs.replace(r, name=evil, device=evil) for r in gpus.device),
        links=tuple(msgspec.structs.replace(k, nvlink_version=evil, second=evil) for k in gpus.links),
    )
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text(odd, topology))


def test_a_terminal_gets_colour_and_a_pipe_none() -> None:
    measurements, topology = MACHINES["gaps"]
    plain = io.StringIO()
    measurements_text.show(measurements, topology, file=plain)
    assert "\x1b" not in plain.getvalue()
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        bare = msgspec.structs.replace(
            measurements, latency=(), bandwidth=(), aggregate=(), scaling=(), pages=(), smt=(), settings={}
        )
        measurements_text.show(bare, topology, file=terminal)
        terminal.flush()
        assert b"\x1b[" in os.read(leader, 65536)
    os.close(leader)
