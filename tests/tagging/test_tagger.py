"""The tagger as a model: every unit is read once, and plain transformers read it alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertForTokenClassification,
    pipeline,
)

from rlopt.errors import PolicyError
from rlopt.policy.pretrained import quiet_loading
from rlopt.tagging.metrics import entity_scores, kept_scores
from rlopt.tagging.shorten import Limits, ShortTitle
from rlopt.tagging.spans import Span, Units, label_names
from rlopt.tagging.tagger import WINDOW, Tagger, load_pretrained
from rlopt.tagging.tiny import build_tagger
from tests.tagging.tagged_titles import tagged_titles

TITLES = [Units.of(title) for title, _ in tagged_titles(60)]
HOSTILE = [
    "",
    "<b>羚跑</b>&nbsp;",
    "😀👩🏽‍💻🇨🇳",
    "مَرْحَبًا بالعالم",
    "\u202e反向",
    "a" * 5000,
    "鞋 " * 2500,
    "é\u0301" * 30,
]


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    quiet_loading()
    torch.set_num_threads(1)
    return build_tagger(TITLES, ("brand", "product"), "product", seed=0, hidden_size=32, layers=2, heads=2)


def test_plain_transformers_read_what_was_saved_alike(tagger: Tagger, tmp_path: Path) -> None:
    tagger.save(tmp_path)
    model = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert list(model.config.id2label.values()) == label_names(tagger.kinds)
    loaded = Tagger.load(tmp_path)
    assert (loaded.kinds, loaded.required) == (("brand", "product"), "product")
    for title in [*TITLES[:5], Units.of("Nike跑步鞋2024款!")]:
        with torch.inference_mode():
            logits = model(**tokenizer(title.text, return_tensors="pt")).logits[0].log_softmax(-1).double()
        first = tokenizer(title.text).encodings[0].offsets
        places = [next(i for i, (s, e) in enumerate(first) if s == start and e > s) for start, _ in title.places]
        np.testing.assert_allclose(loaded.log_probs([title])[0], logits[places].numpy(), atol=1e-5)
    assert (
        pipeline("token-classification", str(tmp_path), aggregation_strategy="first", device="cpu")("nike 跑步鞋")
        is not None
    )


def test_every_unit_of_any_title_gets_a_distribution(tagger: Tagger) -> None:
    titles = [Units.of(text) for text in HOSTILE]
    for title, log_probs in zip(titles, tagger.log_probs(titles, batch_size=3), strict=True):
        assert log_probs.shape == (len(title), 5)
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1.0, atol=1e-6)


def test_windows_show_a_unit_with_context_on_both_sides(tagger: Tagger) -> None:
    title = Units.of(" ".join(text.text for text in TITLES))
    (windows,) = tagger.windows([title])
    assert len(windows) > 2
    assert all(len(window.ids) <= WINDOW + 2 for window in windows)
    best = np.full(len(title), -1.0)
    for window in windows:
        best[list(window.units)] = np.maximum(best[list(window.units)], window.context)
    assert (best >= WINDOW // 4).all()


def test_titles_do_not_depend_on_their_batch(tagger: Tagger) -> None:
    alone = [tagger.log_probs([title])[0] for title in TITLES[:6]]
    for one, together in zip(alone, tagger.log_probs(TITLES[:6]), strict=True):
        np.testing.assert_allclose(one, together, atol=1e-5)


def test_any_encoder_serves(tagger: Tagger, tmp_path: Path) -> None:
    config = BertConfig(vocab_size=len(tagger.tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=1)
    BertForTokenClassification(config).save_pretrained(tmp_path)
    tagger.tokenizer.save_pretrained(tmp_path)
    model, tokenizer = load_pretrained(str(tmp_path), ("a", "b", "c"))
    other = Tagger(model, tokenizer, ("a", "b", "c"))
    assert other.log_probs(TITLES[:1])[0].shape == (len(TITLES[0]), 7)
    with pytest.raises(PolicyError, match="not O, B-kind"):
        Tagger.load(tmp_path)  # its labels are LABEL_0, LABEL_1


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path) -> None:
    for load in (lambda: load_pretrained(str(tmp_path / "none"), ("a",)), lambda: Tagger.load(tmp_path)):
        with pytest.raises(PolicyError) as error:
            load()
        assert "\n" not in str(error.value)


def test_entity_scores_in_closed_form() -> None:
    truth = [[Span(0, 2, "x"), Span(3, 4, "y")], [Span(1, 2, "x")]]
    found = [[Span(0, 2, "x"), Span(2, 4, "y")], []]
    scores = entity_scores(truth, found)
    assert (scores["x"].precision, scores["x"].recall, scores["x"].support) == (1.0, 0.5, 2)
    assert (scores["y"].precision, scores["y"].f1) == (0.0, 0.0)
    assert (scores["all"].precision, scores["all"].recall) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert entity_scores([[]], [[]])["all"].support == 0


def test_kept_scores_in_closed_form() -> None:
    titles = [Units.of(text) for text in ("aa bb cc dd", "aa", "bb cc dd ee", "bb cc")]
    truth = [[Span(1, 2, "p")], [], [Span(0, 1, "p"), Span(1, 2, "b")], [Span(0, 2, "p")]]
    short = [
        ShortTitle("bb cc", (Span(1, 3, "p"),)), ShortTitle("aa"), ShortTitle(None, reason="none"), ShortTitle("bb cc")
    ]  # fmt: skip
    kept = kept_scores(titles, truth, short, Limits(chars=5), "p")
    assert (kept.titles, kept.shortened, kept.keeps_required) == (2, 0.5, 0.5)
    assert (kept.precision, kept.recall, kept.mean_chars) == (0.5, pytest.approx(1 / 3), 5.0)
