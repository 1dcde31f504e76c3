"""Training of the tagger through transformers' trainer: words from unlabelled titles first, then the labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    AutoModelForMaskedLM,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from rlopt.tagging.spans import Span, Units, label_names, to_labels
from rlopt.tagging.tagger import Tagger
from rlopt.training.arguments import TrainSettings, shared_arguments
from rlopt.training.callbacks import quiet
from rlopt.training.checkpoints import MarkComplete, train
from rlopt.training.example_order import training_order

IGNORED = -100  # transformers' label of tokens that do not count
MASKED = 0.2  # share of tokens to guess in pretraining
UNKNOWN = 0.1  # share of tokens hidden while the labels are learned, against learning titles by heart
EXCHANGED = 0.5  # share of titles with exchanged entities, and of their entities that are exchanged

Row = tuple[list[int], list[int]]
Change = Callable[[Row, np.random.Generator], Row]


class _Places(Dataset[dict[str, list[int]]]):
    """The rows in the order of training, each changed by a draw that depends on its place alone.

    A resumed training then sees what an uninterrupted one sees.
    """

    def __init__(self, rows: Sequence[Row], settings: TrainSettings, change: Change) -> None:
        lengths = [len(ids) for ids, _ in rows]
        self.rows, self.seed, self.change = rows, settings.seed, change
        self.order = training_order(len(rows), settings.steps, settings.batch_size, settings.seed, lengths)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> dict[str, list[int]]:
        rng = np.random.default_rng([self.seed, place])
        ids, labels = self.change(self.rows[self.order[place]], rng)
        return {"input_ids": ids, "labels": labels}


def learn_words(
    tagger: Tagger,
    titles: Sequence[Units],
    settings: TrainSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Pretrain the tagger's encoder, in place, on guessing masked tokens of titles (Devlin et al. 2019)."""
    set_seed(settings.seed)
    network = AutoModelForMaskedLM.from_config(tagger.model.config)
    setattr(network, network.base_model_prefix, tagger.model.base_model)  # learned in its place
    network.tie_weights()
    tokenizer = tagger.tokenizer
    special = tokenizer.all_special_ids
    windows = [window.ids for rows in tagger.windows(titles) for window in rows]
    rows = [(ids, ids) for ids in windows if not set(ids) <= set(special)]  # others have nothing to guess
    if not rows:
        return

    def mask(row: Row, rng: np.random.Generator) -> Row:
        """Mask tokens to guess, at least one: 80% are masked, 10% replaced, 10% left."""
        ids = np.array(row[0])
        draw = np.where(np.isin(ids, special), 1.0, rng.random(len(ids)))
        guessed = (draw < 1.0) & (draw <= max(MASKED, draw.min()))
        how, other = rng.random(len(ids)), rng.integers(len(tokenizer), size=len(ids))
        shown = np.where(how < 0.8, tokenizer.mask_token_id, np.where(how < 0.9, other, ids))
        return np.where(guessed, shown, ids).tolist(), np.where(guessed, ids, IGNORED).tolist()

    _train(network, tagger, _Places(rows, settings, mask), settings, checkpoints, callbacks)


def learn_labels(
    tagger: Tagger,
    examples: Sequence[tuple[Units, Sequence[Span]]],
    settings: TrainSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    exchange: bool = False,
) -> Tagger:
    """``tagger`` after learning the spans of ``examples``; a unit's label is learned at its first token.

    A run that was interrupted goes on from the newest whole checkpoint in ``checkpoints`` and ends with the same
    weights as one that was not.

    Parameters
    ----------
    exchange
        Put other entities of the same kind in the place of some (mention replacement; Dai and Adel 2020). For kinds
        that a word has by itself, not by what else the title says.
    """
    unknown, special = tagger.tokenizer.unk_token_id, set(tagger.tokenizer.all_special_ids)
    rows, ends = label_rows(tagger, examples), ends_of(tagger)
    mentions = mentions_of(rows, ends) if exchange else {}

    def change(row: Row, rng: np.random.Generator) -> Row:
        ids, labels = exchanged(row, mentions, ends, rng) if mentions and rng.random() < EXCHANGED else row
        hidden = rng.random(len(ids)) < UNKNOWN
        return [unknown if h and t not in special else t for t, h in zip(ids, hidden, strict=True)], labels

    trained = _train(tagger.model, tagger, _Places(rows, settings, change), settings, checkpoints, callbacks)
    return Tagger(trained, tagger.tokenizer, tagger.kinds, tagger.required)


