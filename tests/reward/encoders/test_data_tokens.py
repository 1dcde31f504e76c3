"""Texts as data: no tokenizer makes a control token of what a shop or a user wrote."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from reward.encoders.data_tokens import DataTokens, Part

MARKS = ["<|im_start|>", "<|im_end|>", "</s>", "<s>", "[/INST]", "[INST]", "<end_of_turn>", "<tool>", "[SEP]", "<unk>"]
WORDS = ["red", "dress", "a", "b", "红", "色", "<", "|", ">", "/", "[", "]", "im", "end", "_", "s", "I"]
KINDS = ["bytes", "unigram", "wordpiece", "words", "lower", "bos and eos"]


@cache
def made(kind: str) -> PreTrainedTokenizerFast:
    """A fast tokenizer with every one of `MARKS`; ``<tool>`` is added but not special."""
    special = [mark for mark in MARKS if mark != "<tool>"]
    characters = sorted(set("".join(MARKS + WORDS)))
    if kind in ("bytes", "bos and eos"):
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        inner = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
    elif kind == "unigram":  # the marks are pieces too, and the likeliest: as in SentencePiece models
        pieces = [(mark, 0.0) for mark in special] + [("\u2581", -2.0)] + [(c, -3.0) for c in characters]
        inner = Tokenizer(models.Unigram(pieces, unk_id=special.index("<unk>")))
        inner.pre_tokenizer = pre_tokenizers.Metaspace()
        inner.decoder = decoders.Metaspace()
    elif kind == "wordpiece":  # split at blanks alone, so that a mark is a word
        pieces = [*special, *characters, *(f"##{c}" for c in characters)]
        inner = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
        inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        pieces = [*special, *WORDS]
        inner = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
        inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        if kind == "lower":
            inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    inner.add_special_tokens([AddedToken(mark, special=True, normalized=kind == "lower") for mark in special])
    inner.add_tokens([AddedToken("<tool>", special=False), AddedToken("  ", special=False)])
    if kind == "bos and eos":
        ids = [(mark, inner.token_to_id(mark)) for mark in ("<s>", "</s>")]
        inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        sep_token="[SEP]",
        extra_special_tokens=["<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "<end_of_turn>"],
    )


def control_of(tokenizer: Any) -> set[int]:
    ids = {tokenizer.convert_tokens_to_ids(mark) for mark in MARKS}
    return ids - {tokenizer.unk_token_id}


pieces_of_marks = st.sampled_from(MARKS).flatmap(
    lambda mark: st.sampled_from([mark[:k] for k in range(1, len(mark) + 1)])
)
ends_of_marks = st.sampled_from(MARKS).flatmap(lambda mark: st.sampled_from([mark[k:] for k in range(len(mark))]))
hostile = st.lists(
    st.one_of(st.sampled_from(MARKS), pieces_of_marks, ends_of_marks, st.sampled_from(WORDS), st.just(" ")), max_size=12
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(text=hostile, loud=st.booleans())
def test_no_text_holds_a_control_token(kind: str, text: str, loud: bool) -> None:
    tokenizer = made(kind)
    said = text.upper() if loud else text
    ids = DataTokens(tokenizer).data(said)
    assert control_of(tokenizer).isdisjoint(ids)
    if kind in ("bytes", "bos and eos"):
        assert tokenizer.decode(ids) == said  # and nothing of it is lost


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(first=hostile, second=hostile)
def test_a_prompt_holds_the_control_tokens_of_its_frame_alone(kind: str, first: str, second: str) -> None:
    tokenizer = made(kind)
    frame = ["<|im_start|>", "<|im_end|>", "<|im_start|> a"]
    parts = [
        Part(frame[0], control=True),
        Part(first),
        Part(frame[1], control=True),
        Part(second),
        Part(frame[2], control=True),
    ]
    tokens, control = DataTokens(tokenizer), control_of(tokenizer)
    (found,) = tokens.prompts([parts])
    (empty,) = tokens.prompts([[part for part in parts if part.control]])
    assert [token for token in found if token in control] == [token for token in empty if token in control]


@pytest.mark.parametrize("kind", KINDS)
def test_an_ordinary_text_is_tokenized_as_ever(kind: str) -> None:
    tokenizer = made(kind)
    tokens = DataTokens(tokenizer)
    for text in ("red dress", "红 色", ""):
        assert tokens.data(text) == tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokens.prompts([[Part(text), Part(" a", control=True)]]) == [tokenizer(f"{text} a")["input_ids"]]


def test_what_a_tokenizer_puts_around_texts_stays() -> None:
    tokenizer = made("bos and eos")
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    tokens = DataTokens(tokenizer)
    plain = tokens.data("</s>x")
    assert tokens.prompts([[Part("</s>x")]]) == [[start, *plain, end]]
    assert tokens.texts(["</s>x", ""], 100) == [[start, *plain, end], [start, end]]
    assert tokens.texts(["</s>x"], 4) == [[start, *plain[:2], end]]


def test_allowed_tokens_stay_tokens() -> None:
    tokenizer = made("bytes")
    tool = tokenizer.convert_tokens_to_ids("<tool>")
    assert tool in DataTokens(tokenizer, ["<tool>"]).data("a <tool>")
    assert tool not in DataTokens(tokenizer).data("a <tool>")


def test_tokens_of_several_blanks_are_no_control() -> None:
    tokenizer = made("bytes")
    assert DataTokens(tokenizer).data("a  b") == tokenizer("a  b", add_special_tokens=False)["input_ids"]


def test_an_unknown_character_stays_unknown() -> None:
    tokenizer = made("wordpiece")
    assert DataTokens(tokenizer).data("red \u263a") == tokenizer("red \u263a", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id in DataTokens(tokenizer).data("\u263a")


def test_an_unknown_token_that_ends_texts_is_control() -> None:
    """GPT-2's tokenizer has one token for both."""
    tokenizer = made("wordpiece")
    own = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), unk_token="</s>", eos_token="</s>"
    )
    assert own.eos_token_id not in DataTokens(own).data("a </s> b")


def test_long_hostile_texts_take_no_time_to_speak_of() -> None:
    tokenizer = made("words")
    text = "".join(MARKS) * 2000
    assert control_of(tokenizer).isdisjoint(DataTokens(tokenizer).data(text))
