"""The tagger: a transformers token classifier that says which words of a title are what.

One label a unit, read at the unit's first token, so that no tokenizer can break a unit. Long titles go through the
model in windows that overlap by half.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.roformer.modeling_roformer import RoFormerSinusoidalPositionalEmbedding

from reward.arrays import FloatArray
from reward.encoders.model_folder import check_files, load_whole, loading
from reward.errors import ModelError
from reward.plain import JsonObject
from rlopt.errors import PolicyError

from .shorten import Limits, ShortTitle, shorten
from .spans import Span, Units, alternatives, decode, label_names

SETTINGS_FILE = "rlopt.json"
WINDOW = 120  # tokens of a title that the model sees at once
MAX_TOKENS_A_UNIT = 8


@dataclass(frozen=True)
class Window:
    """Consecutive units of a title as the model reads them.

    Parameters
    ----------
    ids
        Tokens, special ones at both ends.
    units
        The units.
    first
        Place of each unit's first token in ``ids``.
    context
        Tokens between each unit and the nearer end at which the title goes on.
    """

    ids: list[int]
    units: range
    first: list[int]
    context: list[float]


@dataclass(frozen=True)
class Tagger:
    """A token classifier with its tokenizer.

    Parameters
    ----------
    model
        With the labels of `label_names`.
    tokenizer
        A fast one.
    kinds
        Kinds of spans, in the order of the model's labels.
    required
        The kind a short title cannot do without (the product word); None where there is none.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    kinds: tuple[str, ...]
    required: str | None = None

    def spans(self, titles: Sequence[Units], batch_size: int = 64) -> list[list[Span]]:
        """The likeliest spans of each title, with their values and probabilities."""
        return [spans for spans, _ in self.readings(titles, batch_size)]

    def readings(self, titles: Sequence[Units], batch_size: int = 64) -> list[tuple[list[Span], list[Span]]]:
        """The likeliest spans of each title, and every other reading of its parts (`alternatives`)."""
        return [(decode(s, self.kinds), alternatives(s, self.kinds)) for s in self.log_probs(titles, batch_size)]

    @torch.inference_mode()
    def log_probs(self, titles: Sequence[Units], batch_size: int = 64) -> list[FloatArray]:
        """Log-probability of each unit's label, an array of shape (units, labels) a title."""
        self.model.eval()
        out = [np.full((len(title), len(label_names(self.kinds))), np.nan) for title in titles]
        context = [np.full(len(title), -1.0) for title in titles]  # a label is read where its unit has most around it
        work = [(n, window) for n, windows in enumerate(self.windows(titles)) for window in windows]
        work.sort(key=lambda pair: len(pair[1].ids))
        for start in range(0, len(work), batch_size):
            batch = work[start : start + batch_size]
            logits = self._logits([window.ids for _, window in batch])
            for (n, window), scores in zip(batch, logits.log_softmax(-1).double().cpu().numpy(), strict=True):
                units, first = np.array(window.units), np.array(window.first)
                more = np.array(window.context) > context[n][units]
                out[n][units[more]] = scores[first[more]]
                context[n][units[more]] = np.array(window.context)[more]
        return out

    def _logits(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        longest = max(map(len, ids))
        padded = [[*row, *[self.pad_id] * (longest - len(row))] for row in ids]
        seen = [[1] * len(row) + [0] * (longest - len(row)) for row in ids]
        device = self.model.device
        given = {"input_ids": torch.tensor(padded, device=device), "attention_mask": torch.tensor(seen, device=device)}
        logits: torch.Tensor = self.model(**given).logits
        return logits.float()

    @property
    def pad_id(self) -> int:
        """Token that fills short rows."""
        return int(self.tokenizer.pad_token_id or 0)

    def windows(self, titles: Sequence[Units]) -> Iterator[list[Window]]:
        """Each title as rows for the model; more than one for a title past `WINDOW` tokens, none for an empty one."""
        words = [title.words() for title in titles if len(title)]
        encoded = (
            self.tokenizer(words, is_split_into_words=True, add_special_tokens=False, split_special_tokens=True)
            if words
            else None
        )
        pieces = iter((encoded.encodings or ()) if encoded is not None else ())
        opening, closing = self._special()
        for title in titles:
            if not len(title):
                yield []
                continue
            encoding = next(pieces)
            tokens: list[list[int]] = [[] for _ in range(len(title))]
            for token, unit in zip(encoding.ids, encoding.word_ids, strict=True):
                if unit is not None and len(tokens[unit]) < MAX_TOKENS_A_UNIT:
                    tokens[unit].append(token)
            unknown = [int(self.tokenizer.unk_token_id or 0)]
            yield list(_windows([row or unknown for row in tokens], opening, closing))

    def _special(self) -> tuple[list[int], list[int]]:
        """Special tokens before and after a text."""
        encoding = (self.tokenizer(["a"], is_split_into_words=True).encodings or [])[0]
        text = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
        return encoding.ids[: text[0]], encoding.ids[text[-1] + 1 :]

    def save(self, folder: Path) -> None:
        """Write a plain Hugging Face folder, and beside it the required kind."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        settings = {"task": "tag", "required": self.required}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Tagger":
        """A tagger written by `save`, or any token classifier with IOB2 labels.

        Raises
        ------
        PolicyError
            If none can be loaded from there, or its labels are not IOB2.
        """
        model: Any
        try:
            tokenizer, model = _load(str(folder))
            with loading(f"its {SETTINGS_FILE} is damaged"):
                settings = Path(folder) / SETTINGS_FILE
                required = json.loads(settings.read_text(encoding="utf-8"))["required"] if settings.exists() else None
        except ModelError as error:
            raise PolicyError(f"No tagger can be loaded from {folder}: {error}") from error
        names = [model.config.id2label[i] for i in range(model.config.num_labels)]
        kinds = tuple(name[2:] for name in names[1::2])
        if names != label_names(kinds):
            raise PolicyError(f"The labels of {folder} are not O, B-kind, I-kind and so on. Got {names}.")
        _fix_positions(model)
        if torch.cuda.is_available():
            model.to("cuda")
        return cls(model, tokenizer, kinds, required)


def _windows(tokens: Sequence[Sequence[int]], opening: list[int], closing: list[int]) -> Iterator[Window]:
    """Rows of at most `WINDOW` tokens, each beginning in the middle of the one before."""
    start = 0
    while True:
        ids, first, stop = list(opening), [], start
        while stop < len(tokens) and len(ids) + len(tokens[stop]) <= WINDOW + len(opening):
            first.append(len(ids))
            ids += tokens[stop]
            stop += 1
        before, after = (0.0 if start else np.inf), (0.0 if stop < len(tokens) else np.inf)
        context = [min(before + place, after + len(ids) - place) for place in first]
        yield Window(ids + closing, range(start, stop), first, context)
        if stop == len(tokens):
            return
        start += sum(place < len(ids) // 2 for place in first)


def check_pretrained(model: str) -> None:
    """Check an encoder before titles are read: which labels there are is not known yet.

    Raises
    ------
    PolicyError
        As for `load_pretrained`.
    """
    load_pretrained(model, ["any"])


def load_pretrained(model: str, kinds: Sequence[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An encoder by path or hub id with a fresh head for ``kinds``, and its tokenizer.

    Raises
    ------
    PolicyError
        If nothing whole can be loaded from there, in one line.
    """
    try:
        tokenizer, network = _load(model, **label_settings(kinds))
    except ModelError as error:
        raise PolicyError(
            f"No encoder can be loaded from {model!r}: {error} "
            "Give --model a Hugging Face id or a folder with config.json and safetensors."
        ) from error
    _fix_positions(network)
    return network, tokenizer


def _load(model: str, **labels: Any) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Tokenizer and network, checked; with ``labels`` the head is a new one."""
    check_files(model)
    with loading("its tokenizer is missing or damaged"):
        tokenizer = AutoTokenizer.from_pretrained(model, add_prefix_space=True, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ModelError("its tokenizer is not a fast one, which tagging needs.")
    network = load_whole(AutoModelForTokenClassification, model, tokenizer, own_head=bool(labels), **labels)
    return tokenizer, network


def _fix_positions(model: PreTrainedModel) -> None:
    """RoFormer's table of rotations learns nothing; transformers' loading forgets that."""
    for module in model.modules():
        if isinstance(module, RoFormerSinusoidalPositionalEmbedding):
            module.weight.requires_grad_(False)


def label_settings(kinds: Sequence[str]) -> JsonObject:
    """``id2label`` and ``label2id`` of a model's config."""
    names = label_names(kinds)
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def short_title(
    tagger: Tagger, title: Units, spans: Sequence[Span], others: Sequence[Span], limits: Limits
) -> ShortTitle:
    """The short title that ``tagger`` makes of its readings.

    One that learned from short titles has learned how much to keep: the room that its spans leave is left.
    """
    return shorten(title, spans, limits, tagger.required, others if tagger.required is not None else ())
