"""Training of the tagger: it learns what can be learned, interruption changes nothing, held-out titles stay unseen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from rlopt.policy.pretrained import quiet_loading
from rlopt.tagging.alignment import align_entities
from rlopt.tagging.learn import IGNORED, ends_of, exchanged, label_rows, learn_labels, learn_words, mentions_of
from rlopt.tagging.metrics import entity_scores
from rlopt.tagging.spans import Units
from rlopt.tagging.tagger import Tagger
from rlopt.tagging.tiny import build_tagger, build_tokenizer
from rlopt.training.arguments import TrainSettings
from tests.tagging.tagged_titles import tagged_titles

TITLES = [Units.of(title) for title, _ in tagged_titles(240)]
SPANS = [align_entities(title, entities) or [] for title, (_, entities) in zip(TITLES, tagged_titles(240), strict=True)]
EXAMPLES = list(zip(TITLES, SPANS, strict=True))


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def fresh() -> Tagger:
    quiet_loading()
    torch.set_num_threads(1)
    return build_tagger(TITLES, ("brand", "product"), "product", seed=0, hidden_size=32, layers=2, heads=2)


def settings(**changes: object) -> TrainSettings:
    values: dict[str, object] = {
        "steps": 6,
        "batch_size": 16,
        "micro_batch_size": 16,
        "learning_rate": 5e-3,
        "save_every": 2,
        "seed": 0,
        "adapters": None,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": (),
    }
    return TrainSettings(**{**values, **changes})  # type: ignore[arg-type]


def test_it_learns_a_language_in_which_every_word_tells_what_it_is(tmp_path: Path) -> None:
    chosen = settings(steps=140, learning_rate=3e-3, save_every=1000)
    tagger = build_tagger(TITLES, ("brand", "product"), "product", seed=0)
    tagger = learn_labels(tagger, EXAMPLES[:160], chosen, tmp_path, exchange=True)
    scores = entity_scores(SPANS[160:], tagger.spans(TITLES[160:]))
    assert scores["all"].f1 > 0.98
    assert scores["product"].f1 > 0.98


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = learn_labels(fresh(), EXAMPLES, settings(), tmp_path / "whole", exchange=True).model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        learn_labels(fresh(), EXAMPLES, settings(), tmp_path / "broken", [StopAt(5)], exchange=True)
    resumed = learn_labels(fresh(), EXAMPLES, settings(), tmp_path / "broken", exchange=True).model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_words_are_learned_in_the_encoder_and_nowhere_else(tmp_path: Path) -> None:
    before, whole, broken = fresh(), fresh(), fresh()
    learn_words(whole, TITLES, settings(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn_words(broken, TITLES, settings(), tmp_path / "broken", [StopAt(5)])
    learn_words(broken, TITLES, settings(), tmp_path / "broken")
    for name, old in before.model.state_dict().items():
        new = whole.model.state_dict()[name]
        assert torch.equal(new, broken.model.state_dict()[name])
        assert name.startswith("classifier") or not name.endswith("query.weight") or not torch.equal(new, old)
        assert not name.startswith("classifier") or torch.equal(new, old)


def test_entities_are_exchanged_for_others_of_their_kind_and_nothing_else_changes() -> None:
    tagger = fresh()
    rows = label_rows(tagger, EXAMPLES)
    ends = ends_of(tagger)
    mentions = mentions_of(rows, ends)
    assert {label: len(found) for label, found in mentions.items()} == {1: len(EXAMPLES), 3: len(EXAMPLES)}
    known = {label: {tuple(ids) for ids, _ in found} for label, found in mentions.items()}
    changed = 0
    for place, row in enumerate(rows):
        ids, labels = exchanged(row, mentions, ends, np.random.default_rng(place))
        assert len(ids) == len(labels)
        assert [t for t, label in zip(ids, labels, strict=True) if label <= 0 and t in ends] == [row[0][0], row[0][-1]]
        assert labels.count(0) == row[1].count(0)
        for label, found in mentions_of([(ids, labels)], ends).items():
            assert {tuple(piece) for piece, _ in found} <= known[label]
        assert [label for label in labels if label % 2 == 1] == [label for label in row[1] if label % 2 == 1]
        changed += ids != row[0]
    assert 0.5 * len(rows) < changed < len(rows)


def test_labels_stand_at_the_first_token_of_each_unit() -> None:
    tagger = fresh()
    (ids, labels), *_ = label_rows(tagger, EXAMPLES[:1])
    title = TITLES[0]
    assert len(ids) == len(labels)
    assert labels[0] == labels[-1] == IGNORED
    assert sum(label != IGNORED for label in labels) == len(title)
    assert sum(label % 2 == 1 for label in labels if label > 0) == len(SPANS[0])


def test_the_same_titles_give_the_same_vocabulary() -> None:
    """Equally rare characters and pairs abound: nothing may fall by the order of a hash table."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(300)]
    titles = [Units.of(f"{word} {chr(0x4E00 + i)}{chr(0x5E00 + i)}") for i, word in enumerate(words)] * 2
    made = {build_tokenizer(titles).backend_tokenizer.to_str() for _ in range(4)}
    assert len(made) == 1
