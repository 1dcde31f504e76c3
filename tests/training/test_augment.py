"""Altered examples mean what the examples meant."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from reward.items import Item
from rlopt.config import SftConfig
from rlopt.errors import PolicyError
from rlopt.training import backtranslation
from rlopt.training.augment import Augmentation, Variants

ITEM = Item("1", {"brand": ("Acme",), "kind": ("sofa",), "width": ("200cm",), "colour": ("red",), "legs": ("oak",)})
PAIR = (ITEM, "Acme red Sofa 200cm")
LEXICON = Variants((("sofa", "couch", "settee"), ("cm", "centimetres"), ("sofa bed", "futon")))


def augmented(pairs: list[tuple[Item, str]], **settings: Any) -> list[tuple[Item, str]]:
    return Augmentation(SftConfig(**settings)).apply(pairs)


def test_the_examples_stay_and_copies_follow() -> None:
    out = augmented([PAIR] * 2, copies=3, shuffle_fields=True)
    assert out[:2] == [PAIR, PAIR]
    assert len(out) > 4
    for item, title in out:
        assert title == PAIR[1]
        assert item.fields == ITEM.fields
    assert len({tuple(item.fields) for item, _ in out}) > 2
    assert augmented([PAIR]) == [PAIR]


def test_what_the_title_mentions_is_never_left_out() -> None:
    out = augmented([PAIR] * 3, copies=20, drop_fields=0.9)
    assert {tuple(item.fields) for item, _ in out[3:]} == {("brand", "kind", "width", "colour")}  # all but the legs


def test_chinese_titles_mention_by_character() -> None:
    item = Item("1", {"颜色": ("红色",), "材质": ("棉",)})
    out = augmented([(item, "红色连衣裙")], copies=20, drop_fields=0.9)
    assert {tuple(changed.fields) for changed, _ in out[1:]} == {("颜色",)}


def test_item_and_title_take_the_same_variant() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        item, title = LEXICON.vary(PAIR, rng)
        kind, width = item.fields["kind"][0], item.fields["width"][0]
        assert title == f"Acme red {kind.capitalize()} {width}"
        seen.add((kind, width))
    assert seen == {(kind, f"200{unit}") for kind in ("sofa", "couch", "settee") for unit in ("cm", "centimetres")}


@pytest.mark.parametrize("text", ["sofas", "cmyk print", "acme"])
def test_parts_of_words_are_no_variants(text: str) -> None:
    assert LEXICON.vary((Item("1"), text), np.random.default_rng(0)) == (Item("1"), text)


def test_chinese_and_regular_expression_characters_are_plain_text() -> None:
    lexicon = Variants((("连衣裙", "裙子"), ("c++", "cpp")))
    titles = {lexicon.vary((Item("1"), "红色连衣裙 c++ .*"), np.random.default_rng(seed))[1] for seed in range(30)}
    assert titles == {f"红色{a} {b} .*" for a in ("连衣裙", "裙子") for b in ("c++", "cpp")}


def test_same_seed_same_copies() -> None:
    def copies(seed: int) -> list[tuple[Item, str]]:
        config = SftConfig(copies=4, shuffle_fields=True, drop_fields=0.5, seed=seed)
        return Augmentation(config, LEXICON).apply([PAIR] * 5)

    assert copies(3) == copies(3)
    assert copies(3) != copies(4)


def test_a_lexicon_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "variants.txt"
    path.write_text("\ufeff# furniture\nsofa = couch\n\ncm=厘米\n", encoding="utf-8")
    assert Variants.read(path).groups == (("sofa", "couch"), ("cm", "厘米"))


@pytest.mark.parametrize(("text", "complaint"), [("sofa\n", "Line 1 .* must be a group"), ("a=b\nc=\n", "Line 2")])
def test_a_line_that_is_no_group_is_one_clear_error(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "variants.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError, match=complaint):
        Variants.read(path)
    with pytest.raises(PolicyError, match="cannot be read"):
        Variants.read(tmp_path / "none.txt")


def save_translator(folder: Path) -> Path:
    """A sequence-to-sequence model of random weights."""
    letters = {
        letter: i for i, letter in enumerate(["<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz0123456789"])
    }
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=len(letters), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
                      pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_any_pair_of_models_translates_there_and_back(tmp_path: Path) -> None:
    model = str(save_translator(tmp_path))
    titles = ["acme red sofa", "a", "blue lamp number 12"]
    assert len(backtranslation.translate(titles, model)) == 3
    assert backtranslation.translate(titles, model)[1:2] == backtranslation.translate(["a"], model)
    # random weights translate to nonsense, and nonsense is no title for the item
    assert backtranslation.back_translate([PAIR], model, model) == [PAIR[1]]


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        ("Red sofa 200cm by Acme", True),
        ("Red sofa 100cm by Acme", False),
        ("Red sofa 200cm", False),
        ("Blue Acme red sofa 200cm", False),
        ("", False),
    ],
)
def test_a_translation_that_means_something_else_is_left_out(
    new: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    blue = (Item("2", {"colour": ("blue",)}), "blue thing")
    monkeypatch.setattr(backtranslation, "translate", lambda texts, model: [new, "blue thing"])
    assert backtranslation.back_translate([PAIR, blue], "x", "y")[0] == (new if kept else PAIR[1])


def test_a_missing_translation_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No translation model can be loaded") as error:
        backtranslation.translate(["a"], str(tmp_path / "none"))
    assert "\n" not in str(error.value)
