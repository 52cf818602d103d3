"""`empty`, `empty_tensor`: arrays whose pages are on the nodes asked for, whoever fills them, and looked at."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from numawise.errors import NotPermittedError, NumawiseError, UsageError
from numawise.launch.apply import ALLOW_IN_DOCKER
from numawise.launch.inside.wishes import Ids, described, spelled
from numawise.linux import syscalls
from numawise.linux.pagemap import PAGE
from numawise.machine import read
from numawise.machine.topology import Topology
from numawise.placement.fit import check_size
from numawise.placement.plan import plan
from numawise.placement.request import Request, parse_nodes, parse_policy
from numawise.placement.values import MemoryPolicy, Placement

if TYPE_CHECKING:
    import numpy as np

_HUGE = 2 << 20
_CHUNK = 64 << 20
_SAMPLE = 1000
_ENOUGH = 0.99
_MADV_POPULATE_WRITE = 23  # include/uapi/asm-generic/mman-common.h, Linux 5.14
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)


class Memory(NamedTuple):
    """A mapping, and where in it the array begins: on a huge page, where it is large enough for one."""

    map: mmap.mmap
    offset: int


def empty(
    shape: int | Sequence[int],
    dtype: Any = "float64",
    *,
    node: Ids | None = None,
    mem: str | MemoryPolicy | None = None,
    huge: bool = True,
    strict: bool = False,
) -> np.ndarray[Any, Any]:
    """A NumPy array whose pages exist, all zero, and are on these nodes, whichever thread asks for it or fills it.

    The memory is its own mapping with its own policy: it goes back to the system with the last view of the array.

    Args:
        shape: elements along each axis.
        dtype: anything that `numpy.dtype` takes, but objects.
        node: the node, or several (bound to them as a set), CPU-less ones included.
        mem: instead of `node`, a policy such as `interleave:all` or `preferred:1`.
        huge: ask for huge pages, where the array fills one.
        strict: a step down the permission ladder is an error; else it is warned of (RuntimeWarning).

    Raises UsageError for what cannot be meant or does not fit on the nodes, NotPermittedError for nodes that may not be
    used, NumawiseError when the pages are then seen elsewhere.

    >>> a = empty((4, 1000), "float32", node=0)
    >>> a.shape, float(a.sum())
    ((4, 1000), 0.0)
    """
    import numpy

    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise UsageError(f"an array of {kind} holds references: the objects themselves are elsewhere")
    sizes = _shape(shape)
    count = prod(sizes)
    memory = _memory(count * kind.itemsize, node, mem, huge, strict)
    return numpy.frombuffer(memory.map, kind, count, memory.offset).reshape(sizes)


def empty_tensor(
    shape: int | Sequence[int],
    dtype: Any = None,
    *,
    node: Ids | None = None,
    mem: str | MemoryPolicy | None = None,
    huge: bool = True,
    strict: bool = False,
) -> Any:
    """As `empty`, a CPU tensor of torch: `dtype` is one of torch (its default type, unless given)."""
    import torch

    kind = dtype or torch.get_default_dtype()
    sizes = _shape(shape)
    count = prod(sizes)
    memory = _memory(count * kind.itemsize, node, mem, huge, strict)
    if not count:
        return torch.empty(sizes, dtype=kind)
    return torch.frombuffer(memory.map, dtype=kind, count=count, offset=memory.offset).reshape(sizes)


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if not all(hasattr(size, "__index__") and int(size) >= 0 for size in sizes):
        raise UsageError(f"shape={shape!r}: whole numbers from 0 are meant")
    return tuple(int(size) for size in sizes)


def _memory(size: int, node: Ids | None, mem: str | MemoryPolicy | None, huge: bool, strict: bool) -> Memory:
    """`size` bytes (at least a page of them), mapped, bound, touched and looked at."""
    topology = read("/", devices=False)
    policy = _policy(topology, node, mem)
    length = -(-max(size, 1) // PAGE) * PAGE
    everywhere = Placement(0, topology.allowed.cpus, policy)
    if policy.mode != "default":
        check_size([everywhere], length >> 10, topology)
    large = length >= _HUGE
    try:
        area = mmap.mmap(-1, length + (_HUGE if large else 0), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        name = errno.errorcode.get(getattr(error, "errno", 0) or 0, type(error).__name__)
        raise NumawiseError(f"{length >> 20} MiB of memory were refused ({name})") from None
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
    offset = -base % _HUGE if large else 0
    if large:
        with suppress(OSError):  # a kernel without huge pages: small ones are right as well
            area.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE, offset, length)
    memory = Memory(area, offset)
    step, cpus = _bind(base + offset, length, policy, topology)
    if step and strict:
        raise NotPermittedError(f"{step}; strict=True makes this an error")
    _touch(memory, base + offset, length, cpus)
    step = _verify(base + offset, length, policy, step)
    if step:
        if strict:
            raise NotPermittedError(f"{step}; strict=True makes this an error")
        warnings.warn(step, RuntimeWarning, stacklevel=3)
    return memory


def _policy(topology: Topology, node: Ids | None, mem: str | MemoryPolicy | None) -> MemoryPolicy:
    if (node is None) == (mem is None):
        raise UsageError("where? give node= or mem=, one of them")
    if node is not None:
        mem = MemoryPolicy("bind", parse_nodes(spelled(node, "node"), topology, memory=True))
    elif isinstance(mem, str):
        mem = parse_policy(mem, topology)
    return plan(topology, Request(memory=mem)).placements[0].memory


def _bind(address: int, length: int, policy: MemoryPolicy, topology: Topology) -> tuple[str, set[int]]:
    """Set the policy of the range; where that is refused, the step down, and CPUs whose first touch does the same."""
    if policy.mode == "default":
        return "", set()
    try:
        syscalls.mbind(address, length, policy.mode, policy.nodes)
    except OSError as error:
        answer = f"mbind answered {errno.errorcode.get(error.errno or 0, '?')}"
        if error.errno not in _REFUSALS:
            raise NotPermittedError(
                f"memory policy {described(policy)} cannot be set: {answer}; is the node allowed here?"
            ) from None
        refused = f"memory policy {described(policy)} refused ({answer}; {ALLOW_IN_DOCKER})"
        cpus = {c for n in policy.nodes for c in topology.node(n).cpus & topology.allowed.cpus}
        if cpus and policy.mode in ("bind", "preferred", "preferred-many"):
            return f"{refused}: placed by the first touch of a thread on CPUs of the node", cpus
        return f"{refused}: the array is NOT placed", set()
    return "", set()


def _touch(memory: Memory, address: int, length: int, cpus: set[int]) -> None:
    """Have every page exist, touched from `cpus` where any are named."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            if cpus:
                os.sched_setaffinity(0, cpus)
            for done in range(0, length, _CHUNK):
                _populate(memory, address, done, min(_CHUNK, length - done))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failed.append(error)

    if cpus:  # a thread of its own: the caller's affinity is the caller's
        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
    else:
        work()
    if failed:
        raise failed[0]


