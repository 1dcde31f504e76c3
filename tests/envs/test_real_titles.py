"""Simulated clicks on real titles."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from envs.errors import MarketError
from reward.items import Item, flatten_fields
from tests.benchmarks._real_titles import RealTitles, clicks_for_titles, title_variants

DRESS = Item("d", {"品牌": ("恒源祥",), "面料": ("羊毛",), "领型": ("半高领",), "图案": ("纯色",), "袖长": ("长袖",)})
TITLE = "恒源祥针织连衣裙女秋冬新款中长款宽松半高领内搭打底毛衣裙"
SHOE = Item("s", {"brand": ("Velora",), "color": ("Red",), "feature": ("Breathable", "Light")})


def test_variants_add_drop_and_move_attribute_words() -> None:
    rng = np.random.default_rng(0)
    variants = title_variants(DRESS, TITLE, 20, rng)
    assert len(set(variants)) == len(variants) >= 8
    assert TITLE not in variants
    assert "羊毛" + TITLE in variants
    assert TITLE + "羊毛" in variants
    assert TITLE.replace("半高领", "") in variants
    assert "半高领" + TITLE.replace("半高领", "") in variants
    assert "Red Velora Running Shoes" in title_variants(SHOE, "Velora Running Shoes", 20, rng)
    assert title_variants(Item("x"), "plain", 5, rng) == []


@pytest.mark.parametrize(
    ("item", "title"), [(DRESS, TITLE), (SHOE, "Velora Running Shoes Breathable in Red for women")]
)
def test_strange_words_repeats_and_emptiness_cost(item: Item, title: str) -> None:
    truth = RealTitles([item], [[title]], "zh" if item is DRESS else "en", 0)
    joint = "" if item is DRESS else " "
    brand = next(iter(item.fields.values()))[0]
    worse = [title + joint + "蹦蹦蹦蹦", title + joint + brand + joint + brand, "", "☃"]
    p = truth.click_probability([item] * 5, [title, *worse])
    assert (p[1:] < p[0]).all()
    assert ((p > 0) & (p < 1)).all()


def test_clicks_follow_the_truth_and_seeds_repeat() -> None:
    items = [Item(f"{i}", DRESS.fields) for i in range(30)]
    rng = np.random.default_rng(1)
    titles = [[TITLE, *title_variants(item, TITLE, 4, rng)] for item in items]
    table = clicks_for_titles(items, titles, "zh", 5, impressions_per_item=20_000)
    assert table.equals(clicks_for_titles(items, titles, "zh", 5, impressions_per_item=20_000))
    assert not table.equals(clicks_for_titles(items, titles, "zh", 6, impressions_per_item=20_000))
    rows = table.to_pylist()
    by_id = {item.item_id: item for item in items}
    truth = RealTitles(items, titles, "zh", 5)
    p = truth.click_probability([by_id[row["item_id"]] for row in rows], [row["title"] for row in rows])
    n = np.array([row["impressions"] for row in rows])
    z = (np.array([row["clicks"] for row in rows]) - n * p) / np.sqrt(n * p * (1 - p))
    assert stats.chi2.sf((z**2).sum(), len(z)) > 1e-3
    shares = [sum(r["propensity"] for r in rows if r["item_id"] == item.item_id) for item in items]
    np.testing.assert_allclose(shares, 1.0)
    expected = 20_000 * np.array([row["propensity"] for row in rows])
    assert stats.chi2.sf(((n - expected) ** 2 / expected).sum(), len(n) - len(items)) > 1e-3
    assert flatten_fields({"attributes": rows[0]["attributes"]}) == dict(DRESS.fields)


def test_bad_arguments() -> None:
    with pytest.raises(MarketError, match=r"one length. Got 1 and 2"):
        clicks_for_titles([DRESS], [[TITLE], [TITLE]], "zh", 0)
    with pytest.raises(MarketError, match="Got 1 repeated ids"):
        clicks_for_titles([DRESS, DRESS], [[TITLE], [TITLE]], "zh", 0)
    with pytest.raises(MarketError, match="item 'd' needs different titles, at least one"):
        clicks_for_titles([DRESS], [[]], "zh", 0)
    truth = RealTitles([DRESS], [[TITLE]], "zh", 0)
    with pytest.raises(MarketError, match="item 's' is not one of the 1 items"):
        truth.click_probability([SHOE], [TITLE])
    with pytest.raises(MarketError, match="one length"):
        truth.click_probability([DRESS], [])


def test_real_chinese_titles(shared_data: Path) -> None:
    """On real titles: items matter most, the variants leave something to choose, and the original is no outlier."""
    rows = pq.read_table(shared_data / "zh_products" / "title_attributes.parquet").slice(0, 400).to_pylist()
    items = [
        Item(str(i), flatten_fields({name: row[name] for name in ("category", "subcategory", "attributes")}))
        for i, row in enumerate(rows)
    ]
    rng = np.random.default_rng(0)
    titles = [[row["title"], *title_variants(i, row["title"], 5, rng)] for i, row in zip(items, rows, strict=True)]
    truth = RealTitles(items, titles, "zh", 0)
    within, means, best, mean, original = [], [], 0.0, 0.0, 0.0
    for item, own in zip(items, titles, strict=True):
        p = truth.click_probability([item] * len(own), own)
        within.append(float(np.var(np.log(p))))
        means.append(float(np.log(p).mean()))
        best, mean, original = best + p.max(), mean + p.mean(), original + p[0]
    assert 0.03 < np.mean(within) / (np.mean(within) + np.var(means)) < 0.3
    assert best / mean > 1.15
    assert 0.8 < original / mean < 1.2
