"""The verdict in words says what the figures say, whatever was measured."""

from __future__ import annotations

import math

import made_up
import msgspec
import pytest

from numawise.experiment.records import Outcome, Study, Verdict
from numawise.report import words


def study(**changes: object) -> Study:
    return msgspec.structs.replace(made_up.tuned()[0], **changes)


def outcome(kind: str, ratio: float, low: float, high: float, *, reason: str = "") -> Outcome:
    best = "bind:1 1x16 no-smt" if kind == "better" else "default"
    verdict = Verdict(kind, ratio, low, high, 11, reason)  # type: ignore[arg-type]
    return Outcome(best=best, verdict=verdict, winner="bind:1 1x16 no-smt", trials=104)


def test_better_says_what_to_run_and_how_much_faster() -> None:
    say = words.verdict_words(study(), outcome("better", 1 / 1.12, 1 / 1.17, 1 / 1.07))
    assert say.headline == "Run it like this: bind:1 1x16 no-smt"
    assert say.headline.endswith(say.subject)
    assert say.figure == "12% faster (7 to 17%), 11 pairs"
    assert (say.tone, say.detail.startswith("The best of 48 candidates in 104 trials")) == ("good", True)


@pytest.mark.parametrize(
    ("kind", "ratio", "low", "high", "figure", "detail"),
    [
        ("equivalent", 1.003, 0.99, 1.017, "between 1.0% faster and 1.7% slower, 11 pairs", "under 2%"),
        ("worse", 1.1, 1.05, 1.15, "10% slower (5 to 15%), 11 pairs", "it was worse"),
        (
            "inconclusive",
            0.97,
            0.9,
            1.04,
            "between 11% faster and 4% slower, 11 pairs",
            "could not be told apart",
        ),
    ],
)
def test_nothing_better_keeps_the_default(
    kind: str, ratio: float, low: float, high: float, figure: str, detail: str
) -> None:
    say = words.verdict_words(study(), outcome(kind, ratio, low, high))
    assert say.headline == "Leave it as it is: nothing was shown better"
    assert say.figure == figure
    assert detail in say.detail
    assert say.tone == "same"


def test_not_delivered_claims_nothing_about_speed_even_without_figures() -> None:
    reason = "asked node 1, 93% of pages on node 0"
    say = words.verdict_words(study(), outcome("not-delivered", math.nan, 0.0, math.inf, reason=reason))
    assert (say.headline, say.figure, say.tone) == ("Not delivered", "", "bad")
    assert reason in say.detail
    assert "%" not in say.detail.replace(reason, "")


def test_a_default_that_wins_the_race_is_left_alone() -> None:
    won = Outcome(best="default", verdict=Verdict("equivalent", 1, 1, 1, 0), winner="default", trials=90)
    say = words.verdict_words(study(), won)
    assert (say.headline, say.figure) == ("Leave it as it is", "")


def test_unfinished_says_how_to_go_on() -> None:
    say = words.verdict_words(study(), None, trials=37)
    assert say.headline == "Not finished"
    assert "37 trials" in say.detail
    assert "numawise tune --resume" in say.detail


@pytest.mark.parametrize(
    ("changes", "ratio", "said"),
    [
        ({}, 0.8, "25% faster"),
        ({}, 1.25, "25% slower"),
        ({}, 0.4, "2.5 times as fast"),
        ({}, 4.0, "4 times as long"),
        ({"metric": "tok/s ([0-9]+)", "maximize": True}, 0.8, "25% higher"),
        ({"metric": "tok/s ([0-9]+)", "maximize": True}, 1.25, "20% lower"),
        ({"metric": "json:p99"}, 0.8, "20% lower"),
        ({"metric": "json:p99"}, 1.25, "25% higher"),
        ({}, 1e-300, "any amount better"),
        ({}, 1e300, "any amount worse"),
        ({}, math.inf, "any amount worse"),
    ],
)
def test_a_ratio_means_what_was_measured(changes: dict[str, object], ratio: float, said: str) -> None:
    assert words.change(ratio, study(**changes)) == said


@pytest.mark.parametrize(
    ("ratio", "low", "high", "said"),
    [
        (0.9, 0.4, 0.95, "between 2.5 times as fast and 5.3% faster"),
        (0.4, 0.3, 0.45, "2.5 times as fast (2.2 to 3.3)"),
        (0.9, 1e-308, 1e308, "between any amount better and any amount worse"),
        (math.nan, math.nan, math.nan, "between any amount worse and any amount worse"),
    ],
)
def test_an_interval_is_said_whatever_it_is(ratio: float, low: float, high: float, said: str) -> None:
    assert words.interval(Verdict("better", ratio, low, high, 9), study()) == said


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("", "wall time"),
        ("json:latency.p99", "latency.p99"),
        (r"tokens/s: ([0-9.]+)", "tokens/s"),
        (r"throughput = (\d+)", "throughput"),
        (r"\d+ ms", "metric"),
        (r"([0-9.]+) tok/s", "metric"),
    ],
)
def test_a_metric_has_a_short_name(metric: str, name: str) -> None:
    assert words.metric_name(study(metric=metric)) == name


def test_a_compare_names_both_arms() -> None:
    asked, _, ended = made_up.compared()
    assert words.verdict_words(asked, ended).headline == "--node 1 is worse than --node 0"
    for kind, headline in (
        ("better", "--node 1 is better than --node 0"),
        ("equivalent", "--node 1 and --node 0 are equivalent"),
        ("inconclusive", "--node 1 and --node 0 could not be told apart"),
        ("not-delivered", "Not delivered"),
    ):
        verdict = msgspec.structs.replace(ended.verdict, kind=kind)
        assert (
            words.verdict_words(asked, msgspec.structs.replace(ended, verdict=verdict)).headline == headline
        )


def test_the_command_is_one_a_shell_would_take() -> None:
    asked, _, ended = made_up.tuned()
    assert words.run_command(asked, ended).startswith("numawise run --profile serve -- python serve.py")
    kept = msgspec.structs.replace(ended, profile="", best="default")
    assert words.run_command(asked, kept) == "python serve.py --model mixtral-8x7b --threads 64"
    odd = msgspec.structs.replace(asked, command=("sh", "-c", "echo 'a b'; {port}"))
    assert words.run_command(odd, kept) == """sh -c 'echo '"'"'a b'"'"'; {port}'"""
    best = next(c for c in asked.candidates if c.name == ended.best)
    lines = words.numactl_command(asked, best).split("\n")
    assert len(lines) == 2
    assert "--physcpubind=16-31 --membind=1 python serve.py --model mixtral-8x7b --threads 16" in lines[1]


@pytest.mark.parametrize(
    "text",
    ["\x1b[31mx\x1b[0m", "\x1b]0;title\x07x", "\x00x\x08", "x\u202e", "\x9bx", "x\ud800", "\x1b(Bx"[3:]],
)
def test_output_cannot_steer_the_terminal_or_the_page(text: str) -> None:
    assert words.clean(text) == "x"