def _populate(memory: Memory, address: int, done: int, length: int) -> None:
    try:
        memory.map.madvise(_MADV_POPULATE_WRITE, memory.offset + done, length)
    except OSError as error:
        if error.errno != errno.EINVAL:
            name = errno.errorcode.get(error.errno or 0, "?")
            raise NumawiseError(
                f"touching {length >> 20} MiB answered {name}; is there that much memory left on the nodes?"
            ) from None
        ctypes.memset(address + done, 0, length)  # an older kernel


def _verify(address: int, length: int, policy: MemoryPolicy, step: str) -> str:
    """Look where the pages are: the step down, with what was seen. Raises NumawiseError for the wrong place."""
    if not policy.nodes:
        return step
    count = length // PAGE
    pages = [address + i * count // min(count, _SAMPLE) * PAGE for i in range(min(count, _SAMPLE))]
    try:
        nodes = syscalls.move_pages(0, pages)
    except OSError as error:
        unseen = f"where its pages are is not known (move_pages answered {errno.errorcode.get(error.errno or 0, '?')})"
        return f"{step}; {unseen}" if step else f"array on {described(policy)}: {unseen}"
    seen = [node for node in nodes if node >= 0]  # others have been marked by NUMA balancing, see `pages`
    if not seen:
        return step or f"array on {described(policy)}: where its pages are is not known (none was found)"
    share = sum(node in policy.nodes for node in seen) / len(seen)
    if share < _ENOUGH and policy.mode in ("bind", "interleave", "weighted-interleave") and "NOT" not in step:
        raise NumawiseError(
            f"asked for {described(policy)}, but only {share:.1%} of {len(seen)} pages are there"
        )
    if share < _ENOUGH:
        return f"{step or f'memory policy {described(policy)}'}: {share:.1%} of its pages are there"
    return step
