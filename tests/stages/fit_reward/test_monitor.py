"""The monitor's items: held out from the reward, with all that share a title, and never so many that it hurts."""

import numpy as np
import pytest

from reward.arms import Arms
from reward.logs.splits import title_groups
from rlopt.config import RewardConfig
from rlopt.stages.common.monitor import MAX_SHARE, MIN_ITEMS, monitor_items
from rlopt.stages.fit_reward.fitting import fit_monitor
from tests.stages.menu import make_arms


@pytest.fixture(scope="module")
def arms() -> Arms:
    return make_arms(600)


@pytest.mark.parametrize(("n_items", "share", "wanted"), [(600, 0.1, 60), (200, 0.1, MIN_ITEMS), (600, 0.25, 150)])
def test_the_share_asked_for_but_enough_to_learn_from(n_items: int, share: float, wanted: int) -> None:
    assert len(monitor_items(make_arms(n_items), share, 0)) == wanted


@pytest.mark.parametrize(("n_items", "share"), [(600, 0.0), (round(MIN_ITEMS / MAX_SHARE) - 4, 0.1)])
def test_none_where_switched_off_or_too_few(n_items: int, share: float) -> None:
    train = make_arms(n_items)
    assert monitor_items(train, share, 0) == ()
    model, rest = fit_monitor(train, RewardConfig(monitor_share=share), None)
    assert model is None
    assert rest is train


def test_items_that_share_a_title_stay_together(arms: Arms) -> None:
    titles = arms.title.copy()
    titles[0 : 3 * 600 : 3] = [f"shared {i // 10}" for i in range(600)]  # tens of items share one title
    tied = Arms(**{**arms.__dict__, "title": titles})
    chosen = set(monitor_items(tied, 0.1, 0))
    group = title_groups(tied)
    side = np.array([item.item_id in chosen for item in tied.items])
    assert 0 < len(chosen) <= 60
    for number in np.unique(group):
        assert len(set(side[group == number])) == 1


def test_the_reward_does_not_see_what_the_monitor_learns_from(arms: Arms) -> None:
    model, rest = fit_monitor(arms, RewardConfig(), None)
    chosen = set(monitor_items(arms, RewardConfig().monitor_share, 0))
    assert model is not None
    assert {item.item_id for item in rest.items} == {item.item_id for item in arms.items} - chosen
