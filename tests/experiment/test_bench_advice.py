"""The rules: each says its sentence where its figures call for it, and nothing where they do not."""

from __future__ import annotations

import functools
import math
import operator
from pathlib import Path

import made_up_bench as made_up
import msgspec
import pytest
from machines import one_node, two_sockets

from numawise.experiment.bench import rules
from numawise.experiment.bench.advice import Advice, advice, rule_names
from numawise.experiment.records import Candidate, Study, Trial


def said(
    begun: Study | None = None,
    physics: made_up.Physics = made_up.memory_bound,
    noise: float = 0.01,
    **changes: object,
) -> dict[str, list[Advice]]:
    """What is said of a bench, by rule."""
    study, trials, outcome = made_up.carried_out(begun or made_up.study(**changes), physics, noise=noise)
    found: dict[str, list[Advice]] = {}
    for each in advice(study, trials, outcome):
        found.setdefault(each.rule, []).append(each)
    return found


def test_each_rule_is_a_file_that_speaks_under_its_own_name() -> None:
    folder = Path(rules.__path__[0])
    assert set(rule_names()) == {f.stem.replace("_", "-") for f in folder.glob("*.py")} - {"--init--"}
    for name in rule_names():
        source = (folder / f"{name.replace('-', '_')}.py").read_text()
        assert f'"{name}"' in source, f"{name} says who it is"


def test_a_better_placement_is_recommended_with_its_options() -> None:
    (best, *_) = said(own=True)["best-placement"]
    assert "numawise run --node " in best.sentence
    assert best.tone == "do"
    assert best.evidence["high"] < 1  # type: ignore[operator]


def test_where_nothing_matters_leave_it_is_said_and_nothing_recommended() -> None:
    found = said(made_up.study(own=True), made_up.nothing_matters)
    assert "leave-it" in found
    assert "3 other placement(s) made no difference of more than 2%" in found["leave-it"][0].sentence
    assert not [each for each in functools.reduce(operator.iadd, found.values(), []) if each.tone == "do"]


def test_the_penalty_of_remote_memory_is_measured_and_told_by_node() -> None:
    found = said(full=True)["remote-memory"]
    (far,) = [each for each in found if each.evidence["arm"] == "einsum, cpu:0 mem:2"]
    assert far.evidence["ratio"] == pytest.approx(1.5, rel=0.1)
    assert far.evidence["distance"] == 21
    assert "memory of node 2 under CPUs of node 0 made it" in far.sentence
    assert "slower" in far.sentence
    none = said(made_up.study(own=True), made_up.nothing_matters)["remote-memory"]
    assert "cost nothing that matters" in none[0].sentence


def test_one_node_or_one_allowed() -> None:
    assert "This machine has one node of memory" in said(made_up.study(one_node()))["one-node"][0].sentence
    found = said(made_up.study(two_sockets(allowed_nodes=(1,))))
    assert "only node 1 is allowed here" in found["one-node"][0].sentence
    assert "one-node" not in said()


def test_memory_is_the_limit_or_it_is_not() -> None:
    def share(value: float) -> made_up.Physics:
        return lambda candidate: 0.138 / 9 / value

    assert "memory is the limit" in said(physics=share(0.8))["bandwidth"][0].sentence
    assert "memory is not the limit" in said(physics=share(0.1))["bandwidth"][0].sentence
    assert "bandwidth" not in said(physics=share(0.5))
    assert "bandwidth" not in said(physics=share(1.5))


def test_more_than_memory_gives_came_from_caches_or_is_doubted() -> None:
    fast: made_up.Physics = lambda candidate: 0.138 / 9 / 1.5  # noqa: E731
    l3 = tuple(msgspec.structs.replace(d, size_kib=64 * 1024) for d in made_up.machine().l3_domains)
    large = msgspec.structs.replace(made_up.machine(), l3_domains=l3)
    assert "stayed in caches" in said(made_up.study(large), fast)["caches"][0].sentence
    l3 = tuple(msgspec.structs.replace(d, size_kib=1024) for d in l3)
    small = msgspec.structs.replace(large, l3_domains=l3)
    assert "Do not rely on this share" in said(made_up.study(small), fast)["caches"][0].sentence


