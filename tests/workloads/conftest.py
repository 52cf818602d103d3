"""What the workload tests share: the layer as a plain loop over tokens and their chosen experts."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

Array = npt.NDArray[np.float64]


def plain_loop(x: Array, router: Array, gate: Array, up: Array, down: Array, top: int) -> Array:
    """`output[t,d]` from `x[t,d]`, `router[d,e]`, `gate[e,d,h]`, `up[e,d,h]`, `down[e,h,d]`."""
    output = np.zeros_like(x)
    for t, token in enumerate(x):
        logits = token @ router
        best = np.argsort(logits)[-top:]
        scores = np.exp(logits[best] - logits[best].max())
        for expert, score in zip(best, scores / scores.sum(), strict=True):
            g = token @ gate[expert]
            inner = g / (1 + np.exp(-g)) * (token @ up[expert])
            output[t] += score * (inner @ down[expert])
    return output


@pytest.fixture(scope="session")
def reference() -> Callable[..., Array]:
    return plain_loop
