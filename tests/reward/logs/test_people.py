"""Titles chosen by who somebody is: found by what they click elsewhere, and never where titles were drawn at random."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from reward.doctor.examine import examine
from reward.logs.balance import Balance
from reward.logs.people import GROUPS, SeenBy, _p_of_products, balance_of_people
from reward.logs.read import LogData, read_logs

from ..log_fixtures import write_log

PEOPLE, ITEMS, ARMS = 4000, 60, 4
Design = Literal["impression", "visitor", "person", "half"]


def rows_of(rng: np.random.Generator, design: Design, lean: float = 0.0, n: int = 60_000) -> dict[str, Any]:
    """Impressions: who saw which arm of which item, and clicked; busy people click more often."""
    busy = rng.gamma(1.0, 1.0, PEOPLE)
    order = np.argsort(np.argsort(busy)) / PEOPLE
    taste = np.exp(0.5 * (rng.standard_normal(PEOPLE) + order - 0.5))
    person = rng.choice(PEOPLE, n, p=busy / busy.sum())
    item = rng.choice(ITEMS, n, p=rng.dirichlet(np.ones(ITEMS)))
    if design == "impression":
        promo = rng.random(n) < np.where(taste > 1, 0.5 + lean, 0.5 - lean)[person]
        arm = rng.integers(0, 2, n) + np.where(promo, 0, 2)
    elif design == "visitor":  # keeps the title of an item
        arm = rng.integers(0, ARMS, (PEOPLE, ITEMS))[person, item]
    elif design == "person":  # sees one variant of every item
        arm = rng.integers(0, ARMS, PEOPLE)[person]
    else:  # sees one of two kinds of variants
        arm = 2 * rng.integers(0, 2, PEOPLE)[person] + rng.integers(0, 2, n)
    rate = 0.08 * np.exp(0.4 * rng.standard_normal((ITEMS, 1)) + np.array([0.3, 0.1, 0.0, -0.2]))
    clicks = rng.random(n) < np.minimum(0.9, rate[item, arm] * taste[person])
    return {"person": person, "item": item, "arm": arm, "clicks": clicks.astype(int)}


def seen_by(rows: dict[str, Any]) -> SeenBy:
    person, item, arm = (np.unique(rows[name], return_inverse=True)[1] for name in ("person", "item", "arm"))
    ones = np.ones(len(person))
    of_item = np.unique(item * ARMS + arm, return_inverse=True)[1]
    return SeenBy(person, item, of_item, item, ones, rows["clicks"].astype(float), ones, ones)


def balance(rng: np.random.Generator, design: Design, lean: float = 0.0) -> Balance:
    found = balance_of_people("user", seen_by(rows_of(rng, design, lean)))
    assert found is not None
    return found


@pytest.mark.parametrize("design", ["impression", "visitor", "person", "half"])
def test_p_values_are_no_smaller_than_chance_where_titles_are_randomised(design: Design) -> None:
    p_values = np.array([balance(np.random.default_rng(seed), design).p_value for seed in range(40)])
    assert np.mean(p_values < 0.1) <= 0.25  # binomial(40, 0.1) stays below with 99.8%
    assert p_values.min() > 1e-4


def test_products_of_a_single_direction_have_the_tail_that_is_claimed() -> None:
    rng = np.random.default_rng(0)
    p_values = np.array([_p_of_products(rng.standard_normal((1, GROUPS))) for _ in range(4000)])
    assert np.mean(p_values < 0.01) < 0.017  # three standard errors
    assert 0.03 < np.mean(p_values < 0.05) < 0.063


def test_products_of_many_directions_are_judged_with_care() -> None:
    rng = np.random.default_rng(1)
    p_values = np.array([_p_of_products(rng.standard_normal((200, GROUPS))) for _ in range(1000)])
    assert np.mean(p_values < 0.05) < 0.06


def test_vectors_that_say_nothing_have_no_p_value() -> None:
    assert _p_of_products(np.zeros((3, GROUPS))) is None


@pytest.mark.parametrize("lean", [0.1, 0.35])
def test_titles_chosen_by_the_person_are_found(lean: float) -> None:
    for seed in range(3):
        found = balance(np.random.default_rng(seed), "impression", lean)
        assert found.p_value < 1e-4
        assert found.click_p_value < 0.01
        assert found.imbalance > 0.03


def test_people_who_click_alike_leave_titles_comparable() -> None:
    rng = np.random.default_rng(2)
    rows = rows_of(rng, "impression", 0.35)
    rows["clicks"] = (rng.random(len(rows["clicks"])) < 0.1).astype(int)
    found = balance_of_people("user", seen_by(rows))
    assert found is not None
    assert found.p_value > 1e-4


def logged(tmp_path: Path, rows: dict[str, Any], **more: Any) -> LogData:
    columns = {
        "item_id": [f"item-{i}" for i in rows["item"]],
        "title": [f"title {a}" for a in rows["arm"]],
        "clicks": rows["clicks"],
        "user": [f"user-{u}" for u in rows["person"]],
    }
    return read_logs(write_log(tmp_path / "log.parquet", columns | more))


def doubts(logs: LogData) -> set[str]:
    return {one.kind for one in examine(logs).findings if one.consequence == "doubt"}


def test_a_log_with_user_ids_is_doubted_if_titles_were_chosen_by_the_user(tmp_path: Path) -> None:
    rows = rows_of(np.random.default_rng(3), "impression", 0.3)
    logs = logged(tmp_path, rows)
    (found,) = logs.balances
    assert found.people
    assert not found.adjusted
    assert "unlike_circumstances" in doubts(logs)
    np.testing.assert_array_equal(logs.arms.exposure, logs.arms.impressions)


def test_user_ids_that_are_numbers_are_people_too(tmp_path: Path) -> None:
    rows = rows_of(np.random.default_rng(3), "impression", 0.3)
    logs = logged(tmp_path, rows, user=rows["person"] + 10_000)
    assert "unlike_circumstances" in doubts(logs)


def test_randomised_titles_beside_user_ids_are_not_doubted(tmp_path: Path) -> None:
    assert "unlike_circumstances" not in doubts(logged(tmp_path, rows_of(np.random.default_rng(4), "impression")))


def test_a_choice_by_the_user_that_propensities_explain_is_no_doubt(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = rows_of(rng, "impression")
    level = np.bincount(rows["person"], rows["clicks"], PEOPLE) / np.bincount(rows["person"], minlength=PEOPLE).clip(1)
    first = np.where(level[rows["person"]] > 0.1, 0.4, 0.1)  # of the promo arms each
    rows["arm"] = rng.integers(0, 2, len(first)) + np.where(rng.random(len(first)) < 2 * first, 0, 2)
    plain = logged(tmp_path, rows)
    assert "unlike_circumstances" in doubts(plain)
    explained = logged(tmp_path, rows, propensity=np.where(rows["arm"] < 2, first, 0.5 - first))
    assert "unlike_circumstances" not in doubts(explained)


def test_what_another_column_explains_is_no_difference_of_people(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    rows = rows_of(rng, "impression")
    phone = rng.random(len(rows["person"])) < np.where(rows["person"] % 2 == 0, 0.8, 0.2)
    rows["arm"] = rng.integers(0, 2, len(phone)) + np.where(rng.random(len(phone)) < np.where(phone, 0.8, 0.2), 0, 2)
    rows["clicks"] = (rng.random(len(phone)) < np.where(phone, 0.15, 0.05)).astype(int)
    blind = logged(tmp_path, rows)
    assert "unlike_circumstances" in doubts(blind)
    told = logged(tmp_path, rows, device=np.where(phone, "phone", "desktop"))
    assert {one.column for one in told.balances if one.adjusted} == {"device"}
    assert "unlike_circumstances" not in doubts(told)


def test_titles_compared_within_days_are_tested_within_days(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = rows_of(rng, "impression")
    n = len(rows["person"])
    day = rng.integers(0, 28, n)
    late = (day >= 14) ^ (rng.random(n) < 0.1)
    rows["arm"] = 2 * late + rng.integers(0, 2, n)  # most titles were replaced after two weeks, when a season began
    rows["person"] = np.where(day < 14, rows["person"] // 2, PEOPLE // 2 + rows["person"] // 2)
    rows["clicks"] = (rng.random(n) < np.where(day < 14, 0.06, 0.12)).astype(int)
    logs = logged(tmp_path, rows, timestamp=1_750_000_000.0 + 86_400.0 * day)
    assert "unlike_circumstances" not in doubts(logs)
