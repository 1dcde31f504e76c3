"""Examination by position, from titles that were shown at several of them (position-based model).

The model: P(click | arm a at position k) = alpha_a * theta_k (Richardson, Dominowska and Ragno 2007; Craswell et al.
2008). Only arms shown at two or more positions tell positions apart, so the estimate is free of the habit of
rankers to place good titles first.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..arrays import BoolArray, FloatArray, IntArray

PRIOR_CLICKS = 20.0
"""Expected clicks at which a position's own data weigh as much as the estimate of the position above it."""
_MAX_ROUNDS = 500
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class PositionBias:
    """Examination of positions relative to the average impression of these logs.

    Parameters
    ----------
    position
        Positions, ascending, shape (n_positions,).
    theta
        Relative examination; the impression-weighted mean is 1, shape (n_positions,).
    impressions
        Impressions at each position, shape (n_positions,).
    identified
        True if within-arm variation ties the position to the position with most impressions, shape (n_positions,).
        A group of positions that is not tied has mean 1 of its own: between groups nothing is corrected.
    """

    position: IntArray
    theta: FloatArray
    impressions: FloatArray
    identified: BoolArray


def examination(
    arm: IntArray, position: IntArray, impressions: FloatArray, clicks: FloatArray, totals: dict[int, float]
) -> PositionBias:
    """Estimate examination by position from cells (arm, position).

    Maximises the Poisson likelihood clicks ~ impressions * alpha_arm * theta_position by alternating the two closed
    forms alpha_a = C_a / sum_k n_ak theta_k and theta_k = C_k / sum_a n_ak alpha_a. Positions with few clicks are then
    drawn to the position above them with the weight of `PRIOR_CLICKS` expected clicks.

    Parameters
    ----------
    arm, position, impressions, clicks
        Cells of the arms shown at two or more positions, each shape (n_cells,); the pairs are distinct.
    totals
        Impressions of all arms by position: the weights of the normalisation.

    Returns
    -------
    PositionBias
        With theta 1 where the cells say nothing.
    """
    positions = np.array(sorted(totals), dtype=np.int64)
    weights = np.array([totals[int(k)] for k in positions], dtype=np.float64)
    if not len(positions):
        return PositionBias(positions, np.ones(0), weights, np.zeros(0, dtype=bool))
    column = np.searchsorted(positions, position)
    _, row = np.unique(arm, return_inverse=True)
    group = linked_groups(row, column, len(positions))
    theta, expected = _alternate(row, column, impressions, clicks, group, weights)
    theta = _shrink(theta, expected, group)
    theta = _normalise(theta, group, weights)
    main = group[int(np.argmax(weights))]
    return PositionBias(positions, theta, weights, group == main)


def linked_groups(row: IntArray, column: IntArray, n_positions: int) -> IntArray:
    """Group of each position; positions are in one group where a chain of arms ties them."""
    n_rows = int(row.max()) + 1 if len(row) else 0
    edges = coo_matrix((np.ones(len(row)), (column, n_positions + row)), shape=(n_positions + n_rows,) * 2)
    labels = connected_components(edges, directed=False)[1]
    return np.asarray(labels[:n_positions], dtype=np.int64)


def _alternate(
    row: IntArray, column: IntArray, impressions: FloatArray, clicks: FloatArray, group: IntArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Maximum-likelihood theta, and the clicks each position would have at theta 1."""
    n = len(group)
    theta = np.ones(n)
    expected = np.zeros(n)
    if not len(row):
        return theta, expected
    arm_clicks = np.bincount(row, clicks)
    position_clicks = np.bincount(column, clicks, minlength=n)
    for _ in range(_MAX_ROUNDS):
        exposed = np.bincount(row, impressions * theta[column])
        alpha = np.divide(arm_clicks, exposed, out=np.zeros_like(exposed), where=exposed > 0)
        expected = np.asarray(np.bincount(column, impressions * alpha[row], minlength=n))
        new = np.divide(position_clicks, expected, out=np.ones(n), where=expected > 0)
        new = _normalise(new, group, weights)
        change = float(np.max(np.abs(new - theta)))
        theta = new
        if change < _TOLERANCE:
            break
    return theta, expected


def _shrink(theta: FloatArray, expected: FloatArray, group: IntArray) -> FloatArray:
    """Draw each position to the one above it in its group; the first is its own anchor, or 1 without a click.

    So every theta is above 0: of a position without clicks it is known only that it is looked at little.
    """
    out = theta.copy()
    above: dict[int, float] = {}
    for k, (own, clicks) in enumerate(zip(theta, expected, strict=True)):
        anchor = above.get(int(group[k]), float(own) if clicks >= PRIOR_CLICKS and own > 0 else 1.0)
        out[k] = (clicks * own + PRIOR_CLICKS * anchor) / (clicks + PRIOR_CLICKS)
        above[int(group[k])] = out[k]
    return out


def _normalise(theta: FloatArray, group: IntArray, weights: FloatArray) -> FloatArray:
    """Scale each group to an impression-weighted mean of 1."""
    total = np.bincount(group, weights)
    seen = np.bincount(group, weights * theta)
    scale = np.divide(total, seen, out=np.ones_like(total), where=seen > 0)
    return np.asarray(theta * scale[group])
