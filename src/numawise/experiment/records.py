"""What an experiment leaves behind: the study, its candidates, every trial, and the outcome. All frozen, all JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Topology
from numawise.placement.values import Plan

VerdictKind = Literal["better", "worse", "equivalent", "inconclusive", "not-delivered"]


class Verdict(msgspec.Struct, frozen=True):
    """What a comparison of arm b against arm a says. `ratio` is b over a, lower is better, with its interval."""

    kind: VerdictKind
    ratio: float
    low: float
    high: float
    pairs: int
    """Pairs that counted (the first, a warm-up, does not)."""
    reason: str = ""
    """For `not-delivered`: what was asked and what was seen. Otherwise why the comparison stopped."""


class Expectation(msgspec.Struct, frozen=True):
    """What the model expects of a candidate before it was tried."""

    ratio: float
    """Its time over the default's: below 1 is faster."""
    sigma: float
    """Standard deviation of the error of log(ratio)."""


class Candidate(msgspec.Struct, frozen=True):
    """One arm: a plan, and the words a person knows it by."""

    name: str
    """Unique within a study, such as `default` or `bind:1 8x2 no-smt`."""
    plan: Plan
    policy: str = "default"
    workers: int | None = None
    threads: int | None = None
    smt: bool = True
    thp: str = "default"
    expected: Expectation | None = None
    """None when nothing was predicted for it."""
    arguments: tuple[str, ...] = ()
    """Added to the end of the study's command for this arm."""
    axis: str = ""
    """bench: what is varied here, such as `placement` or `threads`; empty for the default."""
    against: str = ""
    """bench: the arm this one is judged against; empty for the default."""


class Trial(msgspec.Struct, frozen=True):
    """One run of the command under one candidate."""

    number: int
    """Order of execution within the study, from 0."""
    candidate: str
    phase: Literal["race", "final", "pair"]
    status: Literal["ok", "failed", "no-metric", "timeout"]
    value: float | None
    """The metric as lower-is-better is applied to it later: exactly what was measured. None unless `ok`."""
    seconds: float
    """Wall time."""
    started: float
    """Unix time."""
    exit_code: int = 0
    tail: str = ""
    """Last lines of the output, kept when the trial failed."""
    residency: dict[int, float] = {}
    """Share of sampled pages on each node, over all processes of the trial; empty when it could not be looked at."""
    on_target: float | None = None
    """Share of sampled pages where the placement wants them; None when it leaves that open or none was seen."""
    sampled_pages: int = 0
    cpus_used: CPUSet = CPUSet()
    """CPUs on which threads were seen."""
    notes: tuple[str, ...] = ()
    """Steps down the permission ladder, and the like."""
    figures: dict[str, float] = {}
    """bench: the numbers of the last JSON line the program printed, nested keys joined by dots."""
    energy_j: float | None = None
    """Energy of all processor packages while it ran, whoever else used them, in joules; None when not known."""
    dram_j: float | None = None
    """Energy of the memory, where it is counted apart from the packages."""


class BenchDesign(msgspec.Struct, frozen=True):
    """bench: how its arms came to be."""

    suite: Literal["quick", "full"]
    built_in: bool
    """The built-in einsum suite, not somebody's own command."""
    left_out: dict[str, str] = {}
    """Arms that were not even planned, and why."""
    seconds: float | None = None
    """Time the trials may take in all; None: no limit but the study's number of trials."""
    most_blocks: int = 30


class Study(msgspec.Struct, frozen=True):
    """One tune or compare: everything needed to go on after a kill, or to judge it years later."""

    id: str
    kind: Literal["tune", "compare", "bench"]
    command: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    default: str
    topology: Topology
    seed: int
    budget: int
    metric: str = ""
    """Empty: wall time in seconds. Otherwise `energy:package`, the regular expression or `json:KEY`."""
    maximize: bool = False
    alpha: float = 0.05
    delta: float = 0.02
    created: float = 0.0
    numawise_version: str = ""
    timeout_s: float | None = None
    cold_files: tuple[str, ...] = ()
    """Files whose page cache is dropped before each trial."""
    settings: dict[str, str] = {}
    """Of the machine when the study began, for the report: kernel, frequency governor, NUMA balancing and the like."""
    bench: BenchDesign | None = None
    version: int = 1


class Outcome(msgspec.Struct, frozen=True):
    """How a study ended."""

    best: str
    """Name of the candidate to use: the default unless something was shown better."""
    verdict: Verdict
    """Winner of the race against the default (tune), or second arm against the first (compare)."""
    winner: str
    """Who met the default in the final comparison; equal to `best` when it was shown better."""
    trials: int
    profile: str = ""
    failed: dict[str, str] = {}
    """Candidates that left the race, and why."""
    not_tried: dict[str, float] = {}
    """Candidates that never ran, and what they were expected to take over the default's time: a prediction that
    proved right for others left them without hope."""
    verdicts: dict[str, Verdict] = {}
    """bench: each arm against the one it is judged against."""
    left_out: dict[str, str] = {}
    """bench: arms for which the budget held no comparison, and why."""
    alpha_per_arm: float | None = None
    """bench: the level of each of `verdicts`: the study's, shared out equally."""
