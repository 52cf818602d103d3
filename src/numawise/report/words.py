"""The verdict in words: one source for the terminal and the page, so that they never disagree."""

from __future__ import annotations

import math
import re
import shlex
from typing import Literal

import msgspec

from numawise.errors import UsageError
from numawise.experiment.metric import PACKAGE_ENERGY
from numawise.experiment.records import Candidate, Outcome, Study, Trial, Verdict
from numawise.linux.cpuset import format_list
from numawise.placement.fill import fill
from numawise.placement.render import render
from numawise.placement.values import MemoryPolicy

Tone = Literal["good", "same", "bad", "open"]

_ESCAPE_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_UNBOUNDED = 1e6  # ratios beyond this are the edge of floating point, not speed


class Words(msgspec.Struct, frozen=True):
    """What to say about a study, from the shortest to the longest."""

    headline: str
    """What to do."""
    figure: str
    """How much: `12% faster (7 to 17%), 10 pairs`; empty when there is nothing to say."""
    detail: str
    """Why, in one or two sentences."""
    tone: Tone
    subject: str = ""
    """The end of the headline that is a name, to be kept in one piece."""


def verdict_words(study: Study, outcome: Outcome | None, *, trials: int = 0) -> Words:
    """The verdict of a study; `outcome` None: one that is not finished, with `trials` so far."""
    if outcome is None:
        return Words(
            headline="Not finished",
            figure="",
            detail=f"{trials} trials so far, no verdict. numawise {study.kind} --resume goes on from here.",
            tone="open",
        )
    if study.kind == "compare":
        return _compare_words(study, outcome)
    return _tune_words(study, outcome)


def change(ratio: float, study: Study) -> str:
    """What a ratio (second over first, lower is better) means for what was measured.

    `9.1% faster` is in runs per time, `10% slower` in time per run: each is the one above the other.
    """
    if not 1 / _UNBOUNDED < ratio < _UNBOUNDED:
        return "any amount " + ("better" if ratio < 1 else "worse")
    if not study.metric:
        if ratio < 0.5:
            return f"{1 / ratio:.2g} times as fast"
        if ratio > 3:
            return f"{ratio:.2g} times as long"
        return f"{_percent(1 / ratio - 1)} faster" if ratio <= 1 else f"{_percent(ratio - 1)} slower"
    factor = 1 / ratio if study.maximize else ratio
    return f"{_percent(factor - 1)} higher" if factor >= 1 else f"{_percent(1 - factor)} lower"


def figure_text(study: Study, verdict: Verdict) -> str:
    """The verdict's figure with what it is of: `tokens/s 17% lower (12 to 21%), 14 pairs`."""
    pairs = f"{verdict.pairs} pair{'' if verdict.pairs == 1 else 's'}"
    return f"{metric_name(study) + ' ' if study.metric else ''}{interval(verdict, study)}, {pairs}"


def metric_name(study: Study) -> str:
    r"""What was measured, by a short name: a key, or the plain text that a regular expression begins with."""
    if not study.metric:
        return "wall time"
    if study.metric == PACKAGE_ENERGY:
        return "package energy"
    if study.metric.startswith("json:"):
        return clean(study.metric[5:])
    # Classes such as \d and \s are no text; other escaped characters are what they stand for.
    literal = re.sub(r"\\(\W)", r"\1", re.sub(r"\\[a-zA-Z0-9].*", "", study.metric, flags=re.DOTALL))
    plain = re.match(r"[\w/ .-]*[\w/]", literal)
    return clean(plain.group().strip()) if plain else "metric"


def interval(verdict: Verdict, study: Study) -> str:
    """How much, and between what: `12% faster (7.1 to 17%)`, `between 1% faster and 2% slower`."""
    middle, ends = change(verdict.ratio, study), [change(end, study) for end in (verdict.high, verdict.low)]
    one_sided = not verdict.low <= 1 <= verdict.high and "any" not in middle
    if one_sided and _unit(ends[0]) == _unit(ends[1]) == _unit(middle):
        unit = "%" if "%" in ends[0] else ""
        nearer, farther = (end.partition(" ")[0].rstrip("%") for end in sorted(ends, key=_leading_number))
        return f"{middle} ({nearer} to {farther}{unit})"
    return f"between {ends[1]} and {ends[0]}"


