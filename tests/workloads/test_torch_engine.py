"""The PyTorch layer computes what the NumPy layer computes, in every dtype and layout."""

import numpy as np
import pytest

from numawise.workloads.moe.layer import OPERATIONS, Layer
from numawise.workloads.moe.numpy_engine import NumPyEngine

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch

TOLERANCE = {"float64": 1e-12, "float32": 1e-4, "bfloat16": 6e-2, "float16": 1e-2}


@pytest.mark.parametrize("layout", ["contiguous", "non-contiguous"])
@pytest.mark.parametrize("method", ["einsum", "chosen"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("tokens", [1, 6])
@pytest.mark.parametrize("layer", [Layer(16, 48), Layer(33, 5, experts=3, top=1)], ids=str)
def test_it_equals_numpy(layer: Layer, tokens: int, dtype: str, method: str, layout: str) -> None:
    from numawise.workloads.moe.torch_engine import TorchEngine

    engine = TorchEngine(layer, tokens, range(tokens), dtype=dtype, layout=layout, method=method, seed=5)
    laps: list[str] = []
    output = engine.forward(laps.append)
    same = NumPyEngine(layer, tokens, range(tokens), dtype="float64", layout=layout, method="chosen", seed=5)
    same.x[:] = engine.x.double().numpy()  # rounded as the engine rounded them
    same.weights = type(same.weights)(*(w.double().numpy() for w in engine.weights))
    expected = same.forward(lambda _: None)
    np.testing.assert_allclose(
        output.double().numpy(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
    )
    assert output.dtype == getattr(torch, dtype)
    assert set(laps) == set(OPERATIONS)
    assert engine.work()[0] == tokens * (layer.top if method == "chosen" else layer.experts)


def test_weights_are_views_of_the_block() -> None:
    from numawise.workloads.moe.torch_engine import TorchEngine

    engine = TorchEngine(
        Layer(16, 48), 1, range(1), dtype="bfloat16", layout="non-contiguous", method="einsum", seed=0
    )
    start, size = engine.block.ctypes.data, len(engine.block)
    assert all(start <= w.data_ptr() < start + size for w in engine.weights[1:])
    assert not any(w.is_contiguous() for w in engine.weights[1:])
