"""Relevance: own titles against titles of other items, in a simulated shop and in cases with one right answer."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from envs.market import Market
from reward.belonging.relevance import Relevance
from reward.belonging.spoil import spliced
from reward.encoders.encoder import open_encoder
from reward.errors import ModelError
from reward.items import Item
from tests.tiny_encoders import save_language_model, save_sentence_encoder

TRAIN, TEST = 240, 120
Logs = tuple[list[Item], list[str], np.ndarray]


@pytest.fixture(scope="module", params=["en", "zh"])
def shop(request: pytest.FixtureRequest) -> tuple[Logs, Logs, Relevance]:
    """Logs to learn from, logs of other items, and what was learned."""
    market = Market(TRAIN + TEST, request.param, 4)
    train, test = logs_of(market, 0, TRAIN), logs_of(market, TRAIN, TRAIN + TEST)
    return train, test, Relevance.fit(*train)


def logs_of(market: Market, first: int, end: int) -> Logs:
    items = [Item(item.item_id, item.fields) for item in market.items[first:end]]
    titles = [[title for title, _ in market.logging_policy(item)] for item in market.items[first:end]]
    index = np.repeat(np.arange(len(items)), [len(own) for own in titles])
    return items, [title for own in titles for title in own], index


def owners(logs: Logs) -> list[Item]:
    return [logs[0][i] for i in logs[2]]


def of_others(logs: Logs, seed: int = 0) -> list[str]:
    """For each title one of an item of another category."""
    rng = np.random.default_rng(seed)
    category = [item.fields["category"] for item in owners(logs)]
    found = []
    for own in category:
        while category[other := int(rng.integers(len(category)))] == own:
            pass
        found.append(logs[1][other])
    return found


def auc(own: np.ndarray, other: np.ndarray) -> float:
    return float(roc_auc_score(np.repeat([1, 0], [len(own), len(other)]), np.concatenate([own, other])))


def test_own_titles_of_new_items_score_above_titles_of_others(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    own, other = (relevance.predict(owners(test), titles) for titles in (test[1], of_others(test)))
    assert auc(own.score, other.score) > 0.98  # by the fields alone: the items are new
    assert 0.01 < own.faulty.mean() < 0.12  # 5% stated
    assert other.faulty.mean() > 0.9
    assert set(other.fault[other.faulty]) <= {"foreign", "spliced"}


def test_other_titles_of_the_item_help(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    bare = ([Item(item.item_id) for item in test[0]], *test[1:])  # no field is known
    unknown = relevance.predict(owners(bare), bare[1])
    assert not unknown.faulty.any()
    assert set(unknown.fault) == {""}
    np.testing.assert_array_equal(unknown.score, 0.5)
    knowing = relevance.with_titles(*bare)
    own = knowing.predict(owners(bare), bare[1])
    other = knowing.predict(owners(bare), of_others(test), apart=bare[1])
    assert auc(own.score, other.score) > 0.97
    np.testing.assert_array_equal(relevance.predict(owners(bare), bare[1]).score, 0.5)  # nothing was changed in place


def test_spliced_and_stuffed_titles_lose(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    rng = np.random.default_rng(1)
    other = of_others(test)
    own = relevance.predict(owners(test), test[1])
    for made in (
        [spliced(a, b, rng) for a, b in zip(test[1], other, strict=True)],
        [f"{a} {b}" for a, b in zip(test[1], other, strict=True)],
    ):
        found = relevance.predict(owners(test), made)
        assert auc(own.score, found.score) > 0.9
        assert found.faulty.mean() > 5 * own.faulty.mean()


def test_a_logged_title_is_judged_without_itself(shop: tuple[Logs, Logs, Relevance]) -> None:
    train, _, relevance = shop
    titles = [title for title, index in zip(train[1], train[2], strict=True) if index == 0]
    item = Item("new", train[0][0].fields)
    for k, title in enumerate(titles):
        others = titles[:k] + titles[k + 1 :]
        with_it, without = (
            relevance.with_titles([item], own, np.zeros(len(own), int)).predict([item], [title])
            for own in ([*others, title, f"  {title.upper()} "], others)
        )
        np.testing.assert_allclose(with_it.score, without.score, rtol=1e-5)


def test_writing_a_title_another_way_changes_little(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    score = relevance.predict(owners(test), test[1]).score
    for change in (str.upper, lambda title: f"{title}!", lambda title: title.replace(" ", "  ")):
        np.testing.assert_allclose(relevance.predict(owners(test), list(map(change, test[1]))).score, score, atol=0.1)


def test_more_of_the_item_is_better_and_more_of_another_worse(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    item, other = test[0][0], next(i for i in test[0] if i.fields["category"] != test[0][0].fields["category"])
    names = [name for name in item.fields if name in other.fields and name not in ("locale", "category", "price")][:3]
    own, foreign = ([i.fields[name][0] for name in names] for i in (item, other))
    joined = [" ".join([*own[:k], *foreign[k:]]) for k in range(4)]
    score = relevance.predict([item] * 4, joined).score
    assert (np.diff(score) > 0).all()
    assert score[0] < 0.1 < 0.9 < score[3]


def test_the_same_seed_gives_the_same_scores_and_saving_keeps_them(
    shop: tuple[Logs, Logs, Relevance], tmp_path: Path
) -> None:
    train, test, relevance = shop
    relevance.save(tmp_path / "relevance")
    expected = relevance.predict(owners(test), test[1])
    for again in (Relevance.fit(*train), Relevance.load(tmp_path / "relevance")):
        found = again.predict(owners(test), test[1])
        np.testing.assert_array_equal(found.score, expected.score)
        np.testing.assert_array_equal(found.threshold, expected.threshold)
    logged = [title for title, index in zip(train[1], train[2], strict=True) if index == 3]
    asked = [train[0][3]] * len(logged), logged
    np.testing.assert_array_equal(
        Relevance.load(tmp_path / "relevance").predict(*asked).score, relevance.predict(*asked).score
    )


SILENT = ["", " ", "\x00\x01\x02", "\u200b", "!!! ???"]
HOSTILE = [*SILENT, "\ud800 half", "a" * 10_000, "word " * 2_000, "红" * 10_000, "🎉" * 300, "7"]


def test_hostile_titles_and_items_have_finite_scores(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    items = [
        test[0][0],
        Item("", {}),
        Item("empty", {"name": ("", " ")}),
        Item("long", {"text": ("x" * 200_000, "\x00", "\ud800")}),
        Item("current", {}, "\x00"),
        Item("other", {}, test[1][0]),
    ]
    for item in items:
        found = relevance.predict([item] * len(HOSTILE), HOSTILE)
        assert np.isfinite(found.score).all()
        assert ((found.score >= 0) & (found.score <= 1)).all()
        np.testing.assert_array_equal(found.score[:5], 0.0)  # nothing is said
        assert found.faulty[:5].all()
        assert set(found.fault[:5]) == {"empty"}
    assert relevance.predict([], []).score.shape == (0,)


def test_an_item_without_logs_is_known_by_its_current_title(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    own, other = test[1][0], of_others(test)[0]
    item = Item("without logs", {}, own)
    scores = relevance.predict([item] * 3, [own, f"{own} {own.split()[0]}", other])
    assert scores.fault[0] == ""  # nothing to compare it with but itself
    assert scores.score[1] > 0.8 > 0.2 > scores.score[2]


def test_lengths_that_differ_are_refused(shop: tuple[Logs, Logs, Relevance]) -> None:
    _, test, relevance = shop
    with pytest.raises(ModelError, match=r"one length\. Got 2, 1 and 1"):
        relevance.predict(test[0][:2], ["one"])


def small_logs(n_items: int = 60, fields: bool = True) -> Logs:
    """Items that each have a word of their own and a color, in two titles and one field."""
    colors = ("red", "green", "blue", "white", "black", "brown")
    own = [f"{colors[i % 6]} thing{i}x" for i in range(n_items)]
    items = [Item(f"{i}", {"name": (name,)} if fields else {}) for i, name in enumerate(own)]
    titles = [title for name in own for title in (f"buy {name} now", f"a good {name} for all")]
    return items, titles, np.repeat(np.arange(n_items), 2)


def test_items_without_fields_are_told_by_their_titles() -> None:
    logs = small_logs(fields=False)
    found = Relevance.fit(*logs).predict(logs[0][:2], ["a good red thing0x now"] * 2)
    assert found.score[0] > 0.5 > found.score[1]
    assert list(Relevance.fit(*logs).models) == ["titles", "titles, spaced"]


def test_too_few_titles_are_refused_in_one_line() -> None:
    for items, titles, index in (small_logs(5), ([], [], np.zeros(0, int)), small_logs(60, fields=False)):
        few = slice(None) if len(items) < 60 else slice(0, None, 2)  # one title per item, no fields
        with pytest.raises(ModelError, match="Log more items, or columns that describe them") as error:
            Relevance.fit(items, titles[few], index[few])
        assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="false_alarms"):
        Relevance.fit(*small_logs(), false_alarms=1.0)


def test_a_damaged_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    good = tmp_path / "good"
    Relevance.fit(*small_logs()).save(good)
    meta, arrays = json.loads((good / "meta.json").read_text()), dict(np.load(good / "arrays.npz"))
    model = meta["models"]["fields"]
    metas = [
        meta | {"models": {"guesses": model}},
        meta | {"models": meta["models"] | {"titles and fields": model}},  # of fewer measurements
        meta | {"own": ["a"]},
        meta | {"models": None},
        {key: value for key, value in meta.items() if key != "own"},
    ]
    tables = [
        {key: value for key, value in arrays.items() if key != "word_idf"},
        arrays | {"character_idf": arrays["character_idf"][:-1]},
        arrays | {"word_idf": np.full_like(arrays["word_idf"], np.nan)},
        arrays | {"topics.buckets": arrays["topics.buckets"] + (1 << 40)},
        arrays | {"topics.scaling": arrays["topics.scaling"][:-1]},
        arrays | {"characters": arrays["characters"][:, :5]},
        arrays | {"word_idf": arrays["word_idf"].astype("U9")},
    ]
    for number, (text, table) in enumerate([*((m, arrays) for m in metas), *((meta, t) for t in tables)]):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "meta.json").write_text(json.dumps(text))
        np.savez(folder / "arrays.npz", **table)
        with pytest.raises(ModelError, match=r"\d.* is damaged") as error:
            Relevance.load(folder)
        assert "\n" not in str(error.value)
    (good / "meta.json").write_text(json.dumps(meta | {"format": 99}))
    with pytest.raises(ModelError, match="of format 99"):
        Relevance.load(good)
    (good / "meta.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        Relevance.load(good)
    (good / "meta.json").unlink()
    with pytest.raises(ModelError, match="holds no relevance model"):
        Relevance.load(good)


class Dictionary:
    """An encoder that knows which words mean the same: an item's name and what its titles call it."""

    spec, fingerprint, about_width = "dictionary", "1", 90

    def __init__(self, *languages: Sequence[str]) -> None:
        self._meaning = {word: number for words in languages for number, word in enumerate(words)}

    def about(self, texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), self.about_width), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row, [self._meaning[word] for word in text.split() if word in self._meaning]] = 1.0
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)


