"""Features: mentions and claims known by hand, n-grams against a naive count, any text at all."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.arms import Arms
from reward.errors import ModelError
from reward.features import lexical, mentions, ngrams
from reward.features.transformer import FeatureBlock, TitleFeatures, take
from reward.items import Item
from reward.text import display_width

from ..shop import VALUES, make_shop, words_of

HOSTILE = [
    "",
    " ",
    "a",
    "\u200b",
    "👍🏽" * 50,
    "<script>alert(1)</script>",
    "مرحبا بالعالم",
    "\ud800",
    "x" * 10_000,
    "\x00",
    "価格",
    "９９％",
]


def fitted(locale: str) -> tuple[TitleFeatures, Arms]:
    arms = make_shop(locale, n_items=120).arms
    return TitleFeatures.fit(arms.items, list(arms.title), arms.item_index), arms


@pytest.fixture(scope="module", params=["en", "zh"])
def shop_features(request: pytest.FixtureRequest) -> tuple[str, TitleFeatures, Arms]:
    return (request.param, *fitted(request.param))


def column(features: TitleFeatures, block: FeatureBlock, name: str) -> np.ndarray:
    return block.dense[:, features.names.index(name)]


def item_of(locale: str, **choice: int) -> Item:
    return Item("new", {name: (VALUES[locale][name][i],) for name, i in choice.items()})


def test_vocabulary_finds_slots_category_and_price(shop_features: tuple[str, TitleFeatures, Arms]) -> None:
    _, features, _ = shop_features
    vocabulary = features.vocabulary
    assert {"brand", "color", "material", "use", "category"} <= set(vocabulary.slots)
    assert "category" in vocabulary.categories
    assert vocabulary.numerics == ("price",)


def test_mentions_stand_where_they_begin(shop_features: tuple[str, TitleFeatures, Arms]) -> None:
    locale, features, _ = shop_features
    item = item_of(locale, category=1, brand=2, color=1, material=1, use=0)
    parts = [VALUES[locale]["color"][1], VALUES[locale]["brand"][2]]
    block = features.transform([item], [words_of(locale, [*parts, VALUES[locale]["category"][1]])])
    blank = 1 if locale == "en" else 0
    assert column(features, block, "place of color")[0] == 0
    assert column(features, block, "place of brand")[0] == display_width(parts[0]) + blank
    assert column(features, block, "rank of brand")[0] == 1
    assert column(features, block, "place of material")[0] == 200  # the item has it, the title does not say so
    assert column(features, block, "fields mentioned")[0] == 3
    assert column(features, block, "count: words nothing supports")[0] == 0
    assert column(features, block, "count: wrong claims")[0] == 0


def test_a_field_the_item_lacks_is_neither_mentioned_nor_missing(
    shop_features: tuple[str, TitleFeatures, Arms],
) -> None:
    locale, features, _ = shop_features
    block = features.transform([item_of(locale, category=0, brand=0)], [VALUES[locale]["brand"][0]])
    assert np.isnan(column(features, block, "place of color")[0])


def test_a_value_of_another_item_is_a_wrong_claim(shop_features: tuple[str, TitleFeatures, Arms]) -> None:
    locale, features, _ = shop_features
    title = words_of(locale, [VALUES[locale]["color"][2], VALUES[locale]["category"][0]])
    with_other_color = item_of(locale, category=0, brand=0, color=0)
    without_color = item_of(locale, category=0, brand=0)
    block = features.transform([with_other_color, without_color], [title, title])
    assert column(features, block, "count: wrong claims").tolist() == [1, 1]
    assert column(features, block, "count: claims on a field the item lacks").tolist() == [0, 1]


def test_words_of_many_items_are_free_and_unknown_words_are_not(
    shop_features: tuple[str, TitleFeatures, Arms],
) -> None:
    locale, features, _ = shop_features
    item = item_of(locale, category=0, brand=0, color=0)
    free, made_up = {"en": ("new arrival", "qwzx"), "zh": ("新款", "饕餮")}[locale]
    block = features.transform(
        [item, item], [words_of(locale, [text, VALUES[locale]["brand"][0]]) for text in (free, made_up)]
    )
    unsupported = column(features, block, "count: words nothing supports")
    unseen = column(features, block, "count: words never seen in titles")
    assert unsupported[0] == 0
    assert unseen[0] == 0
    assert unsupported[1] > 0
    assert unseen[1] > 0


def test_several_values_of_a_field_are_several_mentions_and_a_value_twice_is_a_repeat() -> None:
    features, _ = fitted("en")
    item = Item("new", {"color": ("red", "green"), "brand": ("Norda",)})
    block = features.transform([item, item], ["red green Norda", "red red Norda"])
    assert column(features, block, "count: values mentioned").tolist() == [3, 2]
    assert column(features, block, "count: values repeated").tolist() == [0, 1]
    assert column(features, block, "fields mentioned").tolist() == [2, 2]


def test_plural_and_part_of_a_value_are_supported() -> None:
    features, _ = fitted("en")
    item = Item("new", {"material": ("oak wood",), "use": ("garden",)})
    block = features.transform([item], ["gardens of oak"])
    assert not np.isnan(column(features, block, "place of use")[0])
    assert column(features, block, "place of use")[0] == 0
    assert column(features, block, "share of words found in the item's text")[0] == pytest.approx(1 / 3)


def test_logged_titles_do_not_make_their_own_words_known() -> None:
    items = [Item(f"i{k}", {"color": ("red",)}) for k in range(6)]
    titles = ["red shoe"] * 5 + ["red zyzzyva"]
    features = TitleFeatures.fit(items, titles, range(6))
    logged = features.transform(items, titles, logged=True)
    new = features.transform(items, titles)
    name = "count: words never seen in titles"
    assert column(features, logged, name).tolist() == [0, 0, 0, 0, 0, 1]
    assert column(features, new, name).tolist() == [0] * 6


def test_features_of_a_pair_do_not_depend_on_the_batch(shop_features: tuple[str, TitleFeatures, Arms]) -> None:
    _, features, arms = shop_features
    items, titles = arms.arm_items[:40], list(arms.title[:40])
    whole = features.transform(items, titles)
    order = np.random.default_rng(0).permutation(40)
    shuffled = features.transform([items[i] for i in order], [titles[i] for i in order])
    np.testing.assert_array_equal(shuffled.dense, whole.dense[order])
    alone = features.transform([items[7]], [titles[7]])
    np.testing.assert_array_equal(alone.dense, whole.dense[[7]])
    np.testing.assert_array_equal(alone.characters.hashes, take(whole, np.array([7])).characters.hashes)
    np.testing.assert_array_equal(alone.words.hashes, take(whole, np.array([7])).words.hashes)
    np.testing.assert_array_equal(alone.offset, take(whole, np.array([7])).offset)


def test_state_round_trip_gives_the_same_features(shop_features: tuple[str, TitleFeatures, Arms]) -> None:
    _, features, arms = shop_features
    again = TitleFeatures.from_state(*features.state())
    items, titles = arms.arm_items, list(arms.title)
    a, b = features.transform(items, titles), again.transform(items, titles)
    np.testing.assert_array_equal(a.dense, b.dense)
    np.testing.assert_array_equal(a.words.hashes, b.words.hashes)
    assert again.names == features.names


def test_item_cache_is_bounded_and_notices_new_fields() -> None:
    features, arms = fitted("en")
    scanner = mentions.MentionScanner(features.vocabulary, cache_size=10)
    scanner.scan(arms.arm_items, list(arms.title))
    assert len(scanner._items) == 10
    before = scanner.scan([Item("same", {"color": ("red",)})], ["red"])
    after = scanner.scan([Item("same", {"color": ("green",)})], ["red"])
    assert len(before.row) == 1
    assert len(after.row) == 0


def test_lengths_must_agree() -> None:
    features, arms = fitted("en")
    with pytest.raises(ModelError, match=r"same length\. Got 1 and 2"):
        features.transform(arms.arm_items[:1], ["a", "b"])
    with pytest.raises(ModelError, match="0 titles"):
        TitleFeatures.fit([], [], [])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from(HOSTILE)), min_size=1, max_size=8))
def test_any_text_has_finite_features(titles: list[str]) -> None:
    features, arms = _SHARED
    block = features.transform(arms.arm_items[: len(titles)], titles)
    assert np.isfinite(block.dense).all()  # these items lack no field
    assert len(block.words) == len(block.characters) == len(titles)


_SHARED = fitted("en")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_lexical_features_equal_a_count_by_character(titles: list[str]) -> None:
    found = lexical.lexical_features(titles)
    for row, title in zip(found, titles, strict=True):
        value = dict(zip(lexical.NAMES, row.tolist(), strict=True))
        assert value["length: characters"] == len(title)
        assert value["length: display width"] == display_width(title)
        digits = [character for character in title if character.isdecimal()]
        assert value["share of digits"] == pytest.approx(len(digits) / max(len(title), 1), rel=1e-5)
        runs = sum(b.isdecimal() and not a.isdecimal() for a, b in pairwise(" " + title))
        assert value["count: numbers"] == runs
        assert value["count: question"] == title.count("?") + title.count("？")


def test_capitals_and_punctuation() -> None:
    (row,) = lexical.lexical_features(["BIG Sale: 50% off!"])
    value = dict(zip(lexical.NAMES, row.tolist(), strict=True))
    assert value["count: words in capitals"] == 1
    assert value["share of capitalised words"] == pytest.approx(2 / 3)
    assert value["count: colon"] == value["count: exclamation"] == value["ends with punctuation"] == 1
    assert value["starts with a number"] == 0


def test_n_grams_are_those_of_a_naive_count() -> None:
    texts = [["red", "shoe"], [], ["red"]]
    grams = ngrams.word_grams(texts)
    one = ngrams.word_grams([["red"]], (1,)).hashes[0]
    assert np.diff(grams.starts).tolist() == [2 + 3, 0, 1 + 2]  # words, and pairs with the marks at both ends
    assert (grams.hashes == one).sum() == 2
    characters = ngrams.character_grams(["abc", "", "a"], (2, 3))
    # " abc ": 4 pairs and 3 triples; " a ": 2 pairs and 1 triple
    assert np.diff(characters.starts).tolist() == [7, 0, 3]
    assert len(set(characters.hashes.tolist())) == 10 - 1  # both texts begin with " a"


def test_scores_equal_the_matrix_product() -> None:
    rng = np.random.default_rng(0)
    grams = ngrams.character_grams(["red shoe red", "", "蓝色 shoe", "x"])
    idf = rng.random(512).astype(np.float32)
    weights = rng.standard_normal((512, 3)).astype(np.float32)
    matrix = ngrams.to_matrix(grams, idf)
    np.testing.assert_allclose(ngrams.scores(grams, idf, weights), matrix @ weights, atol=1e-5)
    counts = np.zeros(512)
    part = grams.hashes[grams.starts[0] : grams.starts[1]] % 512
    np.add.at(counts, part, idf[part] / np.linalg.norm(idf[part]))
    np.testing.assert_allclose(matrix[0].toarray()[0], counts, rtol=1e-5, atol=1e-6)


def test_item_frequency_counts_items_not_titles() -> None:
    grams = ngrams.word_grams([["a"], ["a"], ["a"]], (1,))
    frequency = ngrams.item_frequency(grams, np.array([0, 0, 1]), 64)
    assert frequency.sum() == frequency.max() == 2
