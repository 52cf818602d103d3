"""The layer as numbers: its shapes, and what each operation computes and moves."""

from __future__ import annotations

from itertools import pairwise

import msgspec

OPERATIONS = ("router", "gate", "up", "activation", "down", "combine")
"""Order of the operations in one pass, and their names in the output."""

_MULTIPLE = 16  # hidden sizes of real models divide by at least this
_ACTIVATION_FLOPS = 5  # exp, add, divide, and two multiplications per element of silu(gate) * up


class Layer(msgspec.Struct, frozen=True):
    """Sizes of the experts of one mixture-of-experts layer (gate, up and down projections with SiLU)."""

    hidden: int
    intermediate: int
    experts: int = 8
    top: int = 2
    """Experts that each token is sent to."""

    @classmethod
    def scaled(cls, scale: float) -> Layer:
        """Hidden 2048 and intermediate 5632 times `scale`, to the nearest multiple of 16.

        >>> Layer.scaled(1.0)
        Layer(hidden=2048, intermediate=5632, experts=8, top=2)
        """
        hidden, intermediate = (max(1, round(n * scale / _MULTIPLE)) * _MULTIPLE for n in (2048, 5632))
        return cls(hidden=hidden, intermediate=intermediate)

    @property
    def matrix_size(self) -> int:
        """Numbers in one projection of all experts together."""
        return self.experts * self.hidden * self.intermediate

    @property
    def weights(self) -> int:
        """Numbers in the three projections of all experts: what a pass over all experts reads."""
        return 3 * self.matrix_size


class Cost(msgspec.Struct, frozen=True):
    """What one operation takes in one pass."""

    flops: int
    bytes: int
    """Every array read and written once: the least traffic there can be, so GB/s of it never flatters."""


def costs(layer: Layer, tokens: int, *, pairs: int, experts: int, itemsize: int) -> dict[str, Cost]:
    """Cost of each operation.

    `pairs` is how many (token, expert) pairs are computed: tokens x experts when every expert sees every
    token, tokens x top when only the chosen ones do. `experts` is how many experts' weights are read;
    `itemsize` is in bytes.
    """
    d, h = layer.hidden, layer.intermediate
    product = Cost(2 * pairs * d * h, itemsize * (tokens * d + experts * d * h + pairs * h))
    return {
        "router": Cost(2 * tokens * d * layer.experts, itemsize * (tokens + layer.experts) * d),
        "gate": product,
        "up": product,
        "activation": Cost(_ACTIVATION_FLOPS * pairs * h, itemsize * 3 * pairs * h),
        "down": Cost(2 * pairs * h * d, itemsize * (pairs * h + experts * h * d + pairs * d)),
        "combine": Cost(2 * pairs * d, itemsize * (pairs * d + tokens * d)),
    }


def share_out(tokens: int, parts: int) -> list[range]:
    """The tokens of each part: contiguous, all of them, none more than one longer than another.

    >>> share_out(5, 3)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    edges = [-(-tokens * part // parts) for part in range(parts + 1)]
    return [range(first, last) for first, last in pairwise(edges)]