def exchanged(row: Row, mentions: Mapping[int, Sequence[Row]], ends: frozenset[int], rng: np.random.Generator) -> Row:
    """``row`` with `EXCHANGED` of its entities replaced by others of their kind.

    Parameters
    ----------
    mentions
        Label that an entity begins with -> tokens and labels of entities.
    ends
        Tokens that begin and end a row.
    """
    ids: list[int] = []
    labels: list[int] = []
    for piece in _pieces(row, ends):
        known = mentions.get(piece[1][0], ())
        taken = known[int(rng.integers(len(known)))] if known and rng.random() < EXCHANGED else piece
        ids += taken[0]
        labels += taken[1]
    return ids, labels


def ends_of(tagger: Tagger) -> frozenset[int]:
    """Tokens that begin and end a row."""
    tokenizer = tagger.tokenizer
    named = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    return frozenset(int(token) for token in named if token is not None)


def mentions_of(rows: Sequence[Row], ends: frozenset[int]) -> dict[int, list[Row]]:
    """Label that an entity begins with -> tokens and labels of all such entities."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        for piece in _pieces(row, ends):
            if piece[1][0] > 0 and piece[1][0] % 2 == 1:
                found.setdefault(piece[1][0], []).append(piece)
    return found


def _pieces(row: Row, ends: frozenset[int]) -> Iterator[Row]:
    """Entities and what is between them, in order; a token without a label joins the one before."""
    ids, labels = row
    start = 0
    for place in range(1, len(ids) + 1):
        within = place < len(ids) and ids[place] not in ends and ids[place - 1] not in ends
        if not within or not (labels[place] == IGNORED or (labels[place] > 0 and labels[place] % 2 == 0)):
            yield ids[start:place], labels[start:place]
            start = place


def label_rows(tagger: Tagger, examples: Sequence[tuple[Units, Sequence[Span]]]) -> list[Row]:
    """Tokens and labels of each window of each title."""
    numbers = {name: i for i, name in enumerate(label_names(tagger.kinds))}
    rows = []
    titles = [title for title, _ in examples]
    for (title, spans), windows in zip(examples, tagger.windows(titles), strict=True):
        names = to_labels(spans, len(title))
        for window in windows:
            labels = [IGNORED] * len(window.ids)
            for unit, place in zip(window.units, window.first, strict=True):
                labels[place] = numbers[names[unit]]
            rows.append((window.ids, labels))
    return rows


def _train(
    network: PreTrainedModel,
    tagger: Tagger,
    rows: _Places,
    settings: TrainSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback],
) -> PreTrainedModel:
    pad = tagger.pad_id

    def collate(batch: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in batch)

        def padded(name: str, value: int) -> Any:
            return torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in batch])

        mask = torch.tensor([[1] * len(row["labels"]) + [0] * (longest - len(row["labels"])) for row in batch])
        return {
            "input_ids": padded("input_ids", pad),
            "attention_mask": mask,
            "labels": padded("labels", IGNORED),
        }

    trainer = Trainer(
        model=network,
        args=TrainingArguments(
            **shared_arguments(settings, checkpoints),
            lr_scheduler_type="cosine",
            warmup_steps=max(1, settings.steps // 20),
            weight_decay=0.01,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
        ),
        train_dataset=rows,
        data_collator=collate,
        callbacks=[*callbacks, MarkComplete()],
    )
    quiet(trainer)
    return train(trainer, checkpoints)
