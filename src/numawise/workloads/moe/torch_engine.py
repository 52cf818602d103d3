"""The layer with PyTorch, on CPUs, as people write it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from numawise.workloads.moe.layer import Layer
from numawise.workloads.moe.storage import TILE, Bytes, filled_block
from numawise.workloads.moe.timing import Lap

Tensor = Any  # torch.Tensor: PyTorch is optional, also for the type checker

DTYPES = ("float32", "float64", "bfloat16", "float16")
METHODS = ("einsum", "chosen")


class Weights(NamedTuple):
    """Weights of all experts: `router[d,e]`, `gate[e,d,h]`, `up[e,d,h]`, `down[e,h,d]`."""

    router: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor


class TorchEngine:
    """The counterpart of `NumPyEngine`, with the same arguments and meaning."""

    def __init__(
        self, layer: Layer, batch: int, tokens: range, *, dtype: str, layout: str, method: str, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        kind = getattr(torch, dtype)
        self.layer, self.method = layer, method
        tile = torch.from_numpy((rng.random(TILE) * 2 - 1) * (3 / layer.hidden) ** 0.5).to(kind)
        router = torch.from_numpy(rng.standard_normal((layer.hidden, layer.experts))).to(kind)
        x = rng.standard_normal((batch, layer.hidden))[tokens.start : tokens.stop].copy()
        self.x = torch.from_numpy(x).to(kind)
        self.block: Bytes = filled_block(layer.weights * tile.element_size(), tile.view(torch.uint8).numpy())
        gate, up, down = torch.from_numpy(self.block).view(kind).reshape(3, -1)
        wide, tall = (
            (layer.experts, layer.hidden, layer.intermediate),
            (layer.experts, layer.intermediate, layer.hidden),
        )
        if layout == "contiguous":
            self.weights = Weights(router, gate.reshape(wide), up.reshape(wide), down.reshape(tall))
        else:
            gate, up, down = gate.reshape(tall), up.reshape(tall), down.reshape(wide)
            self.weights = Weights(router, *(w.transpose(1, 2) for w in (gate, up, down)))

    def forward(self, lap: Lap) -> Tensor:
        """One pass: `output[t,d]`."""
        run = forward_chosen if self.method == "chosen" else forward_dense
        with torch.inference_mode():
            return run(self.x, self.weights, self.layer.top, lap)

    def work(self) -> tuple[int, int]:
        """(token, expert) pairs computed in a pass, and experts whose weights are read."""
        if self.method != "chosen":
            return len(self.x) * self.layer.experts, self.layer.experts
        chosen = route(self.x @ self.weights.router, self.layer.top) > 0
        return int(chosen.sum()), int(chosen.any(dim=0).sum())

    def threads(self) -> int:
        """Threads PyTorch computes one operation with."""
        return int(torch.get_num_threads())

    def computing_threads(self) -> int:
        """Threads that compute: all of them."""
        return self.threads()

    @staticmethod
    def checksum(output: Tensor) -> float:
        """Sum of magnitudes: the same for the same layer, tokens and seed, up to rounding."""
        return float(output.abs().sum(dtype=torch.float64))


def set_threads(threads: int) -> None:
    """Have PyTorch compute each operation with this many threads."""
    torch.set_num_threads(threads)


def route(logits: Tensor, top: int) -> Tensor:
    """Weight of each expert for each token `[t,e]`: softmax over the `top` largest logits, zero elsewhere."""
    values, best = logits.topk(top, dim=1)
    return torch.zeros_like(logits).scatter_(1, best, values.softmax(dim=1))


def forward_dense(x: Tensor, w: Weights, top: int, lap: Lap) -> Tensor:
    """Every expert computes every token, and the router's weights pick from the results."""
    weights = route(torch.einsum("td,de->te", x, w.router), top)
    lap("router")
    gate = torch.einsum("td,edh->teh", x, w.gate)
    lap("gate")
    up = torch.einsum("td,edh->teh", x, w.up)
    lap("up")
    inner = torch.nn.functional.silu(gate) * up
    lap("activation")
    down = torch.einsum("teh,ehd->ted", inner, w.down)
    lap("down")
    output = torch.einsum("te,ted->td", weights, down)
    lap("combine")
    return output


def forward_chosen(x: Tensor, w: Weights, top: int, lap: Lap) -> Tensor:
    """Each expert computes the tokens that chose it, one matrix product a projection."""
    weights = route(x @ w.router, top)
    output = torch.zeros_like(x)
    lap("router")
    for expert in weights.any(dim=0).nonzero().flatten().tolist():
        rows = weights[:, expert].nonzero().flatten()
        mine = x[rows]
        lap("router")
        gate = mine @ w.gate[expert]
        lap("gate")
        up = mine @ w.up[expert]
        lap("up")
        inner = torch.nn.functional.silu(gate) * up
        lap("activation")
        down = inner @ w.down[expert]
        lap("down")
        output.index_add_(0, rows, weights[rows, expert, None] * down)
        lap("combine")
    return output
