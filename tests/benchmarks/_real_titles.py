"""Simulated clicks on real titles: the catalogue and its wording are real, only the shoppers are not.

    p_click = ceiling * sigmoid(base + appeal(item) + effect(item, title))

with an effect of the same kinds as the simulated shop's (`envs.shoppers`), but generic: every field name has a salience
drawn from the seed, an attribute value counts at its first mention and the earlier the better, the locale's width is
liked best, and words that neither the item nor its real titles hold cost most.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from envs import shoppers
from envs.catalog import load_locale
from envs.errors import MarketError
from envs.lexicon import PhraseIndex
from envs.log_columns import attributes_json
from envs.seeds import Stream, generator
from reward.arrays import FloatArray
from reward.items import Item
from reward.text import display_width, same_text_key, words

STRANGER, BROKEN_PAIR, REPEATED = -0.5, -0.08, -0.15
EFFECT_RANGE = (-5.0, 2.0)
APPEAL_SD = 0.7
VARIANT_KINDS = 4


@dataclass(frozen=True)
class _Known:
    """Statements of one item: phrases of its values, all its words, and neighbouring words of its real titles."""

    phrases: PhraseIndex
    words: frozenset[str]
    pairs: frozenset[tuple[str, str]]


class RealTitles:
    """True click probabilities of any title of real items.

    Parameters
    ----------
    items
        Items with their attributes; ids must differ.
    titles
        The real titles of each item: their wording counts as stated.
    locale
        "en" or "zh": decides the width liked best.
    seed
        Draws the appeal of the items and the salience of the fields.

    Raises
    ------
    MarketError
        If the lengths differ or an id comes twice.
    """

    def __init__(self, items: Sequence[Item], titles: Sequence[Sequence[str]], locale: str, seed: int) -> None:
        if len(items) != len(titles):
            raise MarketError(f"items and titles must have one length. Got {len(items)} and {len(titles)} instead.")
        self._index = {item.item_id: i for i, item in enumerate(items)}
        if len(self._index) < len(items):
            raise MarketError(f"item ids must differ. Got {len(items) - len(self._index)} repeated ids.")
        self._locale, self._seed = locale, seed
        self._sweet_width = 1.15 * load_locale(locale).sweet_width
        self._known = [_known(item, own) for item, own in zip(items, titles, strict=True)]
        self._appeal = APPEAL_SD * generator(seed, locale, Stream.APPEAL).standard_normal(len(items))
        self._salience: dict[str, float] = {}

    def click_probability(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Chance of a click on an impression of each title, shape (n,).

        Raises
        ------
        MarketError
            If an item is not one of these, or the lengths differ.
        """
        if len(items) != len(titles):
            raise MarketError(f"items and titles must have one length. Got {len(items)} and {len(titles)} instead.")
        missing = next((item.item_id for item in items if item.item_id not in self._index), None)
        if missing is not None:
            raise MarketError(f"item {missing!r} is not one of the {len(self._known):,} items of these real titles.")
        index = [self._index[item.item_id] for item in items]
        effect = [self._effect(self._known[i], title) for i, title in zip(index, titles, strict=True)]
        return shoppers.click_probability(shoppers.click_base() + self._appeal[index] + np.array(effect))

    def _effect(self, known: _Known, title: str) -> float:
        tokens = words(title)
        if not tokens:
            return EFFECT_RANGE[0]
        seen: set[tuple[str, str]] = set()
        effect, start = 0.0, 0
        while start < len(tokens):
            found = known.phrases.match(tokens, start)
            if found is None:
                effect += 0.0 if tokens[start] in known.words else STRANGER
                start += 1
                continue
            phrase, field, value = found
            if (field, value) in seen:
                effect += REPEATED
            else:
                effect += self._field_salience(field) * float(np.exp(-2.0 * start / 20))
            seen.add((field, value))
            start += len(phrase)
        effect += BROKEN_PAIR * sum(pair not in known.pairs for pair in pairwise(tokens))
        effect -= 0.4 * min(float(np.log(max(display_width(title), 1) / self._sweet_width)) ** 2, 4.0)
        return min(max(effect, EFFECT_RANGE[0]), EFFECT_RANGE[1])

    def _field_salience(self, field: str) -> float:
        """Effect of a mention of this field at the very start; some fields put shoppers off."""
        if field not in self._salience:
            rng = generator(self._seed, self._locale, Stream.TASTE, zlib.crc32(field.encode()))
            self._salience[field] = 0.2 + 0.25 * float(rng.standard_normal())
        return self._salience[field]


