"""Selection of the items worth exploring: most learned per impression first, within budget and acceptable loss."""

import numpy as np

from reward.arrays import BoolArray, FloatArray


def choose_items(
    gain: FloatArray, loss: FloatArray, impressions: FloatArray, budget: float | None, most_loss: float
) -> BoolArray:
    """Items taken one by one, by expected gain an impression, each that still fits; shape (n,).

    Parameters
    ----------
    gain, loss
        Clicks that exploring an item is expected to bring, and to cost while it lasts, shape (n,). A loss below 0 makes
        no room for others.
    impressions
        Impressions needed, shape (n,).
    budget
        Impressions in all; None for no bound.
    most_loss
        Clicks that may be lost in all.
    """
    chosen = np.zeros(len(gain), dtype=bool)
    spent, lost = 0.0, 0.0
    for item in np.argsort(-gain / np.maximum(impressions, 1e-12), kind="stable").tolist():
        if gain[item] <= 0 or impressions[item] <= 0:
            continue
        costs = max(float(loss[item]), 0.0)
        if (budget is None or spent + impressions[item] <= budget) and lost + costs <= most_loss:
            chosen[item] = True
            spent, lost = spent + float(impressions[item]), lost + costs
    return chosen
