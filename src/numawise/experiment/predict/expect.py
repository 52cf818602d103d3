"""Relative times with their errors: every uncertain input is moved by its standard deviation, one at a time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import msgspec

from numawise.experiment.predict.machine import Machine
from numawise.experiment.predict.model import Beliefs, Times, times
from numawise.experiment.predict.parameters import Parameters
from numawise.experiment.predict.places import places
from numawise.experiment.predict.work import POSSIBLE, FirstTouch, Work
from numawise.experiment.records import Expectation
from numawise.placement.values import Plan

INTERVAL_SIGMAS = 1.96
"""Half of a 95% interval, in standard deviations."""
_STEP_LIMIT = 1.5
_MEASURED_PAGES = 0.05


class Predicted(msgspec.Struct, frozen=True):
    """What is expected of one plan against the default."""

    ratio: float
    """Its time over the default's: below 1 is faster."""
    low: float
    """95% interval of the ratio."""
    high: float
    sigma: float
    """Standard deviation of the error of log(ratio)."""
    reason: str
    """What limits it, and what that means against the default."""

    @property
    def expectation(self) -> Expectation:
        """The part that `tune` goes by."""
        return Expectation(ratio=self.ratio, sigma=self.sigma)


Change = Callable[[Work], Work]


def expectations(
    work: Work,
    machine: Machine,
    default: Plan,
    plans: Sequence[Plan],
    parameters: Parameters | None = None,
    default_work: Work | None = None,
) -> tuple[Predicted, ...]:
    """What each of `plans` is expected to take, relative to `default`, for `work` on `machine`.

    The error is the root of the sum of squares of: what each uncertain input does when it is moved by its standard
    deviation, what is not known of who touches the pages first, and the model's own. `default_work` is what the
    program does under the default, where that is something else (pages loaded otherwise, say).
    """
    beliefs = parameters or Parameters()
    return tuple(_predicted((work, default_work or work), machine, default, plan, beliefs) for plan in plans)


def _predicted(
    works: tuple[Work, Work], machine: Machine, default: Plan, plan: Plan, parameters: Parameters
) -> Predicted:
    centre = _centre(machine, parameters)

    def both(change: Change, beliefs: Beliefs, touch: FirstTouch) -> tuple[Times, Times]:
        ours, theirs = (
            times(
                changed,
                machine,
                places(each, machine, changed, changed.first_touch or touch, beliefs.stray),
                beliefs,
            )
            for each, changed in zip((plan, default), map(change, works), strict=True)
        )
        return ours, theirs

    def log_ratio(change: Change, beliefs: Beliefs) -> list[float]:
        pairs = (both(change, beliefs, touch) for touch in touches)
        return [math.log(ours.total / theirs.total) for ours, theirs in pairs]

    known = all(work.first_touch for work in works)
    touches: tuple[FirstTouch, ...] = ("spread",) if known else POSSIBLE
    middles = log_ratio(_same, centre)
    middle = statistics.fmean(middles)
    variance = statistics.pvariance(middles)
    for change, moved in _moved(works, centre, machine, parameters):
        moved_by = statistics.fmean(log_ratio(change, moved)) - middle
        # Up and down both count, so each gets half.
        variance += min(abs(moved_by), _STEP_LIMIT) ** 2 / 2
    variance += (parameters.model_share.value * middle) ** 2
    if plan.placements != default.placements:
        variance += parameters.model.value**2
    sigma = math.sqrt(variance)
    ours, theirs = both(_same, centre, "spread")
    return Predicted(
        ratio=math.exp(middle),
        low=math.exp(middle - INTERVAL_SIGMAS * sigma),
        high=math.exp(middle + INTERVAL_SIGMAS * sigma),
        sigma=sigma,
        reason=_reason(ours, theirs),
    )


def _centre(machine: Machine, parameters: Parameters) -> Beliefs:
    return Beliefs(
        smt_compute=parameters.smt_compute.value,
        smt_latency=parameters.smt_latency.value,
        crowding=parameters.crowding.value,
        stray=parameters.stray.value,
        far_device=parameters.far_device.value,
        small_pages=machine.small_pages or parameters.small_pages.value,
    )


def _moved(
    works: Sequence[Work], centre: Beliefs, machine: Machine, parameters: Parameters
) -> list[tuple[Change, Beliefs]]:
    """Every uncertain input up and down by its standard deviation, the others as they are."""
    sigmas = {
        "smt_compute": parameters.smt_compute.sigma,
        "smt_latency": parameters.smt_latency.sigma,
        "crowding": parameters.crowding.sigma,
        "stray": parameters.stray.sigma,
        "far_device": parameters.far_device.sigma,
        "small_pages": _MEASURED_PAGES if machine.small_pages else parameters.small_pages.sigma,
        "core": machine.core_sigma,
        "remote_bandwidth": machine.remote_sigma,
        "remote_latency": machine.remote_sigma / 2,  # published latencies differ half as much as bandwidths
        "local_bandwidth": machine.local_sigma,
    }
    found: list[tuple[Change, Beliefs]] = [
        (_same, msgspec.structs.replace(centre, **{name: _capped(name, getattr(centre, name), sign * sigma)}))
        for name, sigma in sigmas.items()
        for sign in (1, -1)
    ]
    for name in ("gigabytes", "core_s", "loads", "device_s", "fixed_s", "serial"):
        if any(getattr(work, name) for work in works):
            found += [(_times(name, sign), centre) for sign in (1, -1)]
    return found


def _same(work: Work) -> Work:
    return work


def _times(name: str, sign: int) -> Change:
    """The change of a work that moves one of its fields by a standard deviation."""

    def change(work: Work) -> Work:
        sigma = work.serial_sigma if name == "serial" else work.sigma
        value = getattr(work, name) * math.exp(sign * sigma)
        return msgspec.structs.replace(work, **{name: min(value, 1.0) if name == "serial" else value})

    return change


def _capped(name: str, value: float, step: float) -> float:
    moved = value * math.exp(step)
    if name in ("smt_compute", "smt_latency"):
        return min(moved, 2.0)  # two threads of a core do at most twice the work
    if name in ("far_device", "stray"):
        return min(moved, 1.0)
    return moved


def _reason(ours: Times, theirs: Times) -> str:
    """What takes longest, and what changes most against the default."""
    parts = ("bandwidth", "compute", "latency", "device")
    words = {
        "bandwidth": ours.limit,
        "compute": "computing on its cores",
        "latency": "waiting for single loads",
        "device": "copies to and from the device",
    }
    if ours.fixed > ours.total / 2:
        limit = "time that no placement changes"
    else:
        limit = words[max(parts, key=lambda name: getattr(ours, name))]
    change = max(parts, key=lambda name: abs(_weight(ours, name) - _weight(theirs, name)))
    ratio = getattr(ours, change) / max(getattr(theirs, change), 1e-60)
    if abs(_weight(ours, change) - _weight(theirs, change)) < 0.01 * theirs.total:
        return f"limited by {limit}, as the default"
    what = "that" if words[change] == limit else "moving bytes" if change == "bandwidth" else words[change]
    less = "less" if ratio < 1 else "more"
    return f"limited by {limit}; {what} takes {abs(ratio - 1):.0%} {less}"


def _weight(found: Times, name: str) -> float:
    """Seconds that count: of bytes and operations, which overlap, only the longer."""
    value: float = getattr(found, name)
    if name in ("bandwidth", "compute") and value < max(found.bandwidth, found.compute):
        return 0.0
    return value
