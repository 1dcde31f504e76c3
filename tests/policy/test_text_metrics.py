"""Text metrics: the libraries' own figures on English, one for identical Chinese titles, intervals that cover."""

import numpy as np
import pytest
from rouge_score import rouge_scorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from reward.features.lexicon import Lexicon
from reward.items import Item
from rlopt.policy import text_metrics
from rlopt.policy.text_metrics import (
    about_items,
    against_references,
    bleu,
    bleu_counts,
    bootstrap_mean,
    distinct,
    drawn_sums,
    item_draws,
    nearest_reference,
)

TITLES = ["red wrap dress with pockets", "blue lamp for the office", "new black leather bag 20 l", "dress"]
REFERENCES = ["red dress with two pockets", "blue office lamp", "black leather bag with 20 l", "summer dress new in"]


def test_english_figures_are_the_libraries_own() -> None:
    got = against_references(TITLES, REFERENCES)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    for row, (title, reference) in enumerate(zip(TITLES, REFERENCES, strict=True)):
        expected = scorer.score(reference, title)
        for name, key in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
            assert got[name][row] == pytest.approx(expected[key].fmeasure)
        assert got["chrf"][row] == pytest.approx(CHRF().sentence_score(title, [reference]).score / 100)
    corpus = BLEU().corpus_score(TITLES, [REFERENCES]).score / 100
    assert bleu(bleu_counts(TITLES, REFERENCES).sum(axis=0)) == pytest.approx(corpus)


def test_chinese_bleu_is_sacrebleus_zh() -> None:
    titles, references = ["红色连衣裙新款包邮显瘦", "真皮单肩包女士"], ["红色连衣裙夏季新款包邮", "女士真皮单肩小包"]
    corpus = BLEU(tokenize="zh").corpus_score(titles, [references]).score / 100
    assert bleu(bleu_counts(titles, references).sum(axis=0)) == pytest.approx(corpus)


def test_identical_chinese_titles_are_one() -> None:
    titles = ["红色连衣裙新款包邮", "蓝牙耳机2.4G降噪"]
    got = against_references(titles, titles)
    for name, values in got.items():
        np.testing.assert_allclose(values, 1.0, err_msg=name)
    assert bleu(bleu_counts(titles, titles).sum(axis=0)) == pytest.approx(1.0)


def test_coverage_and_precision_by_hand() -> None:
    shop = [Item(str(i), {"color": (("red", "blue")[i % 2],), "type": ("wrap dress",)}) for i in range(10)]
    lexicon = Lexicon.learn([(item, f"new {item.fields['color'][0]} wrap dress") for item in shop])
    got = about_items(shop[:1] * 3, ["new red", "red wrap dress", "blue wrap dress"], lexicon)
    np.testing.assert_allclose(got["coverage"], [0.5, 1.0, 0.5])
    np.testing.assert_allclose(got["precision"], [1.0, 1.0, 0.5])
    np.testing.assert_allclose(got["length"], [2, 3, 3])


def test_distinct_n_by_hand() -> None:
    assert distinct(["red dress", "red bag"], 1) == 0.75
    assert distinct(["red dress", "red dress"], 2) == 0.5
    assert np.isnan(distinct([""], 1))  # nothing to measure


def test_the_interval_covers_the_mean_of_clustered_titles() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        level = rng.normal(size=60)
        cluster = np.repeat(np.arange(60), 3)
        found = bootstrap_mean(level[cluster] + 0.1 * rng.normal(size=180), cluster, item_draws(60, 400, trial))
        covered += found.low <= 0.0 <= found.high
    assert 0.90 <= covered / 200 <= 0.985


def test_values_that_are_not_known_are_left_out() -> None:
    found = bootstrap_mean(np.array([np.nan, 2.0, 4.0]), np.array([0, 1, 2]), item_draws(3, 100, 0))
    assert found.value == 3.0
    few = np.full(20, np.nan)
    few[:3] = 0.8  # a fifth of the draws hold none of these
    found = bootstrap_mean(few, np.arange(20), item_draws(20, 1000, 0))
    assert (found.low, found.high) == (pytest.approx(0.8), pytest.approx(0.8))


def test_draws_take_as_many_items_as_there_are_and_their_sums_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = item_draws(300, 50, 0)
    assert (draws.sum(axis=1) == 300).all()
    assert draws.mean(axis=0) == pytest.approx(np.ones(300), abs=0.8)
    values = np.random.default_rng(0).normal(size=(300, 2))
    monkeypatch.setattr(text_metrics, "DRAWN_CELLS", 1000)
    np.testing.assert_allclose(drawn_sums(draws, values), draws.astype(float) @ values, atol=1e-9)


def test_the_nearest_reference_counts() -> None:
    found = nearest_reference(["red shoe", "blue hat"], [["green lamp", "red shoe"], ["hat"]], "rouge_l")
    assert found.tolist() == pytest.approx([1.0, 2 / 3])
