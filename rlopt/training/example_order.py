"""The order in which examples are seen, fixed before training starts: what makes a resumed run equal another one."""

from collections.abc import Sequence

import numpy as np

from reward.arrays import IntArray


def training_order(n: int, steps: int, batch_size: int, seed: int, lengths: Sequence[int] | None = None) -> IntArray:
    """Example of each place in ``steps`` batches, shape (steps * batch_size,).

    Every example is seen once before any is seen twice. With ``lengths``, batches hold examples of similar length
    (sorted within windows of 16 batches, then the batches of a window are shuffled), so that little is padded.
    """
    if n < 1:
        raise ValueError("There is no example to order.")
    rng = np.random.default_rng(seed)
    places = steps * batch_size
    epochs = [rng.permutation(n) for _ in range(-(-places // n))]
    order = np.concatenate(epochs)[:places].astype(np.int64)
    if lengths is None:
        return order
    length = np.asarray(lengths)
    window = 16 * batch_size
    for start in range(0, places, window):
        part = order[start : start + window]
        part = part[np.argsort(length[part], kind="stable")]
        batches = part.reshape(-1, batch_size)
        order[start : start + window] = batches[rng.permutation(len(batches))].ravel()
    return order
