"""Fluency: titles as people write them against the same ones spoilt, in a simulated shop."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from envs.market import Market
from reward.belonging.fluency import FAULTS, Fluency, spoil
from reward.errors import ModelError
from tests import damage

TRAIN, TEST = 500, 120


def logs_of(market: Market, first: int, end: int) -> tuple[list[str], np.ndarray]:
    titles = [[title for title, _ in market.logging_policy(item)] for item in market.items[first:end]]
    return [title for own in titles for title in own], np.repeat(np.arange(end - first), [len(own) for own in titles])


@pytest.fixture(scope="module", params=["en", "zh"])
def shop(request: pytest.FixtureRequest) -> tuple[list[str], Fluency, str]:
    """Held-out titles, and what was learned from others."""
    market = Market(TRAIN + TEST, request.param, 5)
    return logs_of(market, TRAIN, TRAIN + TEST)[0], Fluency.fit(*logs_of(market, 0, TRAIN)), request.param


def test_spoilt_titles_score_below_logged_ones(shop: tuple[list[str], Fluency, str]) -> None:
    titles, fluency, _ = shop
    made = spoil(titles, np.random.default_rng(0))
    logged = fluency.predict(titles)
    assert 0.01 < logged.faulty.mean() < 0.12  # 5% stated
    least = {"shuffled": (0.94, 0.8), "spliced": (0.78, 0.3), "repeated": (0.95, 0.8), "garbled": (0.97, 0.9)}
    for fault, (auc, caught) in least.items():
        found = fluency.predict([title for title in made[fault] if title is not None])
        label = np.repeat([1, 0], [len(logged.score), len(found.score)])
        assert roc_auc_score(label, np.concatenate([logged.score, found.score])) > auc, fault
        assert found.faulty.mean() > caught, fault
        named = found.fault[found.faulty]
        assert np.mean(named == fault) > 0.5, fault  # and the fault has its name


def test_a_title_of_pieces_that_stand_side_by_side_nowhere_is_found() -> None:
    market = Market(1_200, "en", 0)
    titles, index = logs_of(market, 0, 1_200)
    fluency = Fluency.fit(titles, index)
    spliced = "Mini Dress Fully Lined Work Fable made of Money Back Guarantee"
    found = fluency.predict([spliced, "Fable Short Sleeve Mini Dress made of Jersey"])
    assert found.faulty.tolist() == [True, False]
    assert found.fault[0] == "spliced"


def test_capitals_and_punctuation_do_not_count(shop: tuple[list[str], Fluency, str]) -> None:
    titles, fluency, _ = shop
    score = fluency.predict(titles).score
    for change in (str.upper, str.lower, lambda title: f"“{title}”!"):
        np.testing.assert_allclose(fluency.predict(list(map(change, titles))).score, score, atol=1e-9)


def test_a_title_is_worse_the_more_of_it_is_garbled(shop: tuple[list[str], Fluency, str]) -> None:
    titles, fluency, locale = shop
    title = titles[int(np.argmax(fluency.predict(titles).score * (np.char.str_len(np.array(titles)) > 20)))]
    odd = "qzxv" if locale == "en" else "夔"
    parts = title.split() if locale == "en" else list(title)
    joint = " " if locale == "en" else ""
    made = [joint.join([*[odd] * k, *parts[k:]]) for k in np.linspace(0, len(parts), 4).astype(int)]
    score = fluency.predict(made).score
    assert (np.diff(score) < 0).all()
    assert score[-1] < 1e-3


def test_the_same_seed_gives_the_same_scores_and_saving_keeps_them(tmp_path: Path) -> None:
    logs = logs_of(Market(150, "zh", 6), 0, 150)
    fluency = Fluency.fit(*logs)
    fluency.save(tmp_path)
    expected = fluency.predict(logs[0]).score
    for again in (Fluency.fit(*logs), Fluency.load(tmp_path)):
        np.testing.assert_array_equal(again.predict(logs[0]).score, expected)


def test_both_scripts_in_one_log_have_their_own_thresholds() -> None:
    parts = [logs_of(Market(150, locale, 7), 0, 150) for locale in ("en", "zh")]
    titles = [title for own, _ in parts for title in own]
    fluency = Fluency.fit(titles, np.concatenate([parts[0][1], 150 + parts[1][1]]))
    assert set(fluency.models) == {"spaced", "CJK", "all"}
    for own, _ in parts:
        assert fluency.predict(own).faulty.mean() < 0.12


def test_hostile_titles_have_finite_scores(shop: tuple[list[str], Fluency, str]) -> None:
    _, fluency, _ = shop
    said = ["a" * 10_000, "word " * 2_000, "红" * 10_000, "🎉 x" * 300, "\ud800 half", "7", "<b>&amp;</b>", "א ב"]
    silent = ["", " ", "\x00\x01", "\u200b", "!!! ???", "🎉" * 300]
    found = fluency.predict([*said, *silent])
    assert np.isfinite(found.score).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert found.faulty[[0, 1, 2]].all()
    np.testing.assert_array_equal(found.score[len(said) :], 0.0)
    assert set(found.fault[len(said) :]) == {"empty"}
    assert fluency.predict([]).score.shape == (0,)


@pytest.mark.parametrize(
    ("titles", "index"),
    [([], []), (["one title"] * 200, list(range(200))), ([f"word{i} again" for i in range(30)], list(range(30)))],
)
def test_too_few_titles_are_refused_in_one_line(titles: list[str], index: list[int]) -> None:
    with pytest.raises(ModelError, match=r"fluency cannot be learned from .* Log more items") as error:
        Fluency.fit(titles, np.array(index, dtype=np.int64))
    assert "\n" not in str(error.value)


def test_a_damaged_folder_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = tmp_path / "good"
    Fluency.fit(*logs_of(Market(120, "en", 6), 0, 120)).save(good)
    meta, arrays = json.loads((good / "meta.json").read_text()), dict(np.load(good / "arrays.npz"))
    cases = [
        (meta | {"models": {}}, arrays),
        (meta | {"models": {"all": {"faults": list(FAULTS)}}}, arrays),
        (meta, {key: value for key, value in arrays.items() if not key.startswith("joins")}),
        (meta, arrays | {"language.grams.0.keys": arrays["language.grams.0.keys"][::-1]}),
        (meta, arrays | {"spelling.discounts": np.array([0.5])}),
        (meta, arrays | {"n_characters": np.array(-1)}),
        (meta, arrays | {"topics.directions": arrays["topics.directions"][:, :1]}),
    ]
    for number, (text, table) in enumerate(cases):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "meta.json").write_text(json.dumps(text))
        np.savez(folder / "arrays.npz", **table)
        with pytest.raises(ModelError, match=r"\d.* is damaged") as error:
            Fluency.load(folder)
        assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="holds no fluency model"):
        Fluency.load(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    kinds = [("meta.json", how) for how in (damage.ANY_FILE | damage.JSON_FILE).values()]
    for name, how in kinds + [("arrays.npz", how) for how in damage.ANY_FILE.values()]:
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(good, tmp_path / "bad")
        how(tmp_path / "bad" / name)
        with pytest.raises(ModelError, match=rf"bad(/{name}| holds (no|a) fluency model)") as error:
            Fluency.load(tmp_path / "bad")
        assert "\n" not in str(error.value)
