"""Titles said in other words by way of another language (Sennrich, Haddow and Birch 2016, for paraphrases).

Whatever pair of sequence-to-sequence models the user names translates there and back; rlopt ships none.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from reward.encoders.model_folder import check_files, load_whole, loading
from reward.errors import ModelError
from reward.features.lexicon import Lexicon
from reward.items import Item
from reward.text import clean, numbers, words
from rlopt.errors import PolicyError

BATCH = 32
MAX_NEW_TOKENS = 96


def back_translate(pairs: Sequence[tuple[Item, str]], there: str, back: str) -> list[str]:
    """Another title for each pair; the old one where the new one would not mean the same.

    It must keep the numbers and every value of the item that the old title states, and claim no number, unit, brand or
    value that the item does not state. Other words are what it is for.

    Raises
    ------
    PolicyError
        If a model cannot be loaded.
    """
    titles = [title for _, title in pairs]
    new = [clean(title) for title in translate(translate(titles, there), back)]
    rules = Lexicon.learn(pairs)
    return [
        after if after and _means_the_same(rules, item, before, after) else before
        for (item, before), after in zip(pairs, new, strict=True)
    ]


def translate(texts: Sequence[str], model: str) -> list[str]:
    """The likeliest translation of each text, read in batches of similar length."""
    try:
        check_files(model)
        with loading("its tokenizer is missing or damaged"):
            tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        network: Any = load_whole(AutoModelForSeq2SeqLM, model, tokenizer)
    except ModelError as error:
        raise PolicyError(
            f"No translation model can be loaded from {model!r}: {error} Give back_translation two sequence-to-"
            "sequence models of transformers, there and back."
        ) from error
    if torch.cuda.is_available():
        network.to("cuda")
    order = sorted((i for i in range(len(texts)) if texts[i].strip()), key=lambda i: len(texts[i]))
    out = [""] * len(texts)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        inputs = tokenizer([texts[i] for i in rows], return_tensors="pt", padding=True, truncation=True)
        inputs = inputs.to(network.device)
        with torch.inference_mode():
            ids = network.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
            )
        for row, text in zip(rows, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            out[row] = text
    return out


def _means_the_same(rules: Lexicon, item: Item, before: str, after: str) -> bool:
    kept = sorted(numbers(before)) == sorted(numbers(after))
    said, says = f" {' '.join(words(before))} ", f" {' '.join(words(after))} "
    values = {" ".join(words(value)) for values in item.fields.values() for value in values} - {""}
    stated = all(f" {value} " in says for value in values if f" {value} " in said)
    return kept and stated and all(claim.kind == "word" for claim in rules.unstated(item, after))
