"""Training of the tagger through transformers' trainer: words from unlabelled titles first, then the labels."""

from collections.abc import Callable, Sequence
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

from rlopt.policy.spans import Span, Units, label_names, to_labels
from rlopt.policy.tagger import Tagger

from .arguments import TrainSettings, shared_arguments
from .callbacks import quiet
from .checkpoints import MarkComplete, train
from .order import training_order

IGNORED = -100  # transformers' label of tokens that do not count
MASKED = 0.2  # share of tokens to guess in pretraining
UNKNOWN = 0.1  # share of tokens hidden while the labels are learned, against learning titles by heart

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
    rows = [(window.ids, window.ids) for windows in tagger.windows(titles) for window in windows]
    tokenizer = tagger.tokenizer
    special, vocabulary = set(tokenizer.all_special_ids), len(tokenizer)

    def mask(row: Row, rng: np.random.Generator) -> Row:
        """Of the tokens to guess 80 % are masked, 10 % replaced, 10 % left."""
        ids, labels = [], []
        for token in row[0]:
            guessed, how = rng.random() < MASKED and token not in special, rng.random()
            other = int(rng.integers(vocabulary))
            shown = tokenizer.mask_token_id if how < 0.8 else other if how < 0.9 else token
            ids.append(shown if guessed else token)
            labels.append(token if guessed else IGNORED)
        return ids, labels

    _train(network, tagger, _Places(rows, settings, mask), settings, checkpoints, callbacks)


def learn_labels(
    tagger: Tagger,
    examples: Sequence[tuple[Units, Sequence[Span]]],
    settings: TrainSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> Tagger:
    """``tagger`` after learning the spans of ``examples``; a unit's label is learned at its first token.

    A run that was interrupted goes on from the newest whole checkpoint in ``checkpoints`` and ends with the same
    weights as one that was not.
    """
    unknown, special = tagger.tokenizer.unk_token_id, set(tagger.tokenizer.all_special_ids)

    def hide(row: Row, rng: np.random.Generator) -> Row:
        hidden = rng.random(len(row[0])) < UNKNOWN
        return [unknown if h and t not in special else t for t, h in zip(row[0], hidden, strict=True)], row[1]

    rows = label_rows(tagger, examples)
    trained = _train(tagger.model, tagger, _Places(rows, settings, hide), settings, checkpoints, callbacks)
    return Tagger(trained, tagger.tokenizer, tagger.kinds, tagger.required)


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
