"""Promises: what counts as one in both languages, what bears it out, and lists and texts that mean harm."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.features.lexicon import Lexicon
from reward.features.phraselist import MAX_PHRASES, PhraseListError
from reward.features.promises import PromiseList
from reward.items import Item
from reward.text import clean, words

SHIPPED = PromiseList.shipped()


def said(title: str, promises: PromiseList = SHIPPED) -> list[str]:
    tokens = words(clean(title))
    return [" ".join(tokens[one.start : one.stop]) for one in promises.found(tokens)]


def kept(title: str, **fields: str | tuple[str, ...]) -> bool:
    """True if the item supports the one promise of the title."""
    item = Item("1", {n.replace("__", " "): (v,) if isinstance(v, str) else v for n, v in fields.items()})
    (one,) = SHIPPED.found(words(clean(title)))
    return SHIPPED.borne_out(SHIPPED.stated(item), one)


@pytest.mark.parametrize(
    "title",
    [
        "Money Back Guarantee",
        "money-back guarantee!",
        "FREE SHIPPING",
        "Free  Delivery",
        "Ships Free",
        "2 Year Warranty",
        "two years warranty",
        "Lifetime Guarantee",
        "Fast Delivery",
        "next-day delivery",
        "30% OFF",
        "save 20",
        "Half Price",
        "Special Deal",
        "Hot Sale",
        "Clearance",
        "Best Price",
        "Low Price",
        "Buy 1 Get 1",
        "buy one get one free",
        "BOGO",
        "Free Gift",
        "Limited Offer",
        "Limited-time offer",
        "Only 3 left",
        "While stocks last",
        "Hurry!",
        "Today only",
        "Flash Sale",
        "Free Returns",
        "30-day returns",
        "No questions asked",
        "Risk free",
        "ｆｒｅｅ ｓｈｉｐｐｉｎｇ",
        "Free\u200b shipping",
    ],
)
def test_english_promises(title: str) -> None:
    assert len(said(f"Acme red dress, {title} for women")) == 1, title
    assert said(f"Acme red dress, without {title} for women") == []


@pytest.mark.parametrize(
    "title",
    [
        "包邮",
        "免运费",
        "顺丰发货",
        "顺丰包邮",
        "现货速发",
        "买一送一",
        "买2送1",
        "七天无理由",
        "7天无理由退货",
        "假一赔十",
        "两年质保",
        "全国联保",
        "正品保证",
        "限时特惠",
        "秒杀",
        "清仓",
        "8折",
        "第二件半价",
        "满100减20",
        "全网低价",
        "立减50",
        "送运费险",
        "赠品",
        "限量版",
        "手慢无",
        "今日特价",
        "领券立减",
        "包 邮",
        "包·邮",
        "次日达",
        "免運費",
    ],
)
def test_chinese_promises(title: str) -> None:
    assert len(said(f"素锦红色连衣裙{title}女")) == 1, title
    assert said(f"连衣裙不支持{title}") in ([], ["减 20"], ["半 价"])


@pytest.mark.parametrize(
    "title",
    [
        "Acme Dress 2 Pack",
        "Off Shoulder Top",
        "30 Off White Tiles",
        "BPA Free Bottle",
        "Gift Idea for Mothers",
        "Best Seller",
        "New Arrival",
        "Guarded Tool",
        "Saleen Poster",
        "Delivery Bag",
        "Left Hand Glove",
        "Free Size",
        "Shipping Boxes",
        "不包邮",
        "三折伞",
        "8折叠桌",
        "送礼佳品",
        "热卖爆款",
        "环保价值",
        "背包换季",
        "折叠椅",
        "五件套",
        "运费模板",
    ],
)
def test_words_that_promise_nothing(title: str) -> None:
    assert said(title) == []


def test_of_phrases_within_each_other_the_longest_counts() -> None:
    assert said("Money back guarantee, free fast shipping") == ["money back guarantee", "free fast shipping"]
    assert said("七天无理由退货运费险") == ["七 天 无 理 由 退 货", "运 费 险"]


@pytest.mark.parametrize(
    ("title", "fields"),
    [
        ("Free Shipping", {"shipping": "free"}),
        ("Free Shipping", {"Shipping": "Free delivery"}),
        ("Free Shipping", {"free__shipping": "yes"}),
        ("Free delivery", {"description": "We love you. Free shipping on every order, returns in 30 days."}),
        ("Fast Delivery", {"delivery": "Fast"}),
        ("2 Year Warranty", {"warranty": "2 years"}),
        ("two-year guarantee", {"warranty": "2 years"}),
        ("Warranty", {"warranty": "2 years"}),
        ("30% off", {"discount": "30%"}),
        ("Save 30", {"offer": "30% off"}),
        ("Buy 1 Get 1", {"offer": "Buy one get one"}),
        ("Money Back Guarantee", {"returns": "money back"}),
        ("30 day returns", {"returns": "30 days"}),
        ("包邮", {"运费": "免运费"}),
        ("包邮", {"是否包邮": "是"}),
        ("7天无理由退货", {"服务": "七天无理由"}),
        ("两年质保", {"保修": "2年"}),
        ("买1送1", {"活动": "买一送一"}),
        ("满99包邮", {"运费": "满99元包邮"}),
        ("Sale", {"tags": ("summer", "sale")}),
    ],
)
def test_a_field_bears_a_promise_out(title: str, fields: dict[str, str | tuple[str, ...]]) -> None:
    assert kept(title, **fields)


@pytest.mark.parametrize(
    ("title", "fields"),
    [
        ("Free Shipping", {}),
        ("Free Shipping", {"shipping": "standard"}),
        ("Free Shipping", {"free__shipping": "no"}),
        ("Free Shipping", {"shipping": "free over 35"}),
        ("Free Shipping", {"description": "Free shipping on orders over $35."}),
        ("Free Shipping", {"description": "There is no free shipping."}),
        ("Free Shipping", {"shipping": "paid", "gift": "free"}),
        ("3 Year Warranty", {"warranty": "2 years"}),
        ("2 Year Warranty", {"warranty": "2 months"}),
        ("Warranty", {"warranty": "none"}),
        ("30% off", {"discount": "20%"}),
        ("30% off", {"capacity": "30 L"}),
        ("Buy 2 Get 1", {"offer": "Buy 1 Get 2"}),
        ("Free returns", {"returns": "30 days"}),
        ("包邮", {"是否包邮": "否"}),
        ("包邮", {"运费": "满99元包邮"}),
        ("包邮", {"运费": "不包邮"}),
        ("满99包邮", {"运费": "满199包邮"}),
        ("7天无理由", {"服务": "15天无理由"}),
        ("顺丰发货", {"运费": "包邮"}),
    ],
)
def test_what_bears_nothing_out(title: str, fields: dict[str, str | tuple[str, ...]]) -> None:
    assert not kept(title, **fields)


def test_a_lexicon_names_the_promises_beside_the_other_claims() -> None:
    items = [
        Item(str(i), {"color": (c,), "shipping": ("free",) if i % 2 else ("paid",)})
        for i, c in enumerate(("red", "blue") * 6)
    ]
    titles = [f"{item.fields['color'][0]} dress, Free Shipping, Money Back Guarantee" for item in items]
    lexicon = Lexicon.learn(zip(items, titles, strict=True), SHIPPED)
    claims = [(claim.kind, claim.text) for claim in lexicon.unstated(items[0], titles[0] + " blue 7")]
    assert claims == [
        ("promise", "free shipping"),
        ("promise", "money back guarantee"),
        ("value", "blue"),
        ("number", "7"),
    ]
    assert lexicon.broken_promises(items[1], titles[1]) == ("money back guarantee",)
    assert lexicon.broken_by(list(zip(items, titles, strict=True)))["promise"] == 1.0
    plain = Lexicon.learn(zip(items, titles, strict=True))
    assert plain.unstated(items[1], titles[1]) == ()  # people's titles do it too, and that excuses words, not promises


def test_lists_can_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text(
        "# ours\nwe plant a tree = one tree planted\n{n} trees planted\n!{n} trees planted pot\n", encoding="utf-8"
    )
    mine = PromiseList.collect([f"@{file}", "carbon neutral"])
    assert said("Lamp: one tree planted, 12 trees planted pot, carbon-neutral, free shipping", mine) == [
        "one tree planted",
        "carbon neutral",
    ]
    item = Item("1", {"note": ("We plant a tree for you",)})
    assert mine.borne_out(mine.stated(item), mine.found(words("One tree planted"))[0])


def test_lines_that_share_a_phrase_promise_the_same() -> None:
    mine = PromiseList.collect(["a b = c d", "e f = g h", "c d = g h"])
    assert len(mine.groups) == 1
    assert set(mine.groups[0]) == {"a b", "c d", "e f", "g h"}


@pytest.mark.parametrize("phrase", ["★", "{n}", "{n}%", "free = ", "= free", "!{n}"])
def test_a_phrase_without_words_is_one_clear_line(phrase: str) -> None:
    with pytest.raises(PhraseListError) as error:
        PromiseList.collect([phrase])
    assert "\n" not in str(error.value)


def test_too_long_a_list_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_text("\n".join(f"promise {i} kept" for i in range(100_000)), encoding="utf-8")
    with pytest.raises(PhraseListError, match=f"at most {MAX_PHRASES:,}"):
        PromiseList.collect([f"@{file}"])


def test_a_large_list_and_a_hostile_title_cost_little() -> None:
    """Every phrase begins alike, and the title almost matches all of them at every word."""
    groups = (
        *((f"free {'free ' * (i % 30)}x{i}",) for i in range(MAX_PHRASES)),
        *(
            ("{n} " * 30 + "off",),
            ("free 1 " * 20,),
        ),
    )
    mine = PromiseList(groups)
    mine.found(["free"])  # the index is built once
    began = time.process_time()
    for title in ("free " * 3000, "1 " * 3000, "free 1 " * 1500, "一" * 3000, "{n}" * 3000, "no " * 3000, "满" * 3000):
        mine.found(words(title))
        SHIPPED.found(words(title))
    mine.stated(Item("1", {"a": ("free " * 50_000,), "b": ("1 " * 50_000,)}))
    assert time.process_time() - began < 20  # seconds, where a backtracking pattern would take years


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["free shipping", "包邮", "{n} off", "买一送一"]), st.text(max_size=30))
def test_any_text_is_read(before: str, promise: str, after: str) -> None:
    text = f"{before} {promise} {after}"
    tokens = words(clean(text))
    found = SHIPPED.found(tokens)
    assert all(0 <= one.start < one.stop <= len(tokens) for one in found)
    assert all(a.stop <= b.start for a, b in pairwise(found))
    item = Item("1", {before or "a": (text,)})
    SHIPPED.stated(item)
