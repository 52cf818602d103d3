"""Shapes, work and the sharing of tokens, by arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from numawise.workloads.moe.layer import OPERATIONS, Layer, costs, share_out


@given(st.integers(0, 1000), st.integers(1, 200))
def test_tokens_are_shared_evenly_and_none_is_lost(tokens: int, parts: int) -> None:
    shares = share_out(tokens, parts)
    assert [t for share in shares for t in share] == list(range(tokens))
    assert len(shares) == parts
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_scale_keeps_shapes_that_models_have() -> None:
    assert Layer.scaled(0.5) == Layer(hidden=1024, intermediate=2816)
    assert Layer.scaled(1e-9) == Layer(hidden=16, intermediate=16)
    assert Layer.scaled(1.0).weights == 3 * 8 * 2048 * 5632


def test_costs_of_a_layer_small_enough_to_count_by_hand() -> None:
    found = costs(Layer(hidden=3, intermediate=5, experts=4), 2, pairs=8, experts=4, itemsize=4)
    assert tuple(found) == OPERATIONS
    assert found["gate"].flops == found["down"].flops == 2 * 8 * 3 * 5
    assert found["gate"].bytes == 4 * (2 * 3 + 4 * 3 * 5 + 8 * 5)
    assert found["down"].bytes == 4 * (8 * 5 + 4 * 3 * 5 + 8 * 3)
    assert found["router"].flops == 2 * 2 * 3 * 4


def test_only_chosen_experts_cost_less() -> None:
    layer = Layer.scaled(1.0)
    every = costs(layer, 1, pairs=8, experts=8, itemsize=4)
    chosen = costs(layer, 1, pairs=2, experts=2, itemsize=4)
    assert every["gate"].flops == 4 * chosen["gate"].flops
    assert every["router"] == chosen["router"]
