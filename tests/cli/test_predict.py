"""`numawise predict`: says what it expects and why, on any machine, and refuses what cannot be meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def predict(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "numawise", "predict", *words],
        env={**os.environ, "NUMAWISE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def predicted(*words: str, home: Path) -> dict[str, dict[str, float]]:
    done = predict(*words, "--json", home=home)
    assert done.returncode == 0, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["candidates"]}


def test_a_published_machine_is_predicted_for_without_running_anything(tmp_path: Path):
    found = predicted(
        "--machine", "2x-xeon-8358", "--bytes", "100G", "--first-touch", "one",
        "--candidate", "--per node", "--candidate", "--mem interleave:all", "--candidate", "--node 0 --threads 1",
        home=tmp_path,
    )  # fmt: skip
    assert found["--per node"]["ratio"] < found["--mem interleave:all"]["ratio"] < 1
    assert found["--node 0 --threads 1"]["ratio"] > 2
    for each in found.values():
        assert each["low"] < each["ratio"] < each["high"]
        assert each["reason"]


def test_without_candidates_those_of_tune_are_predicted(tmp_path: Path):
    found = predicted("--machine", "2x-skylake", "--bytes", "10G", home=tmp_path)
    assert {"bind:0", "interleave", "per-node"} <= set(found)


def test_a_program_is_run_once_to_see_what_it_does(tmp_path: Path):
    mark = tmp_path / "runs"
    program = f"open({str(mark)!r}, 'a').write('x'); sum(range(3_000_000))"
    done = predict("--json", "--", sys.executable, "-c", program, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert mark.read_text() == "x"
    work = json.loads(done.stdout)["work"]
    assert work["core_s"] > 0 and work["footprint_kib"] > 0


def test_where_nothing_was_measured_it_says_so_and_how_to(tmp_path: Path):
    done = predict("--bytes", "10G", home=tmp_path)
    assert done.returncode == 0
    assert "numawise measure" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--machine", "2x-xeon-1"), "2x-xeon-8358"),
        (("--machine", "gh200", "--root", "/tmp/x"), "one of them"),
        (("--machine", "gh200", "--", "true"), "only be run here"),
        (("--bytes", "lots"), "--bytes"),
        (("--bytes", "-3G"), "--bytes"),
        (("--latency-bound", "0.5"), "--bytes"),
        (("--copies", "0.5"), "--gpu"),
        (("--bytes", "1G", "--gpu", "17"), "no such GPU"),
        (("--workload", "nothing"), "moe_einsum"),
        (("--bytes", "1G", "--", "true"), "leave --bytes"),
        (("--candidate", "--node 99"), "node 99"),
        (("--first-touch", "never"), "first-touch"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(words: tuple[str, ...], said: str, tmp_path: Path):
    done = predict(*words, home=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_program_that_fails_is_not_predicted(tmp_path: Path):
    done = predict("--", "false", home=tmp_path)
    assert done.returncode == 4 and "fails as it is" in done.stderr


def test_a_damaged_profile_is_named(tmp_path: Path):
    from numawise.machine import read
    from numawise.machine.identity import topology_key

    (tmp_path / "machines").mkdir()
    (tmp_path / "machines" / f"{topology_key(read('/'))}.json").write_text('{"half": ')
    done = predict("--bytes", "1G", home=tmp_path)
    assert done.returncode == 2 and "machines" in done.stderr


def _keep_measurements(home: Path) -> None:
    """What measuring would have kept of this machine, with figures made up."""
    from numawise.linux.cpuset import CPUSet
    from numawise.machine import read
    from numawise.machine.identity import machine_facts, topology_key
    from numawise.measure import kept
    from numawise.measure.figure import Figure
    from numawise.measure.values import Measurements, Reading

    topology = read("/")
    cpu_nodes = [node for node in topology.nodes if node.cpus]
    memory_nodes = [node.id for node in topology.nodes if node.memory_kib]

    def readings(value: float, kernel: str) -> tuple[Reading, ...]:
        figure = Figure(best=value, median=value, mad=0.0, repeats=5)
        return tuple(
            Reading(CPUSet(node.cpus), node.id, (memory,), figure, kernel=kernel)
            for node in cpu_nodes
            for memory in memory_nodes
        )

    measured = Measurements(
        topology_key=topology_key(topology),
        machine=machine_facts(topology),
        created=1.0,
        latency=readings(100.0, "chase"),
        bandwidth=readings(25.0, "read"),
        taken={"latency": 1.0, "bandwidth": 1.0},
    )
    kept.keep(measured, home / "machines")


@pytest.mark.parametrize(
    ("measured", "options", "wanted"), [(True, [], True), (True, ["--no-predict"], False), (False, [], False)]
)
def test_tune_predicts_where_the_machine_was_measured(
    measured: bool, options: list[str], wanted: bool, tmp_path: Path
):
    from numawise.experiment.store import Store

    if measured:
        _keep_measurements(tmp_path)
    words = ["tune", *options, "--thp", "default", "--threads", "1,2", "--budget", "20", "--json", "--quiet"]
    program = [sys.executable, "-c", "sum(range(300_000))", "{threads}"]
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one CPU leaves nothing to tune")
    done = subprocess.run(
        [sys.executable, "-m", "numawise", *words, "--", *program],
        env={**os.environ, "NUMAWISE_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["not_tried"] == {}  # too few candidates to leave any out
    with Store.open(tmp_path / "runs.sqlite") as store:
        study = store.study(store.list()[0].id)
    expected = [
        candidate.expected is not None for candidate in study.candidates if candidate.name != "default"
    ]
    assert expected and all(each is wanted for each in expected)
    assert study.candidates[0].expected is None


def test_measured_figures_are_used_and_nothing_asks_for_them(tmp_path: Path):
    _keep_measurements(tmp_path)
    done = predict("--bytes", "10G", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    form = json.loads(done.stdout)
    assert form["machine"]["origin"] == "measured"
    assert not any("makes its profile" in note for note in form["notes"])


@pytest.mark.parametrize("amount", ["1GG", "1Gk", "GG", "0.5", "1e-300"])
def test_amounts_that_mean_nothing_are_refused(tmp_path: Path, amount: str):
    done = predict("--machine", "2x-skylake", "--bytes", amount, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and f"not {amount!r}" in done.stderr


def test_ratios_do_not_depend_on_the_size_of_the_work(tmp_path: Path):
    small, large = (
        predicted("--machine", "2x-skylake", "--bytes", amount, home=tmp_path)["bind:0"]["ratio"]
        for amount in ("1", "100G")
    )
    assert small == pytest.approx(large) and small != 1


def test_what_no_machine_or_node_holds_gets_no_prediction(tmp_path: Path):
    done = predict("--machine", "2x-skylake", "--bytes", "1G", "--footprint", "1000T", home=tmp_path)
    assert done.returncode == 2 and "GiB free in all" in done.stderr
    words = ("--machine", "2x-skylake", "--bytes", "1G")
    fits = predicted(*words, home=tmp_path)
    node = read_topology_of("2x-skylake")
    past = f"{node + 2**20 >> 20}G"
    left = predicted(*words, "--footprint", past, home=tmp_path)
    told = predict(*words, "--footprint", past, home=tmp_path).stdout
    assert "do not hold it: bind:0, bind:1" in told and "more" in told.splitlines()[-1]
    assert "bind:0" in fits and "bind:0" not in left and "interleave" in left


def read_topology_of(name: str) -> int:
    """KiB of a node of a published machine."""
    from numawise.machine import published

    return published.get(name).topology().nodes[0].memory_kib