def relative(ratio: float) -> str:
    """A ratio as a signed change, for tables.

    >>> relative(0.893), relative(1.62), relative(1.0)
    ('-10.7%', '+62%', '0.0%')
    """
    percent = (ratio - 1) * 100
    if abs(percent) < 0.05:
        return "0.0%"
    return f"{percent:+.1f}%" if abs(percent) < 19.95 else f"{percent:+.0f}%"


def value_text(value: float, study: Study) -> str:
    """A measured value with its unit: seconds of wall time, joules of energy, else the metric's own."""
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
    unit = {"": " s", PACKAGE_ENERGY: " J"}.get(study.metric, "")
    return text + unit


def metric_text(study: Study) -> str:
    """What was measured, and which way is better."""
    if not study.metric:
        return "wall time, lower is better"
    return f"{metric_name(study)}, {'higher' if study.maximize else 'lower'} is better"


def decided(outcome: Outcome) -> bool:
    """Was one shown better than the other?"""
    return outcome.verdict.kind in {"better", "worse"}


def run_command(study: Study, outcome: Outcome | None) -> str:
    """The line to use from now on; empty when there is none to recommend.

    The profile when there is one; the bare command when the default stays; the better arm's own options.
    """
    if study.kind == "compare":
        if outcome is None or not decided(outcome) or not outcome.best.startswith("-"):
            return ""
        return f"numawise run {clean(outcome.best)} -- {shlex.join(study.command)}"
    if outcome is not None and outcome.profile:
        return (
            f"numawise run --profile {shlex.quote(outcome.profile)} -- {shlex.join(study.command) or 'CMD'}"
        )
    default = next((c.plan.placements for c in study.candidates if c.name == study.default), ())
    try:
        return shlex.join(fill(word, default[0]) for word in study.command) or "CMD"
    except (UsageError, IndexError):  # a placeholder that only `run` can fill, such as {port}
        return shlex.join(study.command) or "CMD"


def numactl_command(study: Study, candidate: Candidate) -> str:
    """The same placement for machines without numawise: one numactl line a process."""
    try:
        return render(candidate.plan, "numactl", study.command)
    except UsageError:
        return render(candidate.plan, "numactl", ("CMD",))


def command_text(study: Study) -> str:
    """The command as it was given, as a shell would take it."""
    return shlex.join(study.command) or "(functions called from Python)"


def failure_text(trial: Trial) -> str:
    """Why a trial gave no value, in a few words."""
    if trial.status == "no-metric":
        return "printed no metric"
    return (
        f"killed by signal {trial.exit_code - 128}"
        if trial.exit_code > 128
        else f"exit code {trial.exit_code}"
    )


def not_tried_text(outcome: Outcome | None) -> str:
    """Which candidates never ran, and what was expected of them; empty when all did."""
    if outcome is None or not outcome.not_tried:
        return ""
    ranked = sorted(outcome.not_tried.items(), key=lambda item: item[1])
    least, most = (relative(ratio) for ratio in (ranked[0][1], ranked[-1][1]))
    span = least if least == most else f"{least} to {most}"
    names = ", ".join(clean(name) for name, _ in ranked[:4]) + (" and others" if len(ranked) > 4 else "")
    count = f"{len(ranked)} candidate{'' if len(ranked) == 1 else 's'}"
    return f"{count} not tried: expected time {span} against the default, too far behind others ({names})"


def duration_text(seconds: float) -> str:
    """A duration in the unit that fits.

    >>> duration_text(75), duration_text(59.6 * 60), duration_text(7.2)
    ('1 min 15 s', '60 min', '7 s')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{round(whole / 60)} min" if whole < 7200 else f"{whole / 3600:.1f} h"


def placement_text(candidate: Candidate) -> str:
    """Where the candidate's processes go, in a line."""
    places = candidate.plan.placements
    if not places:
        return "no process"
    cpus = sorted({str(p.cpus) for p in places})
    policies = sorted({policy_text(p.memory) for p in places})
    processes = "1 process" if len(places) == 1 else f"{len(places)} processes"
    where = f"CPUs {' | '.join(cpus[:4])}{' | ...' if len(cpus) > 4 else ''}"
    threads = f", {places[0].threads} threads each" if places[0].threads else ""
    return f"{processes} on {where}; memory {' | '.join(policies[:4])}{threads}"