def test_threads_saturate_where_fewer_were_shown_to_do() -> None:
    (each,) = said(full=True)["threads-saturate"]
    assert each.evidence["threads"] == 2
    scaling: made_up.Physics = lambda c: made_up.memory_bound(c) * 8 / (c.threads or 8)  # noqa: E731
    assert "threads-saturate" not in said(made_up.study(full=True), scaling)


def test_layout_type_and_method_are_told_with_their_amounts() -> None:
    found = said(full=True)
    assert found["layout"][0].evidence["ratio"] == pytest.approx(1.4, rel=0.1)
    assert "bfloat16" in found["dtype"][0].sentence and "faster" in found["dtype"][0].sentence
    assert "Compute it as torch per-expert" in found["method"][0].sentence
    flat = said(made_up.study(full=True), made_up.nothing_matters, noise=0.003)
    assert "make no difference" in flat["layout"][0].sentence
    assert "no faster and no slower" in flat["dtype"][0].sentence
    assert "method" not in flat


def test_noise_is_told_and_nothing_claimed() -> None:
    study, trials, outcome = made_up.carried_out(made_up.study(own=True), made_up.nothing_matters, noise=0.3)
    (noise,) = [each for each in advice(study, trials, outcome) if each.rule == "noise"]
    assert noise.tone == "doubt"
    assert "nothing is claimed" in noise.sentence
    assert not [
        each for each in advice(study, trials, outcome) if each.rule in ("leave-it", "best-placement")
    ]


def test_what_was_not_delivered_is_named() -> None:
    study, trials, _ = made_up.carried_out(made_up.study(own=True))
    moved = tuple(msgspec.structs.replace(t, on_target=0.3) if t.candidate == "bind:1" else t for t in trials)
    again = made_up.Simulated(study, made_up.memory_bound, kept=moved)
    from numawise.experiment.bench.run import carry_out

    found = [a for a in advice(study, moved, carry_out(study, again)) if a.rule == "not-delivered"]
    assert "bind:1: only 30% of its pages" in found[0].sentence


def test_balancing_a_busy_machine_and_a_control_that_differs_are_doubts() -> None:
    quiet = made_up.study(own=True, full=True)
    assert not {"balancing", "busy", "control"} & set(said(quiet))
    settings = {**quiet.settings, "NUMA balancing": "1", "load average": "6.00 5.00 4.00 7/300 12345"}
    found = said(msgspec.structs.replace(quiet, settings=settings))
    assert "kernel.numa_balancing = 1" in found["balancing"][0].sentence
    assert "load average 6 on 8 CPUs" in found["busy"][0].sentence
    suite = made_up.study()
    loaded = msgspec.structs.replace(
        suite, settings={**suite.settings, "load average": "9.00 9.00 9.00 1/2 3"}
    )
    assert "bandwidth" in said(suite)
    assert "bandwidth" not in said(loaded), "others took part of what is compared"

    def odd(candidate: Candidate) -> float:
        return 0.03 if candidate.policy == "local" else 0.02

    assert "doubt the other verdicts" in said(quiet, odd)["control"][0].sentence


def test_what_fits_into_a_node_is_said_with_the_most_that_was_held() -> None:
    assert "It fits into one node: 300 MiB held" in said()["fits-one-node"][0].sentence
    study, trials, outcome = made_up.carried_out(made_up.study())

    def held(trial: Trial, mib: float) -> Trial:
        return msgspec.structs.replace(trial, figures={**trial.figures, "held_mib": mib})

    huge = tuple(held(trial, 70_000.0) for trial in trials)
    found = [each for each in advice(study, huge, outcome) if each.rule == "fits-one-node"]
    assert "does not fit into one node" in found[0].sentence


def test_evidence_is_always_figures_or_names() -> None:
    for kinds in (said(full=True), said(own=True), said(made_up.study(one_node(), full=True))):
        for each in functools.reduce(operator.iadd, kinds.values(), []):
            assert each.evidence, each.rule
            for value in each.evidence.values():
                assert value is None or isinstance(value, str) or math.isfinite(value)
