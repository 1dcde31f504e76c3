"""Column names: mapping, aliases, suggestions."""

import pytest

from reward.errors import LogError
from reward.logs.schema import ColumnMapping, looks_like

NEEDED = ("item_id", "title", "clicks")


def resolve(available: list[str], mapping: str = "") -> dict[str, tuple[str, ...]]:
    return ColumnMapping.parse(mapping).resolve(available, "logs.csv", NEEDED)


def test_canonical_names_need_no_mapping() -> None:
    assert resolve(["title", "clicks", "item_id", "brand"]) == {
        "item_id": ("item_id",),
        "title": ("title",),
        "clicks": ("clicks",),
    }


def test_mapping_joins_columns_into_one_key() -> None:
    found = resolve(["test", "image", "headline", "click"], "title=headline, item_id=test+image")
    assert found == {"item_id": ("test", "image"), "title": ("headline",), "clicks": ("click",)}


def test_a_column_named_with_a_plus_is_taken_as_it_is() -> None:
    assert resolve(["a+b", "title", "clicks"], "item_id=a+b")["item_id"] == ("a+b",)


def test_names_differ_in_case_and_blanks_only() -> None:
    assert resolve(["Item_ID", " Title ", "CLICKS"])["title"] == (" Title ",)


def test_yaml_list_joins_columns() -> None:
    mapping = ColumnMapping.from_dict({"item_id": ["test", "image"], "title": "headline"})
    assert mapping == ColumnMapping.parse("item_id=test+image,title=headline")
    assert ColumnMapping.from_dict(mapping.to_dict()) == mapping


@pytest.mark.parametrize(
    ("available", "mapping", "message"),
    [
        (["item_id", "clicks", "headline"], "", r"no column 'title'.*Did you mean 'headline'\? Use --columns title=he"),
        (["item_id", "clicks", "titel"], "", r"Did you mean 'titel'\?"),
        (["product_id", "clicks", "title"], "", r"no column 'item_id'.*'product_id'"),
        (["sku", "x", "imps"], "clicks=x", r"and no 'title' .*--columns clicks=x,item_id=sku,title="),
        (["x1", "clicks", "title"], "", r"Use --columns item_id=COLUMN\. Its columns: x1, clicks, title\."),
        (["item_id", "clicks", "headline"], "title=headlin", r"no column 'headlin'.*--columns title=headline"),
        (["item_id", "clicks", "a", "abc"], "title=a,item_id=a+abcd", r"no column 'abcd'.*item_id=a\+abc$"),
        (["item_id", "clicks", "a", "b"], "title=a+b", r"Only item_id can join columns"),
        (["item_id", "title", "click", "clicks"], "", r"both 'clicks' and 'click'.*--columns clicks=click"),
        (["item_id", "title", "Clicks", "CLICKS"], "", r"several columns for 'clicks'"),
        (["item_id", "title", "clicks"], "tilte=title", r"Unknown column 'tilte'.*Did you mean 'title'\?"),
        (["item_id", "title", "clicks"], "title", r"name=column pairs"),
        (["item_id", "title", "clicks"], "title=a,title=b", r"names 'title' twice"),
    ],
)
def test_wrong_names_are_told_with_the_way_out(available: list[str], mapping: str, message: str) -> None:
    with pytest.raises(LogError, match=message) as caught:
        resolve(available, mapping)
    assert "\n" not in str(caught.value)


def test_empty_mapping_value_is_refused() -> None:
    with pytest.raises(LogError, match="for 'title'"):
        ColumnMapping.from_dict({"title": None})


def test_the_user_may_choose_between_click_and_clicks() -> None:
    assert resolve(["item_id", "title", "click", "clicks"], "clicks=click")["clicks"] == ("click",)


def test_one_column_may_be_key_and_title() -> None:
    assert resolve(["title", "clicks"], "item_id=title") == {
        "item_id": ("title",),
        "title": ("title",),
        "clicks": ("clicks",),
    }


def test_usual_names_are_recognised() -> None:
    assert looks_like("PScore") == "propensity"
    assert looks_like("description") is None


def test_a_column_of_the_users_own_can_be_left_out() -> None:
    mapping = ColumnMapping.parse("position=,Creative=")
    found = mapping.resolve(["item_id", "title", "clicks", "position", "creative"], "logs", ["clicks"])
    assert set(found) == {"item_id", "title", "clicks"}
    assert mapping.switched_off(["creative", "brand"]) == {"creative"}
    assert ColumnMapping.from_dict(mapping.to_dict()) == mapping
    assert mapping.resolve(["item_id", "title"], "items") == {"item_id": ("item_id",), "title": ("title",)}
    with pytest.raises(
        LogError, match=r"no column 'Creative' to leave out. Did you mean 'creatives'\? --columns creatives="
    ):
        mapping.resolve(["item_id", "title", "clicks", "creatives"], "logs", ["clicks"])
