"""The steps that put a running process where a placement says, in order: threads, memory policy, then old pages."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import msgspec

from numawise.errors import NotPermittedError
from numawise.launch.apply import ALLOW_IN_DOCKER, apply
from numawise.launch.inside import openmp, pages, threads
from numawise.launch.inside.values import Bound, Pages, Threads
from numawise.launch.inside.wishes import described
from numawise.linux import syscalls
from numawise.linux.cpuset import CPUSet
from numawise.machine.topology import Allowed, Topology
from numawise.placement.fit import first_touch_suffices
from numawise.placement.plan import THREAD_VARIABLES
from numawise.placement.values import Placement


class _Ours:
    """What this process was free to use before it was bound here, and what it was bound to then."""

    before: frozenset[int] | None = None
    bound: frozenset[int] | None = None


@contextmanager
def as_started() -> Iterator[None]:
    """Give the calling thread back the CPUs that this process was started with, for planning and binding anew.

    Its affinity may be of our own making (an earlier `bind`) or of an OpenMP runtime's, which binds the initial thread
    to one CPU as soon as it is loaded. When what is done inside fails, all is as it was.
    """
    now = frozenset(os.sched_getaffinity(0))
    wide = set(now)
    if _Ours.before is not None and now == _Ours.bound:
        wide |= _Ours.before
    if openmp.settings(os.environ):
        wide |= openmp.places(openmp.runtimes())
    if wide > now:
        _try_affinity(wide)
    try:
        yield
    except NotPermittedError as error:
        _try_affinity(now)
        raise NotPermittedError(f"{error}{_because_of_openmp()}") from None
    except BaseException:
        _try_affinity(now)
        raise


def _because_of_openmp() -> str:
    """What else may be the reason why CPUs are not to be had; empty as a rule."""
    given = openmp.settings(os.environ)
    if not given or not openmp.runtimes():
        return ""
    said = " ".join(f"{name}={value}" for name, value in given.items())
    return (
        f"; {said}, by which an OpenMP runtime has bound this thread: unset it, or bind before it is loaded"
    )


def before_binding(topology: Topology) -> Topology:
    """The topology as this process could use it before it was bound here."""
    free = set(_Ours.before or topology.allowed.cpus)
    if openmp.settings(os.environ):
        free |= openmp.places(openmp.runtimes())
    cpus = CPUSet(free & topology.cpus)
    return msgspec.structs.replace(topology, allowed=Allowed(cpus, topology.allowed.nodes))


def _try_affinity(cpus: set[int] | frozenset[int]) -> None:
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:
        return  # what is then asked for is held against the CPUs that we still have


class _Done(NamedTuple):
    steps: list[str]
    threads: Threads
    pages: Pages
    notes: list[str]


def place(
    asked: str,
    placement: Placement,
    topology: Topology,
    *,
    strict: bool = False,
    move: bool = True,
    reset: bool = False,
    notes: Sequence[str] = (),
) -> Bound:
    """Put this process where `placement` says, and look at it afterwards.

    reset: the policy `default` is meant as such, not as "leave the policy as it is".

    Raises NotPermittedError for CPUs or nodes that the kernel does not give and, when `strict`, for any step down the
    permission ladder; threads and memory policy are then as they were before.
    """
    before = threads.affinities()
    started = frozenset(os.sched_getaffinity(0))
    if strict and placement.memory.mode != "default":
        _refuse_early(placement)
    with _kept_policy():
        try:
            if reset:
                _reset_policy()
            done = _put(placement, topology, move)
            _accept(done.steps, strict)
        except BaseException:
            threads.restore(before)
            raise
    _Ours.before, _Ours.bound = _Ours.before or started, frozenset(os.sched_getaffinity(0))
    env = _set_threads(placement)
    said = (*notes, *done.notes, *openmp.notes(placement.cpus, os.environ, placement.threads))
    return Bound(
        asked=asked,
        pid=os.getpid(),
        placement=msgspec.structs.replace(placement, env=env),
        steps=tuple(done.steps),
        threads=done.threads,
        pages=done.pages,
        notes=tuple(dict.fromkeys(said)),
    )


def _put(placement: Placement, topology: Topology, move: bool) -> _Done:
    started = frozenset(os.sched_getaffinity(0))
    suffices = first_touch_suffices(placement, topology)
    steps = apply(placement, follows_first_touch=suffices, strict=False)
    moved = threads.move(placement.cpus)
    if not any(step.startswith("CPUs are not bound") for step in steps):
        steps += moved.steps
    caller = not started <= placement.cpus and os.sched_getaffinity(0) <= placement.cpus
    others = threads.with_other_policy() if placement.memory.mode != "default" else 0
    notes = [*_narrower(placement), *_old_threads(others, placement, suffices, steps)]
    old = Pages()
    want = pages.wanted(placement, topology) if move else None
    if want is not None:
        old, more = pages.move(want)
        steps += more
        notes += [f"{count} pages stay on other nodes: {why}" for why, count in old.left.items()]
    return _Done(steps, Threads(moved.seen, moved.moved + caller, moved.outside, others), old, notes)


def _refuse_early(placement: Placement) -> None:
    """What can be known to be refused before anything is changed."""
    refused = syscalls.refused_policy_call()
    if refused is not None:
        raise NotPermittedError(
            f"memory policy {described(placement.memory)} refused (set_mempolicy answered "
            f"{errno.errorcode.get(refused.errno or 0, '?')}; {ALLOW_IN_DOCKER}); "
            "strict=True makes this an error, and nothing was changed"
        )


def _accept(steps: Sequence[str], strict: bool) -> None:
    if strict and steps:
        raise NotPermittedError(
            f"{steps[0]}; strict=True makes this an error (threads and memory policy are as they were)"
        )


def _reset_policy() -> None:
    with suppress(PermissionError):  # refused, so none was set either
        syscalls.set_mempolicy("default")


def tell(bound: Bound, stacklevel: int = 3) -> Bound:
    """Warn of each step down the ladder: who binds and does not look at the answer shall hear of it, once."""
    for step in bound.steps:
        warnings.warn(f"{bound.asked}: {step}", RuntimeWarning, stacklevel=stacklevel)
    return bound


@contextmanager
def _kept_policy() -> Iterator[None]:
    """When what is done inside fails, the calling thread has the memory policy it had."""
    try:
        mode, nodes = syscalls.get_mempolicy()
        flags = syscalls.mempolicy_flags()
    except OSError:
        mode, nodes, flags = (
            "",
            (),
            0,
        )  # refused to tell: setting is refused as well, so nothing is to be undone
    try:
        yield
    except BaseException:
        if mode in syscalls.MODES:
            set_back(mode, nodes, flags)
        raise


def set_back(mode: str, nodes: Sequence[int], flags: int) -> None:
    """Give the calling thread a memory policy that it had, unless it has it still. Raises OSError."""
    if (syscalls.get_mempolicy(), syscalls.mempolicy_flags()) != ((mode, tuple(nodes)), flags):
        syscalls.set_mempolicy(mode, nodes, flags=flags)


def _old_threads(others: int, placement: Placement, suffices: bool, steps: list[str]) -> Iterator[str]:
    """What to say of threads that exist already, whose memory policy nobody else can set."""
    if not others or any(step.startswith("memory policy") for step in steps):
        return
    some = (
        "1 thread that exists already follows"
        if others == 1
        else f"{others} threads that exist already follow"
    )
    own = f"{some} a memory policy of {'its' if others == 1 else 'their'} own, which no other thread can set"
    if suffices:
        yield f"{own}: bound to these CPUs, what they touch is placed by first touch"
    else:
        steps.append(
            f"{own}: what they touch first is not placed by {described(placement.memory)}; bind before threads are "
            "started, or allocate with numawise.empty"
        )


def _narrower(placement: Placement) -> Iterator[str]:
    """Threads that an OpenMP runtime keeps at places of their own among the placement's CPUs."""
    given = openmp.settings(os.environ)
    count = sum(cpus < placement.cpus for cpus in threads.affinities().values()) if given else 0
    if count:
        said = " ".join(f"{name}={value}" for name, value in given.items())
        yield f"{count} threads keep narrower places of their own among CPUs {placement.cpus} ({said})"


def _set_threads(placement: Placement) -> dict[str, str]:
    """Tell libraries that are loaded later, and processes started from here, how many threads there should be."""
    chosen = {name: placement.env[name] for name in THREAD_VARIABLES if name in placement.env}
    added = {name: value for name, value in chosen.items() if not os.environ.get(name)}
    os.environ.update(added)
    return added
