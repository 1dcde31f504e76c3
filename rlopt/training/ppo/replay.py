"""Prompts of a training that continues: those of the new logs, and replayed earlier ones."""

import numpy as np

from reward.arrays import BoolArray, IntArray
from rlopt.training.example_order import training_order


def replay_order(earlier: BoolArray, rollouts: int, prompts: int, share: float, seed: int) -> IntArray:
    """Item of each place in ``rollouts`` of ``prompts`` each, shape (rollouts * prompts,).

    Each rollout holds ``share`` of earlier items (rounded), mixed with the others, so that what was learned of them is
    rehearsed all along (experience replay of prompts; Rolnick et al. 2019, "Experience Replay for Continual Learning").
    Within either kind every item is seen once before any is seen twice. Where there is one kind only, that is all.

    Parameters
    ----------
    earlier
        True for the items to rehearse, shape (n_items,).
    """
    again = min(max(round(share * prompts), 0), prompts)
    kinds = [(np.flatnonzero(earlier), again), (np.flatnonzero(~earlier), prompts - again)]
    if any(not len(items) for items, _ in kinds):
        return training_order(len(earlier), rollouts, prompts, seed)
    seen = [
        items[training_order(len(items), rollouts, number, seed + kind)].reshape(rollouts, number)
        for kind, (items, number) in enumerate(kinds)
        if number
    ]
    mixed = np.random.default_rng(seed).permuted(np.concatenate(seen, axis=1), axis=1)
    return mixed.ravel().astype(np.int64)
