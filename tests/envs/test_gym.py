"""Gymnasium environments: its own checker, the truth behind the reward, and an agent that learns."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from envs.errors import EnvError
from envs.market import Market
from reward.items import Item

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'rlopt[gym]'")
from gymnasium.utils.env_checker import check_env

from envs.gym import FieldTitles, TitleEnv, market_env


@pytest.fixture(autouse=True)
def _checker_notes() -> Iterator[None]:
    """The checkers warn that the env has no registered name and speaks text: both meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="gymnasium")
        warnings.filterwarnings("ignore", module="stable_baselines3")
        yield


def test_both_environments_pass_the_checker(market: Market) -> None:
    check_env(market_env(market), skip_render_check=True)
    check_env(FieldTitles(market_env(market)), skip_render_check=True)


def test_expected_reward_is_the_truth_and_sampled_clicks_average_to_it(market: Market) -> None:
    env = market_env(market, sampled=False)
    observation, info = env.reset(seed=0)
    item = Item.from_json(observation)
    assert item.item_id == info["item_id"] == env.item.item_id
    title = item.fields["type"][0]
    _, reward, terminated, truncated, info = env.step(title)
    assert (reward, terminated, truncated, info["title"]) == (market.true_value(item, title), True, False, title)

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


def test_no_items() -> None:
    with pytest.raises(EnvError, match="at least one item"):
        TitleEnv((), lambda _item, _title: 0.0)


def test_numbers_become_the_values_of_fields() -> None:
    lamp = Item("a", {"brand": ("Luma",), "type": ("Lamp", "Light")})
    dress = Item("b", {"品牌": ("素锦",), "类": ("裙",)})
    env = FieldTitles(TitleEnv((lamp, dress), lambda _item, title: len(title) / 100, sampled=False), places=4)
    assert env.fields == ("brand", "type", "品牌", "类")
    assert env.write(lamp, np.array([2, 0, 1, 2])) == "Lamp Luma"  # a type that stands already is not said again
    assert env.write(dress, np.array([3, 1, 4, 0])) == "素锦裙"  # it has no brand
    observation, info = env.reset(seed=0)
    assert observation.tolist() == ([1, 1, 0, 0] if info["item_id"] == "a" else [0, 0, 1, 1])
    assert env.step(np.array([0, 0, 0, 0]))[1:3] == (0.0, True)


def test_an_agent_of_another_library_learns_to_write(market: Market) -> None:
    """On items it has never seen, its titles come near those of the shop's sellers, who know the language."""
    library = pytest.importorskip(
        "stable_baselines3", reason="stable-baselines3 is not installed: pip install 'rlopt[dev]'"
    )
    from stable_baselines3.common.env_checker import check_env as check_numbers
    from stable_baselines3.common.vec_env import DummyVecEnv

    seen, unseen = market.items[:200], market.items[200:]
    envs = [FieldTitles(TitleEnv(seen, market.true_value, sampled=False)) for _ in range(64)]
    env = envs[0]
    check_numbers(env)
    vector = DummyVecEnv([lambda one=one: one for one in envs])
    agent = library.PPO(
        "MlpPolicy", vector, n_steps=4, batch_size=128, n_epochs=4, learning_rate=3e-3, gamma=1.0, seed=0, device="cpu",
        policy_kwargs={"net_arch": [64]},
    )  # fmt: skip
    agent.learn(20_480)

    env.action_space.seed(0)
    observed = np.array([[name in item.fields for name in env.fields] for item in unseen], dtype=np.float32)
    actions, _ = agent.predict(observed, deterministic=True)
    drawn = [env.action_space.sample() for _ in unseen]
    learned, at_random = (
        market.click_probability(unseen, list(map(env.write, unseen, written))).mean() for written in (actions, drawn)
    )
    sellers = np.mean([sum(p * market.true_value(item, t) for t, p in market.logging_policy(item)) for item in unseen])
    assert learned > 2.5 * at_random
    assert learned > 0.9 * sellers
