"""Mentions of an item's values in a title, with their places, and the words that nothing of the item states.

The scan also writes the title in slots ("<brand> shoes for <gender>"), so that n-grams learn the wording and the
order of fields and not the values themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, Float32Array, IntArray
from ..items import Item
from ..text import words
from .itemwords import CACHE_SIZE, ItemWords, PreparedItems
from .phrases import MAX_TITLE_CHARACTERS, Words, is_cjk_word, joined, match, repeated, stem, width
from .vocabulary import Vocabulary

_SLOT_CHARACTER = 0xE000  # private use: stands for a slot in the delexicalised text
_PART_CHARACTER = 0xE400
_WRONG_CHARACTER = 0xE800
COUNTS = (
    "count: words",
    "count: words nothing supports",
    "count: words never seen in titles",
    "count: wrong claims",
    "count: claims on a field the item lacks",
    "count: generic words",
    "count: repeated words",
    "count: values mentioned",
    "count: values repeated",
    "count: unusual mentions",
    "share of words inside mentions",
    "share of words found in the item's text",
)


@dataclass(frozen=True)
class Mentions:
    """Result of scanning n (item, title) pairs; S is the number of slots.

    Parameters
    ----------
    row, slot, offset, value
        One entry for every mention: its title, its slot (S for a short field without a slot of its own), the column
        of the title it begins at (display width of the words before) and its place in ``Vocabulary.values`` (-1 for
        a rare value). A value repeated is one mention.
    position, rank
        Offset of a slot's first mention and its rank among the title's mentions (from 0); NaN where the title does
        not mention the slot. Shape (n, S).
    has
        True where the item has the field, shape (n, S).
    counts
        Columns as in ``COUNTS``, shape (n, len(COUNTS)).
    categories
        Code of each category field's value, -1 for a missing or unknown one, shape (n, n_categories).
    numerics
        log(1 + |value|) with the value's sign, NaN where missing, shape (n, n_numerics).
    slotted
        The title's words with slot names for mentions and wrong claims.
    text
        The same as one text, one private-use character a slot.
    """

    row: IntArray
    slot: IntArray
    offset: Float32Array
    value: IntArray
    position: Float32Array
    rank: Float32Array
    has: BoolArray
    counts: Float32Array
    categories: IntArray
    numerics: Float32Array
    slotted: list[list[str]]
    text: list[str]


class MentionScanner:
    """Scans titles against their items, keeping prepared items in a bounded cache.

    Parameters
    ----------
    vocabulary
        Knowledge learned from train items.
    cache_size
        Items kept prepared at most; the least recently used is dropped first.
    """

    def __init__(self, vocabulary: Vocabulary, cache_size: int = CACHE_SIZE) -> None:
        self.vocabulary = vocabulary
        self._value_of = {key: i for i, key in enumerate(vocabulary.values)}
        n = len(vocabulary.slots)
        self._slot_name = [f"<{i}>" for i in range(n + 1)]
        self._part_name = [f"<~{i}>" for i in range(n)]
        self._wrong_name = [f"<!{i}>" for i in range(n)] + ["<!>"]
        self._items = PreparedItems(vocabulary.slots, vocabulary.categories, vocabulary.numerics, cache_size)

    def refined(self, vocabulary: Vocabulary) -> "MentionScanner":
        """Scanner with a refined vocabulary of the same slots, categories and claims; takes the cache over."""
        other = MentionScanner(vocabulary)
        other._items = self._items
        return other

    def scan(self, items: Sequence[Item], titles: Sequence[str], min_known: int = 1) -> Mentions:
        """Scan each title against its item.

        Parameters
        ----------
        items, titles
            Pairs, both of length n.
        min_known
            Train items whose titles must contain a word for it to count as seen: 1 for new titles, 2 for the
            logged titles themselves, so that a word is never known only from the title it stands in.
        """
        n, n_slots = len(titles), len(self.vocabulary.slots)
        rows: list[int] = []
        slots: list[int] = []
        offsets: list[int] = []
        values: list[int] = []
        counts: list[tuple[float, ...]] = []
        slotted: list[list[str]] = []
        texts: list[str] = []
        prepared = [self._items.get(item) for item in items]
        for row, (item, title) in enumerate(zip(prepared, titles, strict=True)):
            found, count, tokens, text = self._scan_one(item, title, min_known)
            for slot, offset, value in found:
                rows.append(row)
                slots.append(slot)
                offsets.append(offset)
                values.append(value)
            counts.append(count)
            slotted.append(tokens)
            texts.append(text)
        vocabulary = self.vocabulary
        row_array, slot_array = np.array(rows, dtype=np.int64), np.array(slots, dtype=np.int64)
        offset_array = np.array(offsets, dtype=np.float32)
        position, rank = _first_mentions(row_array, slot_array, offset_array, n, n_slots)
        return Mentions(
            row_array,
            slot_array,
            offset_array,
            np.array(values, dtype=np.int64),
            position,
            rank,
            np.array([item.has for item in prepared], dtype=bool).reshape(n, n_slots),
            np.array(counts, dtype=np.float32).reshape(n, len(COUNTS)),
            np.array([item.categories for item in prepared], dtype=np.int64).reshape(n, len(vocabulary.categories)),
            np.array([item.numerics for item in prepared], dtype=np.float32).reshape(n, len(vocabulary.numerics)),
            slotted,
            texts,
        )

    def _scan_one(
        self, item: ItemWords, title: str, min_known: int
    ) -> tuple[list[tuple[int, int, int]], tuple[float, ...], list[str], str]:
        """Mentions (slot, offset, value), counts, slotted words and slotted text of one title."""
        vocabulary = self.vocabulary
        generic, known, claims = vocabulary.generic, vocabulary.known, vocabulary.claims
        tokens = [stem(word) for word in words(title[:MAX_TITLE_CHARACTERS])]
        n = len(tokens)
        plain = title.isascii()
        found: list[tuple[int, int, int]] = []
        said: set[Words] = set()
        out: list[str] = []
        text: list[str] = []
        offset = inside = stated = unstated = unknown = wrong = absent = free = twice = 0
        values, own, pairs = item.values, item.text, item.pairs
        loose = ""  # the CJK character before, where nothing accounts for it
        i = 0
        while i < n:
            word = tokens[i]
            own_value = match(values.get(word), tokens, i) if word in values else None
            if own_value is not None:
                sequence, slot = own_value
                if sequence in said:
                    twice += 1
                else:
                    said.add(sequence)
                    found.append((slot, offset, self._value_of.get((slot, sequence), -1)))
                out.append(self._slot_name[slot])
                text.append(chr(_SLOT_CHARACTER + slot))
                inside += len(sequence)
                i += len(sequence)
                offset += width(sequence)
                loose = ""
                continue
            cjk = not plain and is_cjk_word(word)
            offset += 2 if cjk else len(word) + 1
            after = tokens[i + 1] if i + 1 < n else ""
            if word in own and (
                not cjk or not pairs or (word, after) in pairs or (i > 0 and (tokens[i - 1], word) in pairs)
            ):
                stated += 1
                loose = ""
                part = own[word]
                if part >= 0 and not cjk:  # half of a value: the "dress" of a "wrap dress"
                    out.append(self._part_name[part])
                    text.append(chr(_PART_CHARACTER + part))
                    i += 1
                    continue
            else:
                claim = match(claims.get(word), tokens, i) if word in claims else None
                if claim is not None:
                    sequence, slot = claim
                    wrong += 1
                    absent += not item.has[slot]
                    out.append(self._wrong_name[slot])
                    text.append(chr(_WRONG_CHARACTER + slot))
                    unstated += len(sequence)
                    i += len(sequence)
                    offset += width(sequence[1:])
                    loose = ""
                    continue
                if not cjk:
                    usual, seen = word in generic, known.get(word, 0) >= min_known
                    loose = ""
                else:
                    # A lone character occurs in many words; two of them side by side tell what is a word.
                    ahead = after if is_cjk_word(after) and after not in values else ""
                    around = [pair for pair in (loose + word if loose else "", word + ahead if ahead else "") if pair]
                    usual = any(pair in generic for pair in around) if around else word in generic
                    seen = any(known.get(pair, 0) >= min_known for pair in around or (word,))
                    loose = word
                unknown += not seen
                if usual:
                    free += 1
                else:
                    unstated += 1
            out.append(word)
            text.append(word)
            i += 1
        some = max(n, 1)
        again = n - len(set(tokens)) if plain else repeated(tokens)
        shares = inside / some, stated / some
        unusual = sum(slot in vocabulary.unusual_slots for slot, _, _ in found)
        count = (n, unstated, unknown, wrong, absent, free, again, len(found), twice, unusual, *shares)
        return found, count, out, joined(text)


def _first_mentions(
    row: IntArray, slot: IntArray, offset: Float32Array, n: int, n_slots: int
) -> tuple[Float32Array, Float32Array]:
    """Offset and rank of each slot's first mention, NaN without one, shape (n, n_slots) each."""
    position = np.full((n, n_slots + 1), np.nan, dtype=np.float32)
    rank = np.full((n, n_slots + 1), np.nan, dtype=np.float32)
    # Mentions come in title order, so an entry's distance to its title's first entry is its rank; written back to
    # front, the first mention of a slot is the one that stays.
    starts = np.searchsorted(row, np.arange(n))
    order = np.arange(len(row)) - starts[row]
    position[row[::-1], slot[::-1]] = offset[::-1]
    rank[row[::-1], slot[::-1]] = order[::-1]
    return position[:, :n_slots], rank[:, :n_slots]
