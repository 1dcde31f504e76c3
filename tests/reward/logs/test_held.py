"""Values that titles hold: the bias that clicks within titles leave open, and the test between titles."""

import numpy as np
import pytest
from scipy import stats

from reward.logs.balance import LevelCells
from reward.logs.held import held_by_titles, hidden_bias, two_groups

ITEMS, SHOWN = 200, 1000


def cells(clicks_per: float, share: float, *, effect: float = 0.0, seed: int = 0) -> LevelCells:
    """Two titles an item at two levels: the first ``share`` of the time at level 0, the second at level 1.

    Titles differ by luck; level 0 has exp(``effect``) times the clicks.
    """
    rng = np.random.default_rng(seed)
    arm, level = (grid.ravel() for grid in np.meshgrid(np.arange(2 * ITEMS), np.arange(2), indexing="ij"))
    shown = SHOWN * np.where(level == arm % 2, share, 1 - share)
    luck = rng.normal(0, 0.2, 2 * ITEMS)[arm]
    clicks = rng.poisson(shown * clicks_per / SHOWN * np.exp(luck + effect * (level == 0))).astype(float)
    kept = shown > 0
    arm, level, shown, clicks = arm[kept], level[kept], shown[kept], clicks[kept]
    return LevelCells(arm // 2, arm, level, clicks, shown, shown, shown)


def test_the_bias_is_the_error_of_the_effect_times_what_titles_differ_by() -> None:
    """Within titles an effect is known to 1 / sqrt(sum of clicks * p * (1 - p)); titles are 0.5 - p from the mean."""
    found = cells(50, 0.9)
    known = found.clicks.sum() * 0.9 * 0.1
    assert hidden_bias(found, found.level) == pytest.approx(1.96 * 0.4 / np.sqrt(known), rel=1e-6)


def test_titles_at_one_level_each_rule_out_nothing() -> None:
    found = cells(50, 1.0)
    assert hidden_bias(found, found.level) == np.inf


def test_titles_shown_alike_hide_nothing() -> None:
    found = cells(5, 0.5)
    assert hidden_bias(found, found.level) == 0.0


def test_p_values_of_titles_are_uniform_where_their_values_do_not_matter() -> None:
    found = np.array([held_by_titles(cells(20, 1.0, seed=seed), 2) for seed in range(200)], dtype=float)
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_levels_that_titles_hold_are_found() -> None:
    for share in (1.0, 0.9999):
        assert (held_by_titles(cells(20, share, effect=0.3), 2) or 1) < 0.001


def test_levels_known_within_titles_are_left_to_that() -> None:
    assert held_by_titles(cells(200, 0.8, effect=0.3), 2) is None


def test_places_among_the_items_values_say_something_only_where_titles_share_them() -> None:
    """With one title a picture, exchanging pictures exchanges nothing."""
    one = cells(20, 1.0, effect=0.3)
    assert held_by_titles(one, 2, of_item=True) == 1.0
    item = one.arm // 4  # two titles for each of an item's two levels
    four = LevelCells(item, one.arm, one.level, one.clicks, one.exposure, one.shown, one.shown_squared)
    assert (held_by_titles(four, 2, of_item=True) or 1) < 0.001


@pytest.mark.parametrize("opposite", [False, True])
def test_hours_at_which_titles_are_shown_alike_are_one_group(opposite: bool) -> None:
    """One title in the evening and one by day, or the other way round in half of the items."""
    rng = np.random.default_rng(0)
    arm, hour = (grid.ravel() for grid in np.meshgrid(np.arange(2 * ITEMS), np.arange(24), indexing="ij"))
    evening = (hour >= 17) ^ (opposite & (arm // 2 % 2 == 1))
    shown = rng.poisson(np.where(evening == (arm % 2 == 1), 40, 0.02)).astype(float)
    kept = shown > 0
    arm, hour, shown = arm[kept], hour[kept], shown[kept]
    found = LevelCells(arm // 2, arm, hour, shown / 20, shown, shown, shown)
    group = two_groups(found)
    assert len(set(group[:17])) == len(set(group[17:])) == 1
    assert group[0] != group[-1]
    assert hidden_bias(found, found.level) < 0.02 < hidden_bias(found, group[found.level])
