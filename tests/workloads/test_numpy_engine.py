"""Whatever the method and the layout, the NumPy layer computes what a plain loop computes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from numawise.workloads.moe.layer import OPERATIONS, Layer
from numawise.workloads.moe.numpy_engine import DTYPES, METHODS, NumPyEngine, route, silu

LAYERS = [Layer(16, 48), Layer(7, 13), Layer(33, 5, experts=3, top=1), Layer(1, 1, experts=2, top=2)]
LAYOUTS = ("contiguous", "non-contiguous")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 2, 17])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_equals_the_plain_loop(
    layer: Layer, tokens: int, dtype: str, method: str, layout: str, reference: Callable[..., Any]
) -> None:
    engine = NumPyEngine(layer, tokens, range(tokens), dtype=dtype, layout=layout, method=method, seed=5)
    laps: list[str] = []
    output = engine.forward(laps.append)
    expected = reference(engine.x.astype(float), *(w.astype(float) for w in engine.weights), layer.top)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(output, expected, rtol=tolerance, atol=tolerance)
    assert output.dtype == dtype
    assert set(laps) == set(OPERATIONS)
    assert engine.checksum(output) == pytest.approx(np.abs(expected).sum(), rel=1e-4)


def test_layouts_are_what_they_are_called() -> None:
    for layout, contiguous in zip(LAYOUTS, (True, False), strict=True):
        engine = NumPyEngine(
            Layer(16, 48), 1, range(1), dtype="float32", layout=layout, method="einsum", seed=0
        )
        for weights in engine.weights[1:]:
            assert weights.flags.c_contiguous is contiguous
            assert np.shares_memory(weights, engine.block)


def test_experts_differ_from_each_other() -> None:
    layer = Layer(1024, 256)  # an expert is exactly as large as a power-of-two tile would be
    engine = NumPyEngine(layer, 1, range(1), dtype="float32", layout="contiguous", method="einsum", seed=0)
    assert not any(np.array_equal(engine.weights.gate[0], expert) for expert in engine.weights.gate[1:])


def test_parts_of_a_batch_are_the_batch() -> None:
    def output(tokens: range) -> Any:
        engine = NumPyEngine(
            Layer(16, 32), 9, tokens, dtype="float64", layout="contiguous", method="chosen", seed=3
        )
        return engine.forward(lambda _: None)

    parts = np.concatenate([output(range(0, 4)), output(range(4, 9))])
    np.testing.assert_allclose(parts, output(range(9)), rtol=1e-12)


def test_work_is_counted_as_it_is_done() -> None:
    layer = Layer(16, 32)
    for method, most in [("einsum", 8), ("chosen", 2)]:
        engine = NumPyEngine(layer, 1, range(1), dtype="float32", layout="contiguous", method=method, seed=0)
        assert engine.work() == (most, most)


def test_routing_takes_the_top_and_its_weights_sum_to_one() -> None:
    weights = route(np.array([[1.0, 3.0, 2.0, -1.0], [1e9, 0.0, 0.0, 1e9 - 1]]), 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights > 0).tolist() == [[False, True, True, False], [True, False, False, True]]


def test_silu_of_extremes_is_finite() -> None:
    assert silu(np.array([-1e4, 0.0, 1e4], dtype=np.float32)).tolist() == [0.0, 0.0, 1e4]