def title_variants(item: Item, title: str, n: int, rng: np.random.Generator) -> list[str]:
    """Up to ``n`` other titles of ``item``: ``title`` with attribute values added, dropped, or moved to the front.

    Fewer come back where the item's values do not allow as many different ones.
    """
    joint = "" if any("\u4e00" <= char <= "\u9fff" for char in title) else " "
    values = [value for group in item.fields.values() for value in group if 1 < len(value) <= 12]
    inside = [value for value in values if value in title and value != title]
    outside = [value for value in values if value not in title]
    known = {same_text_key(title)}
    out: list[str] = []
    for _ in range(10 * n):
        kind = int(rng.integers(VARIANT_KINDS))
        pool = outside if kind < 2 else inside
        if not pool:
            continue
        value = pool[rng.integers(len(pool))]
        rest = joint.join(part.strip() for part in title.split(value, 1) if part.strip())
        variant = (
            f"{value}{joint}{title}",
            f"{title}{joint}{value}",
            rest,
            f"{value}{joint}{rest}",
        )[kind]
        key = same_text_key(variant)
        if key and key not in known:
            known.add(key)
            out.append(variant)
            if len(out) == n:
                break
    return out


def clicks_for_titles(
    items: Sequence[Item],
    titles: Sequence[Sequence[str]],
    locale: str,
    seed: int,
    *,
    impressions_per_item: int = 2_000,
) -> pa.Table:
    """Logs of simulated shoppers on real titles, one row an arm, in the schema of the logs.

    Parameters
    ----------
    items
        Real items with their attributes.
    titles
        The titles to show for each item, usually the original and some of `title_variants`.
    locale
        "en" or "zh".
    seed
        Of tastes, propensities and clicks.
    impressions_per_item
        Titles shown for each item.

    Returns
    -------
    Table with item_id, title, impressions, clicks, propensity, locale and the item's fields as JSON (attributes).
    Arms that were never shown are left out.

    Raises
    ------
    MarketError
        If the lengths differ, an id comes twice, an item has no title, or a title twice.
    """
    truth = RealTitles(items, titles, locale, seed)
    rng = generator(seed, locale, Stream.LOGS)
    rows: list[dict[str, object]] = []
    for item, own in zip(items, titles, strict=True):
        if not own or len(set(own)) < len(own):
            raise MarketError(f"item {item.item_id!r} needs different titles, at least one. Got {list(own)!r:.200}.")
        propensity = 0.5 * rng.dirichlet(np.full(len(own), 2.0)) + 0.5 / len(own)
        shown = rng.multinomial(impressions_per_item, propensity)
        clicks = rng.binomial(shown, truth.click_probability([item] * len(own), own))
        for title, n_shown, n_clicks, chance in zip(own, shown, clicks, propensity, strict=True):
            if n_shown:
                rows.append(
                    {
                        "item_id": item.item_id,
                        "title": title,
                        "impressions": int(n_shown),
                        "clicks": int(n_clicks),
                        "propensity": float(chance),
                        "locale": locale,
                        "attributes": attributes_json(item),
                    }
                )
    return pa.Table.from_pylist(rows)


def _known(item: Item, titles: Sequence[str]) -> _Known:
    phrases = PhraseIndex.of((value, name) for name, values in item.fields.items() for value in values)
    texts = [*titles, *(value for values in item.fields.values() for value in values)]
    tokens = [words(text) for text in texts]
    return _Known(
        phrases=phrases,
        words=frozenset(token for text in tokens for token in text),
        pairs=frozenset(pair for text in tokens for pair in pairwise(text)),
    )
