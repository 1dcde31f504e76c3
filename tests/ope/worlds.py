"""A small world whose judge is exactly right: true effects are drawn from its own posterior."""

from dataclasses import dataclass

import numpy as np

from reward.arrays import FloatArray, IntArray


@dataclass
class World:
    """Titles of one policy per item group; ``effects`` are posterior draws, ``truth`` the true effects."""

    effects: FloatArray
    truth: FloatArray
    item: IntArray

    def of(self, columns: slice) -> "World":
        return World(self.effects[:, columns], self.truth[columns], self.item[columns])


def draw_world(
    rng: np.random.Generator,
    *,
    n_items: int,
    per_item: dict[str, int],
    shift: dict[str, float],
    n_draws: int = 300,
    coef_std: float = 0.3,
    idiosyncratic: float = 0.15,
    bias: float = 0.0,
) -> dict[str, World]:
    """Titles with one feature x; effect = coef * x + noise.

    The judge believes coef ~ N(1, coef_std^2) and noise ~ N(0, idiosyncratic^2), and the truth is one draw of that.
    ``shift`` moves the mean of x of a policy's titles; ``bias`` makes the judge wrong about the slope.
    """
    coef = 1.0 + coef_std * rng.standard_normal() - bias
    coef_draws = 1.0 + coef_std * rng.standard_normal(n_draws)
    out = {}
    for name, k in per_item.items():
        item = np.repeat(np.arange(n_items), k)
        x = shift[name] + 0.3 * rng.standard_normal(len(item))
        truth = coef * x + idiosyncratic * rng.standard_normal(len(item))
        effects = coef_draws[:, None] * x + idiosyncratic * rng.standard_normal((n_draws, len(item)))
        out[name] = World(effects, truth, item)
    return out


def per_item_mean(values: FloatArray, item: IntArray) -> FloatArray:
    return np.bincount(item, weights=values) / np.bincount(item)