def policy_text(policy: MemoryPolicy) -> str:
    """A memory policy as numawise's options spell it.

    >>> policy_text(MemoryPolicy("interleave", (0, 1)))
    'interleave:0-1'
    """
    return f"{policy.mode}:{format_list(policy.nodes)}" if policy.nodes else policy.mode


def clean(text: str) -> str:
    r"""Program output made safe to show: no terminal escapes, no control or direction characters.

    >>> clean("\x1b[31mred\x1b[0m\tand\x00 plain")
    'red\tand plain'
    """
    return without_controls(_ESCAPE_SEQUENCES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def without_controls(text: str) -> str:
    """`text` less the characters that have no shape but an effect."""
    return _CONTROLS.sub("", text)


def _tune_words(study: Study, outcome: Outcome) -> Words:
    verdict = outcome.verdict
    winner, default = clean(outcome.winner), clean(study.default)
    field = f"{len(study.candidates)} candidates in {outcome.trials} trials"
    if outcome.winner == study.default:
        detail = f"The default was itself the best of {field}."
        return Words("Leave it as it is", "", detail, "same")
    if verdict.kind == "not-delivered":
        return _not_delivered(verdict, winner)
    figure = figure_text(study, verdict)
    if verdict.kind == "better" and outcome.best != study.default:
        detail = f"The best of {field}, then shown better than {default} in a fresh comparison."
        best = clean(outcome.best)
        return Words(f"Run it like this: {best}", figure, detail, "good", subject=best)
    tried = f"{winner}, the best of {field}, met {default} in a fresh comparison: "
    why = {
        "equivalent": f"any difference is under {_percent(study.delta)}.",
        "worse": "it was worse.",
        "better": "it was better, yet was not taken.",
    }.get(verdict.kind, f"after {verdict.pairs} pairs the two could not be told apart. More pairs might.")
    return Words("Leave it as it is: nothing was shown better", figure, tried + why, "same")


def _compare_words(study: Study, outcome: Outcome) -> Words:
    verdict = outcome.verdict
    first = clean(study.candidates[0].name)
    second = clean(study.candidates[1].name if len(study.candidates) > 1 else outcome.winner)
    if verdict.kind == "not-delivered":
        return _not_delivered(verdict, second)
    figure = figure_text(study, verdict)
    headline, detail, tone = {
        "better": (f"{second} is better than {first}", "The interval is clear of no change.", "good"),
        "worse": (f"{second} is worse than {first}", "The interval is clear of no change.", "bad"),
        "equivalent": (
            f"{second} and {first} are equivalent",
            f"Any difference is under {_percent(study.delta)}: use whichever is simpler.",
            "same",
        ),
    }.get(
        verdict.kind,
        (
            f"{second} and {first} could not be told apart",
            "Neither is shown better, nor are they shown equal. More pairs might.",
            "open",
        ),
    )
    return Words(headline, figure, detail, tone)  # type: ignore[arg-type]  # the table holds only tones


def _not_delivered(verdict: Verdict, arm: str) -> Words:
    reason = clean(verdict.reason).strip().rstrip(".")
    asked = f"{arm} did not get the placement that was asked for{': ' + reason if reason else ''}."
    return Words("Not delivered", "", f"{asked} So nothing is claimed about its speed.", "bad")


def _percent(share: float) -> str:
    """A share as a percentage with as many digits as it deserves."""
    percent = share * 100
    if percent >= 9.95 or math.isclose(percent, round(percent), abs_tol=0.005):
        return f"{percent:.0f}%"
    return f"{percent:.1f}%"


def _unit(change_text: str) -> str:
    return change_text.partition(" ")[2] + ("%" if "%" in change_text else "")


def _leading_number(change_text: str) -> float:
    return float(change_text.partition(" ")[0].rstrip("%"))
