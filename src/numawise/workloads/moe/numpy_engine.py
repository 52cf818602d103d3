"""The layer with NumPy, as people write it."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from numawise.workloads.moe.layer import Layer
from numawise.workloads.moe.storage import TILE, Bytes, filled_block
from numawise.workloads.moe.timing import Lap

Array = npt.NDArray[Any]

DTYPES = ("float32", "float64")
METHODS = ("einsum", "optimized", "chosen")


class Weights(NamedTuple):
    """Weights of all experts: `router[d,e]`, `gate[e,d,h]`, `up[e,d,h]`, `down[e,h,d]`."""

    router: Array
    gate: Array
    up: Array
    down: Array


class NumPyEngine:
    """Weights, a batch of tokens, and the forward pass over them.

    `contiguous` weights lie in memory in the order of their subscripts; `non-contiguous` ones are transposed
    views of weights stored the other way round (output before input, as PyTorch's Linear stores them).
    """

    def __init__(
        self, layer: Layer, batch: int, tokens: range, *, dtype: str, layout: str, method: str, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        self.layer, self.method = layer, method
        # Uniform with variance 1/hidden, so that the projections keep the size of what goes in.
        tile = ((rng.random(TILE) * 2 - 1) * (3 / layer.hidden) ** 0.5).astype(dtype)
        router = rng.standard_normal((layer.hidden, layer.experts)).astype(dtype)
        # Every worker draws the whole batch and keeps its part: the same tokens however they are shared out.
        self.x: Array = (
            rng.standard_normal((batch, layer.hidden)).astype(dtype)[tokens.start : tokens.stop].copy()
        )
        self.block: Bytes = filled_block(layer.weights * tile.itemsize, tile.view(np.uint8))
        gate, up, down = self.block.view(dtype).reshape(3, -1)
        wide, tall = (
            (layer.experts, layer.hidden, layer.intermediate),
            (layer.experts, layer.intermediate, layer.hidden),
        )
        if layout == "contiguous":
            self.weights = Weights(router, gate.reshape(wide), up.reshape(wide), down.reshape(tall))
        else:
            gate, up, down = gate.reshape(tall), up.reshape(tall), down.reshape(wide)
            self.weights = Weights(router, *(w.transpose(0, 2, 1) for w in (gate, up, down)))

    def forward(self, lap: Lap) -> Array:
        """One pass: `output[t,d]`."""
        if self.method == "chosen":
            return forward_chosen(self.x, self.weights, self.layer.top, lap)
        einsum = partial(np.einsum, optimize=True) if self.method == "optimized" else np.einsum
        return forward_dense(self.x, self.weights, self.layer.top, lap, einsum)

    def work(self) -> tuple[int, int]:
        """(token, expert) pairs computed in a pass, and experts whose weights are read."""
        if self.method != "chosen":
            return len(self.x) * self.layer.experts, self.layer.experts
        chosen = route(self.x @ self.weights.router, self.layer.top) > 0
        return int(chosen.sum()), int(chosen.any(axis=0).sum())

    def threads(self) -> int:
        """Threads the BLAS library was told to use, or all CPUs there are."""
        told = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
        cpus = len(os.sched_getaffinity(0))
        return min(int(told), cpus) if told.isdigit() and int(told) else cpus

    def computing_threads(self) -> int:
        """Threads that compute, whatever was told: plain np.einsum is a loop in C on one."""
        return 1 if self.method == "einsum" else self.threads()

    @staticmethod
    def checksum(output: Array) -> float:
        """Sum of magnitudes: the same for the same layer, tokens and seed, up to rounding."""
        return float(np.abs(output).sum(dtype=np.float64))


def route(logits: Array, top: int) -> Array:
    """Weight of each expert for each token `[t,e]`: softmax over the `top` largest logits, zero elsewhere."""
    best = np.argpartition(-logits, top - 1, axis=1)[:, :top]
    values = np.take_along_axis(logits, best, axis=1)
    values = np.exp(values - values.max(axis=1, keepdims=True))
    weights = np.zeros_like(logits)
    np.put_along_axis(weights, best, values / values.sum(axis=1, keepdims=True), axis=1)
    return weights


def silu(gate: Array) -> Array:
    """`gate * sigmoid(gate)`; a very negative gate overflows exp() to infinity, which gives zero."""
    with np.errstate(over="ignore"):
        result: Array = gate / (1 + np.exp(-gate))
    return result


def forward_dense(x: Array, w: Weights, top: int, lap: Lap, einsum: Any) -> Array:
    """Every expert computes every token, and the router's weights pick from the results."""
    weights = route(einsum("td,de->te", x, w.router), top)
    lap("router")
    gate = einsum("td,edh->teh", x, w.gate)
    lap("gate")
    up = einsum("td,edh->teh", x, w.up)
    lap("up")
    inner = silu(gate) * up
    lap("activation")
    down = einsum("teh,ehd->ted", inner, w.down)
    lap("down")
    output: Array = einsum("te,ted->td", weights, down)
    lap("combine")
    return output


def forward_chosen(x: Array, w: Weights, top: int, lap: Lap) -> Array:
    """Each expert computes the tokens that chose it, one matrix product a projection."""
    weights = route(x @ w.router, top)
    output = np.zeros_like(x)
    lap("router")
    for expert in np.flatnonzero(weights.any(axis=0)):
        rows = np.flatnonzero(weights[:, expert])
        mine = x[rows]
        lap("router")
        gate = mine @ w.gate[expert]
        lap("gate")
        up = mine @ w.up[expert]
        lap("up")
        inner = silu(gate) * up
        lap("activation")
        down = inner @ w.down[expert]
        lap("down")
        output[rows] += weights[rows, expert, None] * down
        lap("combine")
    return output
