"""The order of examples: complete epochs, the same for the same seed, batches of similar length."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rlopt.training.example_order import training_order


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 8), st.integers(0, 99), st.booleans())
def test_every_example_is_seen_before_any_is_seen_twice(
    n: int, steps: int, batch: int, seed: int, lengths: bool
) -> None:
    order = training_order(n, steps, batch, seed, list(range(n)) if lengths else None)
    assert len(order) == steps * batch
    counts = np.bincount(order, minlength=n)
    assert counts.max() - counts.min() <= 1


def test_same_seed_same_order() -> None:
    assert (training_order(100, 7, 8, 3) == training_order(100, 7, 8, 3)).all()
    assert (training_order(100, 7, 8, 3) != training_order(100, 7, 8, 4)).any()


def test_lengths_within_a_batch_are_close() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 1000)
    mixed = training_order(1000, 60, 16, 0)
    grouped = training_order(1000, 60, 16, 0, lengths)

    def padding(order: np.ndarray) -> float:
        batches = lengths[order].reshape(-1, 16)
        return float((batches.max(axis=1, keepdims=True) - batches).mean())

    assert padding(grouped) < 0.2 * padding(mixed)
