"""Features of (item, title) pairs: one transformer, fitted on train items only, saved as JSON and arrays.

Three views of a pair: a dense table of readable numbers (what the title looks like, which fields it mentions where,
what nothing of the item states), n-grams of the title written in slots, and the item's context codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Float32Array, IntArray
from ..encoders.encoder import Encoder
from ..encoders.meaning import Meaning
from ..errors import ModelError
from ..items import Item
from ..plain import JsonObject
from . import lexical
from .mentions import COUNTS, Mentions, MentionScanner
from .ngrams import Grams, character_grams, item_frequency, word_grams
from .vocabulary import Vocabulary, learn, refine

N_BUCKETS = 1 << 16
_SEEN_BUCKETS = 1 << 18
_NEVER = 200.0  # place of a mention that the title does not make, behind every real place
_LAST_RANK = 12.0
_DERIVED = (
    "share of words nothing supports",
    "share of character triples never seen",
    "share of word pairs never seen",
    "count: word pairs never seen",
    "fields mentioned",
    "share of the item's fields mentioned",
    "place of the first mention",
    "share of repeated words",
    "share of generic words",
)

NOVELTY = (
    "count: words never seen in titles",
    "share of character triples never seen",
    "share of word pairs never seen",
    "count: word pairs never seen",
    "count: unusual mentions",
)
"""Words that no logged title has: they may count against a title, never for it."""


@dataclass(frozen=True)
class FeatureBlock:
    """Features of n pairs.

    Parameters
    ----------
    dense
        Readable numbers, shape (n, n_dense); NaN where a feature has no meaning for the item (a field it lacks).
    categories
        Codes of the category fields, -1 unknown, shape (n, n_categories).
    row, slot, offset, value
        The mentions, one entry each: title, slot (the last one for fields without a slot), column where it begins,
        value (-1 for a rare one).
    words, characters
        N-grams of the slotted titles.
    meaning
        Coordinates of the titles under the encoder, shape (n, n_meaning); without one, no column.
    """

    dense: Float32Array
    categories: IntArray
    row: IntArray
    slot: IntArray
    offset: Float32Array
    value: IntArray
    words: Grams
    characters: Grams
    meaning: Float32Array

    def __len__(self) -> int:
        return len(self.dense)


def take(block: FeatureBlock, rows: IntArray) -> FeatureBlock:
    """These titles of a block, by rising position."""
    new = np.full(len(block), -1, dtype=np.int64)
    new[rows] = np.arange(len(rows))
    kept = new[block.row] >= 0
    return FeatureBlock(
        block.dense[rows],
        block.categories[rows],
        new[block.row[kept]],
        block.slot[kept],
        block.offset[kept],
        block.value[kept],
        block.words.take(rows),
        block.characters.take(rows),
        block.meaning[rows],
    )


class TitleFeatures:
    """Transformer from (items, titles) to `FeatureBlock`.

    Parameters
    ----------
    vocabulary
        Words and fields learned from the train items.
    word_idf, character_idf
        Inverse item frequency of each n-gram bucket, 0 for buckets of fewer than two train items.
    triple_items, pair_items
        Train items whose titles contain a character triple, or a pair of slotted words, of each bucket (at most 255).
    meaning
        Meaning of titles by an encoder, None without one.
    scanner
        A scanner of this vocabulary whose prepared items may be used again.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        word_idf: Float32Array,
        character_idf: Float32Array,
        triple_items: npt.NDArray[np.uint8],
        pair_items: npt.NDArray[np.uint8],
        meaning: Meaning | None = None,
        scanner: MentionScanner | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.word_idf = word_idf
        self.character_idf = character_idf
        self.triple_items = triple_items
        self.pair_items = pair_items
        self.meaning = meaning
        self._scanner = scanner or MentionScanner(vocabulary)
        slots = vocabulary.slots
        self.names: tuple[str, ...] = (
            *lexical.NAMES,
            *COUNTS,
            *_DERIVED,
            *(f"place of {slot}" for slot in slots),
            *(f"rank of {slot}" for slot in slots),
            *vocabulary.numerics,
        )
        self.category_names: tuple[str, ...] = tuple(vocabulary.categories)

    @classmethod
    def fit(
        cls,
        items: Sequence[Item],
        titles: Sequence[str],
        item_index: Sequence[int] | IntArray,
        *,
        encoder: Encoder | None = None,
    ) -> "TitleFeatures":
        """Learn the vocabulary and the n-gram frequencies from train items.

        Parameters
        ----------
        items
            Train items, each once.
        titles, item_index
            Logged titles and the position in ``items`` of the item each belongs to.
        encoder
            Knows what words mean; None: the wording alone.

        Raises
        ------
        ModelError
            Without any title.
        """
        if not len(titles):
            raise ModelError("features cannot be fitted on 0 titles: the logs hold no arm. Check the log's filters.")
        index = np.asarray(item_index, dtype=np.int64)
        vocabulary = learn(items, titles, index.tolist())
        scanner = MentionScanner(vocabulary)
        mentions = scanner.scan([items[i] for i in index], titles, min_known=2)
        mentioned: list[set[int]] = [set() for _ in titles]
        for row, slot in zip(mentions.row.tolist(), mentions.slot.tolist(), strict=True):
            mentioned[row].add(slot)
        vocabulary = refine(vocabulary, mentions.slotted, mentioned, index.tolist())
        idf = []
        for grams in (word_grams(mentions.slotted), character_grams(mentions.text)):
            frequency = item_frequency(grams, index, N_BUCKETS)
            value = np.log((1.0 + len(items)) / (1.0 + frequency)) + 1.0
            idf.append(np.where(frequency >= 2, value, 0.0).astype(np.float32))
        triples = item_frequency(character_grams(mentions.text, (3,)), index, _SEEN_BUCKETS)
        pairs = item_frequency(word_grams(mentions.slotted, (2,)), index, _SEEN_BUCKETS)
        meaning = None if encoder is None else Meaning.fit(encoder, titles, index)
        return cls(vocabulary, idf[0], idf[1], _capped(triples), _capped(pairs), meaning, scanner.refined(vocabulary))

    def transform(self, items: Sequence[Item], titles: Sequence[str], *, logged: bool = False) -> FeatureBlock:
        """Features of n pairs.

        Parameters
        ----------
        items, titles
            Pairs, both of length n.
        logged
            True for the very titles the transformer was fitted on: a word then counts as seen only if another
            item's titles hold it too, so that features mean the same in training as on new titles.
        """
        if len(items) != len(titles):
            raise ModelError(f"items and titles must have the same length. Got {len(items)} and {len(titles)}.")
        min_known = 2 if logged else 1
        mentions = self._scanner.scan(items, titles, min_known)
        triples, _ = _never_seen(character_grams(mentions.text, (3,)), self.triple_items, min_known)
        pairs, n_pairs = _never_seen(word_grams(mentions.slotted, (2,)), self.pair_items, min_known)
        dense = np.column_stack(
            [
                lexical.lexical_features(titles),
                mentions.counts,
                _derived(mentions, triples, pairs, n_pairs),
                np.where(mentions.has | ~np.isnan(mentions.position), _or(mentions.position, _NEVER), np.nan),
                np.where(mentions.has | ~np.isnan(mentions.rank), _or(mentions.rank, _LAST_RANK), np.nan),
                mentions.numerics,
            ]
        ).astype(np.float32)
        return FeatureBlock(
            dense,
            mentions.categories,
            mentions.row,
            mentions.slot,
            mentions.offset,
            mentions.value,
            word_grams(mentions.slotted),
            character_grams(mentions.text),
            self.meaning.transform(titles) if self.meaning is not None else np.zeros((len(titles), 0), np.float32),
        )

    def state(self) -> tuple[JsonObject, dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays; `from_state` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "word_idf": self.word_idf,
            "character_idf": self.character_idf,
            "triple_items": self.triple_items,
            "pair_items": self.pair_items,
        }
        meta: JsonObject = {"vocabulary": self.vocabulary.to_json()}
        if self.meaning is not None:
            meta["meaning"], own = self.meaning.state()
            arrays |= {f"meaning.{name}": value for name, value in own.items()}
        return meta, arrays

    @classmethod
    def from_state(
        cls, meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], encoder: Encoder | None = None
    ) -> "TitleFeatures":
        """Transformer from what `state` gave, with the encoder it was fitted with."""
        own = {name.removeprefix("meaning."): value for name, value in arrays.items() if name.startswith("meaning.")}
        return cls(
            Vocabulary.from_json(meta["vocabulary"]),
            arrays["word_idf"],
            arrays["character_idf"],
            arrays["triple_items"],
            arrays["pair_items"],
            None if encoder is None else Meaning.from_state(own, encoder),
        )


