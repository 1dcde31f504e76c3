"""Reading titles: what is supported, what is a wrong claim, what is gibberish."""

import pytest

from envs.lexicon import ItemLexicon, reader
from reward.items import Item

BACKPACK = ItemLexicon.of(
    Item(
        "b",
        {
            "category": ("Backpacks",),
            "brand": ("Urban Nest",),
            "price": ("20.99",),
            "type": ("Mini Backpack",),
            "color": ("Navy Blue",),
            "capacity": ("24 L",),
            "feature": ("Anti-Theft", "USB Charging Port"),
        },
    ),
    ("backpack", "bag"),
)
LAMP = ItemLexicon.of(
    Item(
        "l",
        {
            "category": ("台灯",),
            "brand": ("圆光",),
            "price": ("222",),
            "type": ("护眼台灯",),
            "颜色": ("灰色",),
            "功率": ("12瓦",),
            "卖点": ("无频闪", "USB接口"),
        },
    ),
    ("灯具", "台灯", "灯"),
)


@pytest.mark.parametrize(
    ("lexicon", "locale", "title", "unstated", "wrong", "gibberish"),
    [
        (BACKPACK, "en", "Urban Nest Mini Backpack, 24L - navy blue with ANTI THEFT", (), 0, 0),
        (BACKPACK, "en", "Hot Sale bag for $20.99 | Buy 1 Get 1", (), 0, 0),
        (BACKPACK, "en", "Mini Backpack $19.99", ("19.99",), 1, 0),
        (BACKPACK, "en", "Mini Backpack 30 L", ("30",), 1, 0),
        (BACKPACK, "en", "Olive Green Mini Backpack", ("olive", "green"), 1, 0),
        (BACKPACK, "en", "Mini Backpack qwzx and fnord", ("qwzx", "fnord"), 0, 2),
        (BACKPACK, "en", "Mini Dress", ("dress",), 1, 0),
        (BACKPACK, "en", "Mini Backpack 1", ("1",), 1, 0),
        (BACKPACK, "en", "防水 Mini Backpack", ("防水",), 0, 1),
        (BACKPACK, "en", "", (), 0, 0),
        (LAMP, "zh", "圆光护眼台灯灰色12瓦无频闪USB接口包邮", (), 0, 0),
        (LAMP, "zh", "热卖 圆光台灯/灰色的12瓦 仅222元", (), 0, 0),
        (LAMP, "zh", "圆光护眼台灯仅99元", ("99",), 1, 0),
        (LAMP, "zh", "红色护眼台灯", ("红色",), 1, 0),
        (LAMP, "zh", "护眼台灯18瓦", ("18瓦",), 1, 0),
        (LAMP, "zh", "护眼台灯啊呀哦", ("啊呀哦",), 0, 2),
        (LAMP, "zh", "护眼台灯红色啊呀", ("红色", "啊呀"), 1, 1),
        (LAMP, "zh", "啊护眼台灯呀", ("啊", "呀"), 0, 2),
    ],
)
def test_support(
    lexicon: ItemLexicon, locale: str, title: str, unstated: tuple[str, ...], wrong: int, gibberish: int
) -> None:
    reading = reader(locale).read(lexicon, title)
    assert (reading.unstated, reading.wrong_claims, reading.gibberish) == (unstated, wrong, gibberish)


def test_only_the_first_mention_counts_and_knows_its_place() -> None:
    reading = reader("en").read(BACKPACK, "Navy Blue Mini Backpack Navy Blue bag")
    assert [(m.field, m.value, m.offset) for m in reading.mentions] == [
        ("color", "Navy Blue", 0),
        ("type", "Mini Backpack", 10),
    ]
    assert reading.repeats == 2
    assert reading.names_product
    reading = reader("zh").read(LAMP, "圆光灰色护眼台灯灰色")
    assert [(m.value, m.offset) for m in reading.mentions] == [("圆光", 0), ("灰色", 4), ("护眼台灯", 8)]
    assert reading.repeats == 1


def test_longest_match_wins() -> None:
    reading = reader("zh").read(LAMP, "护眼台灯")  # not 护眼 left over before the bare 台灯
    assert [m.value for m in reading.mentions] == ["护眼台灯"]
    assert reader("zh").read(LAMP, "台灯").names_product
    assert not reader("zh").read(LAMP, "圆光灰色").names_product


def test_promises_shouting_and_symbols_are_counted() -> None:
    reading = reader("en").read(BACKPACK, "Hot Sale Mini Backpack Free Shipping Free Shipping")
    assert (reading.promo, reading.repeats) == (3, 1)
    assert reader("en").read(BACKPACK, "MINI BACKPACK USB").shouting == 2
    assert reader("en").read(BACKPACK, "Urban Nest - Mini Backpack, Navy Blue, 24 L | Anti-Theft").symbols == 0
    assert reader("en").read(BACKPACK, "Mini Backpack!!!").symbols == 2
    assert reader("en").read(BACKPACK, "★ Mini Backpack ★").symbols == 2
