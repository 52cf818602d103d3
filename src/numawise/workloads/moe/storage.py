"""One block of memory for all weights, created and first touched by the process that computes with them.

Its memory policy then decides where the pages are, and the bandwidth limit can be measured on the same pages.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from numawise.native.parallel import run_on_threads

Bytes = npt.NDArray[np.uint8]

TILE = 262147
"""Numbers in the random tile that is repeated through the block: drawing 100 MB takes longer than a trial
should, and a prime keeps experts and rows from being equal."""

_ALIGNMENT = 64  # a cache line, and the widest vector register


def filled_block(size: int, tile: Bytes) -> Bytes:
    """`size` bytes, beginning on a cache line, filled with repetitions of `tile`."""
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    block: Bytes = room[start : start + size]
    for at in range(0, size, len(tile)):
        block[at : at + len(tile)] = tile[: size - at]
    return block


def read_limit(block: Bytes, threads: int, seconds: float) -> float:
    """What `threads` threads read from this block, in GB/s. Raises NumawiseError without the kernels."""
    edges = [len(block) * i // threads // 8 * 8 for i in range(threads + 1)]
    parts: list[Any] = [block[a:b] for a, b in pairwise(edges)]
    return run_on_threads("read", parts, seconds=seconds).gb_per_s
