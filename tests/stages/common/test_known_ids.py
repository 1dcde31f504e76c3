"""Ids of a later file that differ from those of the logs in spelling only are told; other items are not."""

from pathlib import Path

import pytest

from reward.errors import LogError
from reward.items import Item
from rlopt.stages.common.known_ids import refuse_strangers

LOGGED = [Item(f"i{n:04d}", {"colour": ("red",)}) for n in range(30)]
IDS = [item.item_id for item in LOGGED]
NUMBERS = [Item(str(n), {"colour": ("red",)}) for n in range(100, 130)]


@pytest.mark.parametrize("around", ["gid://shop/Product/{}", "SKU-{}", "https://shop.example/p/{}?v=2", "{}/", " {} "])
def test_addresses_prefixes_and_queries_around_ids_are_told(around: str) -> None:
    for here, logged in (
        ([around.format(item_id.upper()) for item_id in IDS], LOGGED),
        ([around.format(item.item_id) for item in NUMBERS], NUMBERS),
        (IDS, [Item(around.format(item_id), {}) for item_id in IDS]),
    ):
        with pytest.raises(LogError, match="but most are when spelt alike"):
            refuse_strangers(here, logged, Path("titles.csv"))


@pytest.mark.parametrize("ids", [["new-a", "new-b", "new-c"], [f"j{n:04d}" for n in range(30)], ["x/i0001", "y"]])
def test_other_items_are_none_of_the_logs(ids: list[str]) -> None:
    refuse_strangers(ids, LOGGED, Path("titles.csv"))
