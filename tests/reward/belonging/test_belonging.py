"""Both scores together: what they say of own, foreign and shuffled titles, what it costs, and what is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.market import Market
from reward.belonging.belonging import FLUENCY, MIN_ITEMS, RELEVANCE, Belonging, Belongs
from reward.belonging.faults import Soundness
from reward.belonging.spoil import shuffled
from reward.errors import ModelError
from reward.items import Item

TRAIN, TEST = 240, 80
Logs = tuple[list[Item], list[str], np.ndarray]


def logs_of(market: Market, first: int, end: int) -> Logs:
    items = [Item(item.item_id, item.fields) for item in market.items[first:end]]
    titles = [[title for title, _ in market.logging_policy(item)] for item in market.items[first:end]]
    index = np.repeat(np.arange(len(items)), [len(own) for own in titles])
    return items, [title for own in titles for title in own], index


@pytest.fixture(scope="module", params=["en", "zh"])
def shop(request: pytest.FixtureRequest) -> tuple[Logs, Belonging]:
    """Logs of new items, and what was learned from others."""
    market = Market(TRAIN + TEST, request.param, 5)
    return logs_of(market, TRAIN, TRAIN + TEST), Belonging.fit(*logs_of(market, 0, TRAIN))


def thought(score: list[float], floor: float) -> Soundness:
    n = len(score)
    return Soundness(np.array(score), np.full(n, floor), np.full(n, "", dtype=object))


def test_own_titles_pass_and_foreign_and_shuffled_ones_do_not(shop: tuple[Logs, Belonging]) -> None:
    (items, titles, index), belonging = shop
    owners = [items[i] for i in index]
    rng = np.random.default_rng(0)
    own = belonging.predict(owners, titles)
    foreign = belonging.predict([items[(i + 17) % TEST] for i in index], titles)
    mixed = belonging.predict(owners, [shuffled(title, rng) for title in titles])
    assert own.faulty.mean() < 0.25  # 5% for each score, on items that were not learned from
    assert foreign.relevance.faulty.mean() > 0.9
    assert mixed.fluency.faulty.mean() > 0.8
    assert foreign.shortfall.mean() > own.shortfall.mean() + 0.5


def test_what_is_kept_says_the_same(shop: tuple[Logs, Belonging], tmp_path: Path) -> None:
    logs, belonging = shop
    owners = [logs[0][i] for i in logs[2]]
    belonging.save(tmp_path / "belonging")
    again = Belonging.load(tmp_path / "belonging").with_titles(*logs)
    before, after = (b.predict(owners, logs[1]) for b in (belonging.with_titles(*logs), again))
    for name in (RELEVANCE, FLUENCY):
        np.testing.assert_allclose(after.scores(name), before.scores(name))
    assert logs[1][0] not in (tmp_path / "belonging" / "relevance" / "meta.json").read_text(encoding="utf-8")


def test_one_of_the_two_may_be_missing(shop: tuple[Logs, Belonging], tmp_path: Path) -> None:
    (items, titles, _), belonging = shop
    assert not Belonging.kept_in(tmp_path)
    replace(belonging, relevance=None).save(tmp_path)
    assert Belonging.kept_in(tmp_path)
    found = Belonging.load(tmp_path).predict(items[:3], titles[:3])
    assert np.isnan(found.scores(RELEVANCE)).all()
    assert np.isfinite(found.scores(FLUENCY)).all()
    assert found.score(RELEVANCE, 0) is None


def test_few_items_teach_nothing() -> None:
    items, titles, index = logs_of(Market(40, "en", 0), 0, 40)
    with pytest.raises(ModelError, match=f"{MIN_ITEMS} train items and more. Got 40"):
        Belonging.fit(items, titles, index)


def test_the_shortfall_is_nothing_at_the_floor_and_one_to_two_below_for_each_score() -> None:
    found = Belongs(thought([0.4, 0.2, 0.1, 0.0], 0.2), thought([0.9, 0.5, 0.5, 0.0], 0.5))
    np.testing.assert_allclose(found.shortfall, [0.0, 0.0, 1.5, 4.0])
    assert found.lacks(2) == [RELEVANCE]
    assert found.why(3) == ["relevance: 0.00, below 0.20", "fluency: 0.00, below 0.50"]


def test_what_is_not_known_costs_nothing() -> None:
    found = Belongs(Soundness.unknown(2), Soundness.unknown(2))
    assert found.shortfall.tolist() == [0.0, 0.0]
    assert not found.faulty.any()
