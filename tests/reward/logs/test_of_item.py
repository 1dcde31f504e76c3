"""Prices and pictures: values that belong to the item are compared with its own, and what they do is taken off."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reward.arrays import FloatArray
from reward.doctor.examine import examine
from reward.logs.read import LogData, read_logs
from reward.logs.schema import ColumnMapping

from ..log_fixtures import write_log
from .test_circumstances import confounded, relative_rate

NAMES = ("item_id", "title", "clicks")


def logged(path: Path, log: dict[str, Any], *names: str, **options: Any) -> LogData:
    return read_logs(write_log(path / "log.parquet", {name: log[name] for name in (*NAMES, *names)}), **options)


def of_items(columns: dict[str, Any], seed: int = 0) -> FloatArray:
    """A price for each row's item: most items differ more from one another than a sale does."""
    items, place = np.unique(columns["item_id"], return_inverse=True)
    return np.asarray(np.exp(np.random.default_rng(seed).normal(3, 1, len(items)))[place])


@pytest.mark.parametrize("sale", [0.85, 0.97, "one price point less"])
def test_a_sale_is_told_from_the_usual_price_of_the_same_item(sale: float | str, tmp_path: Path) -> None:
    columns = confounded(np.random.default_rng(0), {"good": 0.8, "poor": 0.2})
    good = columns["where"] == "good"
    if isinstance(sale, float):
        columns["price"] = np.round(of_items(columns) * np.where(good, sale, 1.0), 2)
    else:  # the same prices for all items: what is usual for one is a sale for another
        points = np.array([4.99, 5.99, 7.99, 9.99, 12.99, 14.99, 19.99, 24.99])
        usual = 1 + np.unique(columns["item_id"], return_inverse=True)[1] % 7
        columns["price"] = points[usual - good]
    data = logged(tmp_path, columns, "price")
    (found,) = data.balances
    assert found.adjusted
    assert found.imbalance == pytest.approx(0.6, abs=0.03)  # as of the sale itself, an 80/20 against 20/80 table
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


def test_numbers_below_zero_are_compared_by_differences(tmp_path: Path) -> None:
    columns = confounded(np.random.default_rng(1), {"good": 0.8, "poor": 0.2})
    columns["margin"] = np.log(of_items(columns)) - 3 - np.where(columns["where"] == "good", 0.05, 0.0)
    data = logged(tmp_path, columns, "margin")
    assert data.balances[0].adjusted
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


def test_a_number_that_is_mostly_the_same_is_parted_beside_that(tmp_path: Path) -> None:
    """A twentieth of the impressions has a voucher, of a hundred amounts: no decile tells them from none."""
    columns = confounded(np.random.default_rng(2), {"good": 0.5, "poor": 0.5})
    rng = np.random.default_rng(3)
    n = len(columns["where"])
    voucher = rng.random(n) < np.where(columns["title"] == "Promo", 0.08, 0.02)
    columns["voucher"] = np.where(voucher, rng.integers(1, 100, n), 0)
    columns["clicks"] = (rng.random(n) < np.where(voucher, 0.4, 0.05)).astype(int)
    data = logged(tmp_path, columns, "voucher")
    (found,) = data.balances
    assert found.adjusted
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


@pytest.mark.parametrize("items", ["", "more"])
def test_pictures_of_the_item_are_compared_within_it(items: str, tmp_path: Path) -> None:
    """In half of the items it is the first picture that earns clicks, in half the second."""
    columns = confounded(np.random.default_rng(4), {"good": 0.8, "poor": 0.2})
    good = (columns["where"] == "good") ^ (np.unique(columns["item_id"], return_inverse=True)[1] % 2 == 1)
    columns["picture"] = [f"https://example.org/{i}/{g:d}.jpg" for i, g in zip(columns["item_id"], good, strict=True)]
    if items:  # numbers of pictures
        columns["picture"] = np.unique(columns["picture"], return_inverse=True)[1] * 7919 + 10_000
    data = logged(tmp_path, columns, "picture")
    (found,) = [balance for balance in data.balances if not balance.people]
    assert found.adjusted
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


def test_a_picture_that_comes_with_its_title_is_a_doubt_and_can_be_left_out(tmp_path: Path) -> None:
    columns = confounded(np.random.default_rng(5), {"good": 1.0, "poor": 0.0})
    columns["picture"] = [f"/{i}/{g}.jpg" for i, g in zip(columns["item_id"], columns["where"], strict=True)]
    columns["title"] = [  # two titles for each picture of an item
        f"{title} {n}"
        for title, n in zip(columns["title"], np.random.default_rng(6).integers(0, 2, 10**6), strict=False)
    ]
    data = logged(tmp_path, columns, "picture")
    assert data.balances[0].held
    doubts = [finding for finding in examine(data).findings if finding.consequence == "doubt"]
    assert any("--columns picture=" in finding.message for finding in doubts)
    joined = logged(tmp_path, columns, "picture", columns=ColumnMapping({"item_id": "item_id+picture"}))
    assert joined.balances == ()
    assert len(joined.arms.items) == 2 * len(data.arms.items)
    without = logged(tmp_path, columns, "picture", columns=ColumnMapping({"picture": ""}))
    assert without.balances == ()


def test_names_of_titles_are_no_doubt(tmp_path: Path) -> None:
    """An id of each title says nothing that the title does not."""
    columns = confounded(np.random.default_rng(7), {"good": 0.5, "poor": 0.5})
    columns["clicks"] = (
        np.random.default_rng(8).random(len(columns["title"])) < np.where(columns["title"] == "Promo", 0.08, 0.04)
    ).astype(int)
    columns["creative"] = [f"c-{i}-{t}" for i, t in zip(columns["item_id"], columns["title"], strict=True)]
    data = logged(tmp_path, columns, "creative")
    assert not any(balance.held for balance in data.balances)