def test_an_encoder_tells_what_no_letter_does() -> None:
    rng = np.random.default_rng(0)
    names, calls = (["".join(rng.choice(list(letters), 6)) for _ in range(90)] for letters in ("abcdefgh", "mnopqrst"))
    items = [Item(f"{i}", {"name": (name,)}) for i, name in enumerate(names)]
    titles = [f"new {call} offer" for call in calls]
    encoder = Dictionary(names, calls)
    learned, rest = (items[:60], titles[:60], np.arange(60)), items[60:]
    other = [*titles[61:], titles[60]]
    blind, seeing = Relevance.fit(*learned), Relevance.fit(*learned, encoder=encoder)  # type: ignore[arg-type]
    for relevance, low, high in ((blind, 0.3, 0.7), (seeing, 0.99, 1.0)):
        own, foreign = (relevance.predict(rest, asked).score for asked in (titles[60:], other))
        assert low <= auc(own, foreign) <= high


def test_the_encoder_is_kept_by_name_and_shared_where_it_is_open(tmp_path: Path) -> None:
    encoder = open_encoder(str(save_sentence_encoder(tmp_path / "sentences")))
    logs = small_logs()
    relevance = Relevance.fit(*logs, encoder=encoder)
    relevance.save(tmp_path / "relevance")
    shared = Relevance.load(tmp_path / "relevance", encoder=encoder)
    assert shared.reader.encoder is encoder
    opened = Relevance.load(tmp_path / "relevance", tmp_path / "encodings.sqlite")
    asked = logs[0][:20], logs[1][1:40:2]
    for again in (shared, opened):
        np.testing.assert_allclose(again.predict(*asked).score, relevance.predict(*asked).score, atol=1e-3)
    save_sentence_encoder(tmp_path / "sentences", seed=1)
    with pytest.raises(ModelError, match="is not the one this model was fitted with"):
        Relevance.load(tmp_path / "relevance")


def test_a_language_model_that_cannot_tell_subjects_is_left_out(tmp_path: Path) -> None:
    encoder = open_encoder(str(save_language_model(tmp_path / "causal")))
    assert Relevance.fit(*small_logs(), encoder=encoder).reader.encoder is None
