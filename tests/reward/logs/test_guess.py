"""Guessed columns: the most usual name of each, what the user said first, and one message for all that is missing."""

import pytest

from reward.errors import LogError
from reward.logs.guess import guess_columns
from reward.logs.schema import ColumnMapping


@pytest.mark.parametrize(
    ("available", "given", "found"),
    [
        (["sku", "Headline", "n_clicks", "Views", "brand"], {}, ["sku", "Headline", "n_clicks", "Views"]),
        (["商品ID", "标题", "点击量", "曝光量", "品牌"], {}, ["商品ID", "标题", "点击量", "曝光量"]),
        (["name", "headline", "sku", "item", "clicked"], {}, ["item", "headline", "clicked", None]),
        (["item_id", "TITLE", "click", "impressions", "id", "name"], {}, [None] * 4),
        (["sku", "name", "slogan", "clicks"], {"title": "slogan"}, ["sku", "slogan", None, None]),
        (["test", "image", "headline", "clicks"], {"item_id": "test+image"}, ["test+image", "headline", None, None]),
        (["id", "text", "clicks", "views"], {"impressions": ""}, ["id", "text", None, ""]),
    ],
)
def test_the_most_usual_name_is_taken(available: list[str], given: dict[str, str], found: list[str | None]) -> None:
    columns = guess_columns(available, ColumnMapping(given), "log.csv").columns
    assert [columns.get(name) for name in ("item_id", "title", "clicks", "impressions")] == found


def test_no_column_serves_twice() -> None:
    columns = guess_columns(["item", "name", "n_clicks", "date", "day"], ColumnMapping(), "log.csv").columns
    assert columns == {"item_id": "item", "title": "name", "clicks": "n_clicks", "timestamp": "date"}


def test_all_that_is_missing_is_asked_for_at_once_and_what_was_found_stays() -> None:
    with pytest.raises(LogError) as error:
        guess_columns(["sku", "a", "b"], ColumnMapping(), "log.csv")
    assert "title (what was shown) and clicks (clicks in this row)" in str(error.value)
    assert "--columns item_id=sku,title=...,clicks=... with its columns: sku, a, b." in str(error.value)
