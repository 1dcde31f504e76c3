"""Covariates of items from before a test: logged rates and the reward's predictions, in plan and analysis."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.arms import Arms
from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt.config import AbPlanConfig
from rlopt.run import Run
from rlopt.stages.ab.covariates import predicted_rates, shrunken_rates
from rlopt.stages.common.ab_sizing import item_spreads
from rlopt.stages.common.opened import OpenedRun
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
ITEMS, SHOWN = 120, 4000


def appeal() -> np.ndarray:
    """True click rate of each item, which the reward below knows up to a tenth."""
    return np.random.default_rng(0).lognormal(-3.2, 0.6, ITEMS)


class Foreseeing:
    """Predicts an item's rate with a relative error of 10%, whatever the title."""

    observational = False

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> SimpleNamespace:
        error = np.random.default_rng(1).normal(0, 0.1, ITEMS)
        rate = (appeal() * np.exp(error))[[int(item.item_id[1:]) for item in items]]
        return SimpleNamespace(p_click=rate, p_conversion=None)


@pytest.fixture(autouse=True)
def foreseeing(monkeypatch: pytest.MonkeyPatch, reward: None) -> None:
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: Foreseeing())


def short_logs() -> Arms:
    """Logs of 40 impressions an item, which say next to nothing of their rates."""
    arms = make_arms(ITEMS, impressions=40)
    clicks = np.random.default_rng(2).binomial(arms.impressions.astype(int), appeal()[arms.item_index])
    return replace(arms, clicks=clicks.astype(float))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", short_logs())


def write_results(path: Path, *, lift: float, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    treated = rng.permutation(ITEMS) < ITEMS // 2
    clicks = rng.binomial(SHOWN, np.minimum(appeal() * np.where(treated, 1 + lift, 1.0), 0.9))
    columns = {
        "arm": np.where(treated, "new", "control").tolist(),
        "item_id": [f"i{i:04d}" for i in range(ITEMS)],
        "impressions": [SHOWN] * ITEMS,
        "clicks": clicks.tolist(),
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_predictions_narrow_a_split_of_items_and_bias_nothing(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    covered = 0
    for seed in range(8):
        results = write_results(tmp_path / f"{seed}.parquet", lift=0.1, seed=seed)
        found = rlopt("ab-analyze", results, "--run", run.path, "--final", "--json").json["outcome"]
        assert found["design"] == "items"
        assert found["removed_variance"] > 0.85
        assert found["unadjusted_high"] - found["unadjusted_low"] > 2.5 * (found["high"] - found["low"])
        covered += found["low"] <= 0.1 <= found["high"]
    assert covered >= 6
    text = rlopt("ab-analyze", results, "--run", run.path, "--final").out
    assert "by the items' logged rates and the reward's predictions" in text


def test_an_item_the_run_does_not_know_is_expected_like_the_average(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    table = pq.read_table(write_results(tmp_path / "r.parquet", lift=0.0))
    ids = [name if k else "stranger" for k, name in enumerate(table["item_id"].to_pylist())]
    pq.write_table(table.set_column(1, "item_id", pa.array(ids)), tmp_path / "s.parquet")
    found = rlopt("ab-analyze", tmp_path / "s.parquet", "--run", run.path, "--json").json
    assert found["outcome"]["removed_variance"] > 0.8


def test_rates_are_those_of_the_most_shown_title_and_of_the_items_that_are_asked_for(run: Run) -> None:
    opened = OpenedRun(run)
    rates = predicted_rates(opened, [3, 5], "clicks")
    assert np.flatnonzero(~np.isnan(rates)).tolist() == [3, 5]
    assert rates[[3, 5]] == pytest.approx(Foreseeing().predict([opened.arms.items[k] for k in (3, 5)], []).p_click)


def test_logged_rates_are_drawn_to_the_mean() -> None:
    total, exposed = np.array([0.0, 50.0]), np.array([100.0, 900.0])
    assert shrunken_rates(total, exposed) == pytest.approx([5 / 200, 55 / 1000])


def test_the_plan_knows_what_predictions_leave(rlopt: Rlopt, run: Run) -> None:
    """Around the predictions of items that the reward has not seen the rates differ by the tenth they are wrong by."""
    flags = ["--run", run.path, "--lift", "0.1", "--traffic", "90000", "--design", "items", "--json"]
    plan = rlopt("ab-plan", *flags).json
    assert plan["item_spread_predicted"] < 0.8 * plan["item_spread_adjusted"] < plan["item_spread"]
    arms = replace(make_arms(ITEMS, impressions=40_000))
    clicks = np.random.default_rng(3).binomial(arms.impressions.astype(int), appeal()[arms.item_index]).astype(float)
    long = replace(arms, clicks=clicks)
    base = float(clicks.sum() / arms.impressions.sum())
    predicted = Foreseeing().predict(arms.items, []).p_click
    spread, logged, left = item_spreads(long, AbPlanConfig(design="items", pre_days=None), base, 1.0, predicted)
    around = np.sqrt(np.mean((appeal() - predicted) ** 2)) / base
    assert spread == pytest.approx(np.std(appeal()) / base, rel=0.1)
    assert left is not None
    assert left <= logged < around
    few = np.where(np.arange(ITEMS) < 10, predicted, np.nan)
    assert item_spreads(long, AbPlanConfig(design="items"), base, 1.0, few)[2] is None
