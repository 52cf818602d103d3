"""`memory_policy`: another memory policy for a while, for the calling thread."""

from __future__ import annotations

import errno
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from numawise.errors import NotPermittedError, UsageError
from numawise.launch.apply import ALLOW_IN_DOCKER
from numawise.launch.inside import threads
from numawise.launch.inside.place import set_back
from numawise.launch.inside.wishes import described, request
from numawise.linux import syscalls
from numawise.machine import read
from numawise.placement.plan import plan
from numawise.placement.values import MemoryPolicy


class Scope(msgspec.Struct, frozen=True):
    """A memory policy for a while."""

    memory: MemoryPolicy
    steps: tuple[str, ...] = ()
    """As of `Bound`."""
    notes: tuple[str, ...] = ()


@contextmanager
def memory_policy(mem: str | MemoryPolicy, *, strict: bool = False) -> Iterator[Scope]:
    """What the calling thread touches first inside of the `with` is placed by this policy; then all is as before.

    A page is placed when it is first touched, not when it is allocated: fill arrays inside. Small arrays may get memory
    that has been used before, which stays where it is. Threads that exist already (OpenMP's, of torch) follow policies
    of their own: `numawise.empty` places arrays whoever touches them.

    Args:
        mem: such as `interleave:all`, `bind:1`, `preferred:0`, `local`, `default`.
        strict: a policy that is refused is an error; else it is warned of (RuntimeWarning), and memory stays as it is.

    Raises UsageError for what cannot be meant, NotPermittedError for nodes that may not be used.

    >>> with memory_policy("local") as scope:
    ...     scope.memory
    MemoryPolicy(mode='local', nodes=())
    """
    topology = read("/", devices=False)
    memory = plan(topology, request(topology, mem=mem)).placements[0].memory
    try:
        (mode, nodes), flags = syscalls.get_mempolicy(), syscalls.mempolicy_flags()
        syscalls.set_mempolicy(memory.mode, memory.nodes)
    except OSError as error:
        yield _refused(memory, error, strict)
        return
    thread = threading.get_ident()
    others = threads.with_other_policy() if memory.mode != "default" else 0
    some = "1 other thread follows its" if others == 1 else f"{others} other threads follow policies of their"
    try:
        yield Scope(memory, notes=(f"{some} own: see numawise.empty",) if others else ())
    finally:
        if threading.get_ident() != thread:
            raise UsageError(
                "memory_policy was left on another thread than it was entered on: both keep theirs"
            )
        set_back(mode, nodes, flags)


def _refused(memory: MemoryPolicy, error: OSError, strict: bool) -> Scope:
    call = str(error.strerror).partition(":")[0]
    answer = f"{call} answered {errno.errorcode.get(error.errno or 0, '?')}"
    what = f"memory policy {described(memory)} refused ({answer}; {ALLOW_IN_DOCKER})"
    if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        raise NotPermittedError(f"memory policy {described(memory)} cannot be set: {answer}") from None
    if strict:
        raise NotPermittedError(f"{what}; strict=True makes this an error") from None
    warnings.warn(f"{what}: memory is NOT placed", RuntimeWarning, stacklevel=4)
    return Scope(memory, steps=(f"{what}: memory is NOT placed",))