def _capped(counts: IntArray) -> npt.NDArray[np.uint8]:
    return np.minimum(counts, 255).astype(np.uint8)


def _never_seen(grams: Grams, items: npt.NDArray[np.uint8], min_known: int) -> tuple[Float32Array, Float32Array]:
    """Share and number of each title's n-grams that no (other) train item's titles hold; all for an empty title."""
    unseen = items[grams.hashes % np.uint32(len(items))] < min_known
    count = np.diff(grams.starts)
    total = np.bincount(grams.text_index(), weights=unseen, minlength=len(grams)).astype(np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), 1.0).astype(np.float32), total


def _or(values: Float32Array, default: float) -> Float32Array:
    return np.where(np.isnan(values), np.float32(default), values)


def _derived(mentions: Mentions, triples: Float32Array, pairs: Float32Array, n_pairs: Float32Array) -> Float32Array:
    """Columns as in ``_DERIVED``."""
    count = {name: mentions.counts[:, i] for i, name in enumerate(COUNTS)}
    words = np.maximum(count["count: words"], 1.0)
    mentioned = (~np.isnan(mentions.position)).sum(axis=1)
    # An empty title states nothing and says nothing: it takes the worst value of every share.
    empty = count["count: words"] == 0
    first = np.min(_or(mentions.position, _NEVER), axis=1, initial=_NEVER)
    columns = [
        np.where(empty, 1.0, count["count: words nothing supports"] / words),
        triples,
        pairs,
        n_pairs,
        mentioned,
        mentioned / np.maximum(mentions.has.sum(axis=1), 1),
        first,
        count["count: repeated words"] / words,
        count["count: generic words"] / words,
    ]
    return np.column_stack(columns).astype(np.float32)
