"""`measure` places its buffers where it says, judged by numa_maps, and gives no figure where it could not."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from programs import numa_maps
from vm.inside.tools import NUMAWISE, cpuset, holding, numawise_json, offline, refuse

# Speed means nothing under emulation: small buffers and few repeats, which the output says; and no haste on a host that
# has other things to do.
SMALL = ("--quick", "--buffer", "8M", "--seconds", "300")
MEDIUM = ("--quick", "--buffer", "16M", "--seconds", "300")
MIB = 1 << 10  # in KiB
NODE_CPUS = {0: {0, 1}, 1: {2, 3}}
EVERY_PAIR = {(cpus, memory) for cpus in (0, 1) for memory in (0, 1, 2)}
PLACED = ("latency", "bandwidth", "aggregate", "scaling", "pages", "smt")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMAWISE_HOME", str(tmp_path))
    return tmp_path


class Watched(NamedTuple):
    """A finished measurement, KiB by node under each policy while it ran, and its home."""

    found: dict[str, Any]
    seen: dict[str, dict[int, int]]
    home: Path


def pairs(readings: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """CPU node and memory node of those that have a figure."""
    return {(one["cpu_node"], one["memory"][0]) for one in readings if one["figure"]}


def cpus_of(reading: dict[str, Any]) -> set[int]:
    found: set[int] = set()
    for span in reading["cpus"].split(","):
        first, _, last = span.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@contextmanager
def measuring(*words: str, prefix: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*prefix, *NUMAWISE, "measure", *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)


def bound_kib(process: subprocess.Popen[str], node: int) -> int:
    """KiB in mappings bound to this node, wherever they are."""
    if process.poll() is not None:
        return 0
    return sum(numa_maps.kib_by_node(process.pid, f" bind:{node} ").values())


def result_of(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, json.loads(out), err


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """All parts measured once, and meanwhile the most that numa_maps showed under each policy."""
    home = tmp_path_factory.mktemp("home")
    seen: dict[str, dict[int, int]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMAWISE_HOME", str(home))
        with measuring(*MEDIUM) as process:
            while process.poll() is None:
                with suppress(FileNotFoundError, ProcessLookupError):
                    for word in (" bind:0 ", " bind:1 ", " bind:2 ", " interleave:0-1 "):
                        now = numa_maps.kib_by_node(process.pid, word)
                        if sum(now.values()) >= sum(seen.get(word, {}).values()):
                            seen[word] = now
                time.sleep(0.2)
            code, found, err = result_of(process)
    assert code == 0, err
    return Watched(found, seen, home)


def test_every_part_has_its_figures(watched: Watched):
    found = watched.found
    assert pairs(found["latency"]) == EVERY_PAIR
    for kernel in ("read", "write_nt", "copy_nt"):
        assert pairs([one for one in found["bandwidth"] if one["kernel"] == kernel]) == EVERY_PAIR
    assert [0, 1] in [one["memory"] for one in found["aggregate"] if one["figure"]]
    assert [len(cpus_of(one)) for one in found["smt"]] == [1, 2, 1, 2]
    assert [one["page_kib"] for one in found["pages"]] == [4, 2048]
    assert {point["latency"]["memory"][0] for point in found["loaded"]} == {0, 1}
    assert max(point["gb_per_s"] for point in found["loaded"]) > 0
    assert [cpus_of(one) for one in found["core_to_core"]] == [{0, 2}]
    readings = [one for part in PLACED for one in found[part]]
    readings += [point["latency"] for point in found["loaded"]]
    for one in readings:
        assert one["figure"], one["why"]
        assert one["on_target"] >= 0.99
        assert one["buffer_kib"] <= 16 * MIB
        if one["cpu_node"] is not None:
            assert cpus_of(one) <= NODE_CPUS[one["cpu_node"]]  # node 2, without CPUs, is a target only
    # Buffers smaller than the caches are said to be so.
    assert any("--buffer" in line for line in found["incomplete"])


def test_it_is_kept(watched: Watched):
    (kept,) = (watched.home / "machines").glob("*.json")
    assert kept.stem == watched.found["topology_key"]
    assert json.loads(kept.read_text())["latency"] == watched.found["latency"]


def test_buffers_were_where_it_says(watched: Watched):
    for node in (0, 1, 2):
        on = watched.seen[f" bind:{node} "]
        assert sum(on.values()) >= 15 * MIB
        assert on[node] == sum(on.values())
    both = watched.seen[" interleave:0-1 "]
    assert sum(both.values()) >= 15 * MIB
    assert abs(both[0] / sum(both.values()) - 0.5) < 0.02


def test_where_binding_is_refused_first_touch_places_and_is_looked_at():
    refused = refuse("mbind", "set_mempolicy", "move_pages")
    found = numawise_json("measure", "latency", *SMALL, prefix=refused, timeout=300)
    assert pairs(found["latency"]) == {(0, 0), (1, 0), (0, 1), (1, 1)}
    for one in found["latency"]:
        if one["memory"] == [2]:
            assert "mbind answered EPERM" in one["why"]
        else:
            assert one["on_target"] >= 0.99
            assert "first touch" in one["note"]
    assert any("EPERM" in line for line in found["incomplete"])


def test_a_cpuset_leaves_holes_with_their_reason():
    with cpuset("2-3", "1") as prefix:
        found = numawise_json("measure", "latency", *SMALL, prefix=prefix, timeout=300)
    assert pairs(found["latency"]) == {(1, 1)}
    holes = [one for one in found["latency"] if not one["figure"]]
    assert {(one["cpu_node"], one["memory"][0]) for one in holes} == EVERY_PAIR - {(1, 1)}
    assert all("allowed" in one["why"] for one in holes)
    assert found["incomplete"]


def test_a_cpu_taken_away_meanwhile_costs_its_figures_only():
    with measuring("latency", *MEDIUM) as process:
        wait_for(lambda: bound_kib(process, 0) > 0)
        with offline(2):
            code, found, err = result_of(process)
    assert code == 0, err
    assert {memory for cpus, memory in pairs(found["latency"]) if cpus == 0} == {0, 1, 2}
    gone = [one for one in found["latency"] if one["cpu_node"] == 1]
    assert all(not one["figure"] and "CPU 2" in one["why"] for one in gone[-2:])
    assert any("CPU 2" in line for line in found["incomplete"])


def test_ctrl_c_keeps_what_was_measured(own_home: Path):
    with measuring("latency", *MEDIUM) as process:
        wait_for(lambda: bound_kib(process, 1) > 0)
        process.send_signal(signal.SIGINT)
        code, found, err = result_of(process)
    assert code == 130
    assert "interrupted" in err
    assert pairs(found["latency"]) >= {(0, 0), (1, 0)}
    assert any("interrupted" in line for line in found["incomplete"])
    (kept,) = (own_home / "machines").glob("*.json")
    assert json.loads(kept.read_text())["latency"] == found["latency"]


def test_a_full_node_is_not_driven_out_of_memory():
    with holding("400", "--split", "2=100") as (pid, _, _):
        found = numawise_json(
            "measure", "latency", "--quick", "--buffer", "60M", "--seconds", "300", timeout=300
        )
        assert numa_maps.kib_by_node(pid)[2] >= 390 * MIB  # nobody was killed, nothing pushed out
    small = [one for one in found["latency"] if one["memory"] == [2]]
    assert all(0 < one["buffer_kib"] < 60 * MIB for one in small if one["figure"])
    for one in small:
        assert "room" in one["why"] or "less memory is free" in one["note"], one
    assert all(one["figure"] for one in found["latency"] if one["memory"] != [2])
