"""Hostile logs through the real reader and the real fit: a model with sound predictions, or one clear line."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reward.errors import RewardError
from reward.evidence.explain import explain
from reward.evidence.held_out import held_out_figures
from reward.items import Item
from reward.logs.read import read_arms
from reward.model.reward_model import RewardModel

MANY = 10**9
TITLES = (
    "x",
    "字",
    "🙂",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈",
    "مرحبا بالعالم",
    "\u202eevil\u202c reversed",
    "zero\u200bwidth\u200d\ufeffjoiners",
    "<script>alert('x')</script> & <b>bold</b>",
    "'; DROP TABLE arms; --",
    "{{ 7 * 7 }} ${HOME} %s %(x)s",
    "nan",
    "NULL",
    "None",
    "inf -inf 1e999",
    "0",
    "=cmd|' /C calc'!A0",
    "red shoes",
    "red shoes ",
    "RED SHOES!!!",
    "红色 鞋子 2024",
    "very " * 400,
    "é" + "\u0301" * 50,
)
VALUES = ("same", "nan", "", "red", "红色", "<b>&amp;</b>", "1e400", "🙂" * 30, "word " * 4000, '{"a": [1, null]}', "0")
texts = st.one_of(st.sampled_from(TITLES), st.text(max_size=40))


@st.composite
def logs(draw: st.DrawFn) -> pd.DataFrame:
    """A small log in which anything may be wrong; items and titles may occur several times."""
    rows: list[dict[str, Any]] = []
    clicks_of = draw(st.sampled_from(("none", "all", "some")))
    converting = draw(st.sampled_from((None, "none", "all", "some")))
    shown_choices = draw(st.sampled_from(((1,), (1000,), (MANY,), (1, 1000, MANY))))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    one_title = draw(st.booleans())
    for i in range(draw(st.integers(1, 8))):
        fields = {"brand": draw(st.sampled_from(VALUES)), "about": draw(st.sampled_from(VALUES)), "constant": "same"}
        item_id = draw(st.sampled_from((f"i{i}", "i0", "nan", "字 🙂")))
        for _ in range(draw(st.integers(1, 4))):
            shown = int(rng.choice(shown_choices))
            clicks = {"none": 0, "all": shown, "some": int(rng.binomial(shown, 0.05))}[clicks_of]
            bought = {None: 0, "none": 0, "all": clicks, "some": clicks // 3}[converting]
            title = "the same" if one_title else draw(texts)
            row = {"item_id": item_id, "title": title, "impressions": shown, "clicks": clicks, **fields}
            rows.append(row if converting is None else {**row, "conversions": bought})
    return pd.DataFrame(rows)


def shop(**change: Any) -> pd.DataFrame:
    """A log that can be learned from: 12 items with 4 hostile titles each."""
    rng = np.random.default_rng(7)
    rows = []
    for i in range(12):
        for k in range(4):
            title = TITLES[(3 * i + 5 * k) % len(TITLES)]
            shown = int(rng.integers(500, 5000))
            clicks = int(rng.binomial(shown, 0.03 + 0.02 * (len(title) % 3)))
            fields = {"brand": VALUES[i % len(VALUES)], "about": VALUES[(i + k) % 3], "price": f"{i}e{40 * i}"}
            row = {"item_id": f"i{i}", "title": title, "impressions": shown, "clicks": clicks, **fields}
            rows.append({**row, "conversions": clicks // 9, **change})
    return pd.DataFrame(rows)


def check(log: pd.DataFrame, *, must_fit: bool = False) -> None:
    """Read, fit, predict, save and load; what cannot be done says so in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        log.to_parquet(path)
        refused = ""
        try:
            arms = read_arms(path, threads=1)
            model = RewardModel.fit(arms, seed=0, n_members=2, threads=1)
        except RewardError as error:
            refused = str(error)
        if refused:
            assert not must_fit, refused
            assert "\n" not in refused
            assert len(refused) > 20
            return
        items = [*arms.arm_items, *[Item("stranger", {"brand": ("nan",), "\ud800": ("\ud800",)})] * len(TITLES)]
        titles = [*(str(title) for title in arms.title), *TITLES]
        found = model.predict(items, titles)
        assert np.all((found.p_click > 0) & (found.p_click < 1))
        for name in ("reward", "reward_std", "effect", "effect_std", "support"):
            assert np.isfinite(getattr(found, name)).all(), name
        assert np.all(found.reward_std >= 0)
        if found.p_conversion is not None:
            assert np.all((found.p_conversion > 0) & (found.p_conversion < 1))
        assert np.isfinite(explain(model, items[0], titles[-1]).change)
        figures = held_out_figures(model, arms, seed=0)
        assert figures is None or np.isfinite(figures.calibration_error)
        saved = Path(folder) / "model"
        saved.mkdir()
        model.save(saved)
        again = RewardModel.load(saved).predict(items, titles)
        np.testing.assert_array_equal(again.reward, found.reward)
        np.testing.assert_array_equal(again.reward_std, found.reward_std)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(logs())
@example(shop(impressions=MANY, clicks=MANY // 30))
@example(shop(impressions=1, clicks=1, conversions=1))
@example(shop(clicks=0, conversions=0))
@example(shop(title="the same title"))
def test_a_model_or_one_clear_line(log: pd.DataFrame) -> None:
    check(log)


def test_hostile_titles_can_be_learned_from() -> None:
    check(shop(), must_fit=True)


def test_a_thousand_million_impressions_in_every_row() -> None:
    log = shop()
    log["impressions"] = MANY
    log["clicks"] = (MANY * (0.02 + 0.01 * (log["title"].str.len() % 3))).astype(int)
    check(log, must_fit=True)


def test_items_that_are_all_clicked_beside_items_that_never_are() -> None:
    log = shop()
    number = log["item_id"].str[1:].astype(int)
    log["clicks"] = np.where(number < 4, log["impressions"], np.where(number < 8, 0, log["clicks"]))
    log["conversions"] = np.minimum(log["conversions"], log["clicks"])
    check(log, must_fit=True)
