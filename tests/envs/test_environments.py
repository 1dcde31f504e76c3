"""Gymnasium environments and replay."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.errors import EnvError, ReplayError
from envs.gym import TitleEnv, market_env
from envs.market import Market
from envs.replay import Replay, ReplayEnv
from reward.arms import Arms
from reward.items import Item


@pytest.fixture
def arms() -> Arms:
    items = (Item("a", {"brand": ("Luma",)}), Item("b", {"品牌": ("素锦",)}))
    return Arms(
        items=items,
        item_index=np.array([0, 0, 1]),
        title=np.array(["Luma Lamp", "Lamp", "素锦连衣裙"], dtype=object),
        impressions=np.array([100.0, 100.0, 50.0]),
        clicks=np.array([10.0, 4.0, 5.0]),
        exposure=np.array([80.0, 100.0, 50.0]),
        propensity=np.array([0.5, 0.5, 1.0]),
        propensity_logged=True,
    )


@pytest.fixture(autouse=True)
def _checker_notes() -> Iterator[None]:
    """The checker warns that the env is not registered by name: it is made directly, on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="gymnasium")
        yield


def test_market_env_passes_the_checker(market: Market) -> None:
    check_env(market_env(market), skip_render_check=True)


def test_expected_reward_is_the_truth_and_sampled_clicks_average_to_it(market: Market) -> None:
    env = market_env(market, sampled=False)
    observation, info = env.reset(seed=0)
    item = Item.from_json(observation)
    assert item.item_id == info["item_id"] == env.item.item_id
    title = item.fields["type"][0]
    _, reward, terminated, truncated, info = env.step(title)
    assert (reward, terminated, truncated) == (market.true_value(item, title), True, False)

    sampled = TitleEnv(market.items, lambda _item, _title: 0.3)
    sampled.reset(seed=1)
    clicks = [sampled.step(title)[1] for _ in range(2_000)]
    assert set(clicks) == {0.0, 1.0}
    assert np.mean(clicks) == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 2_000))


def test_the_same_seed_shows_the_same_items(market: Market) -> None:
    runs = []
    for _ in range(2):
        env = market_env(market)
        runs.append([env.reset(seed=3)[0]] + [env.reset()[0] for _ in range(5)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 1


def test_any_text_may_be_written(market: Market) -> None:
    env = market_env(market)
    for text in ("", "🎉", "a" * 5_000, "任何文字 any"):
        env.reset(seed=0)
        assert env.step(text)[1] in (0.0, 1.0)


def test_replay_gives_the_debiased_rate(arms: Arms) -> None:
    replay = Replay(arms)
    assert replay.value(arms.items[0], "Luma Lamp") == pytest.approx(10 / 80)
    assert replay.value(arms.items[1], "素锦连衣裙") == pytest.approx(0.1)
    with pytest.raises(ReplayError, match="title '素锦连衣裙' of item 'a' is not in these logs"):
        replay.value(arms.items[0], "素锦连衣裙")
    assert replay.find(arms.items[0], "Lamp") == pytest.approx(0.04)
    assert replay.find(arms.items[0], "never shown") is None


def test_replay_env(arms: Arms) -> None:
    env = ReplayEnv(arms)
    env.reset(seed=0)
    title = {"a": "Lamp", "b": "素锦连衣裙"}[env.item.item_id]
    assert env.step(title)[1] == {"a": 0.04, "b": 0.1}[env.item.item_id]
    with pytest.raises(ReplayError, match="replay answers for logged titles only"):
        env.step("never shown")
    sampled = ReplayEnv(arms, sampled=True)
    sampled.reset(seed=0)
    assert sampled.step(title)[1] in (0.0, 1.0)


def test_no_items() -> None:
    with pytest.raises(EnvError, match="at least one item"):
        TitleEnv((), lambda _item, _title: 0.0)
