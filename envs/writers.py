"""Writers of titles: a mixture of human-like styles, from curt to keyword-stuffed, with the odd wrong claim."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reward.items import Item

from .catalog import CategorySpec, LocaleSpec
from .seeds import Stream, generator

WRONG_CLAIM_SHARE, TYPO_SHARE, NO_TYPE_SHARE = 0.015, 0.006, 0.012
CAPITALS_SHARE, EXCLAIM_SHARE, PRICE_SHARE = 0.025, 0.02, 0.03


@dataclass(frozen=True)
class Style:
    """A way to write titles.

    Parameters
    ----------
    share
        Share of titles in this style, before a shop's own habits.
    density
        Mean share of an item's attributes that are mentioned.
    brand
        Chance that the brand is mentioned.
    brand_at, type_at
        Place of brand and product type among the attributes (0 first, 1 last); None for anywhere.
    glue
        Chance of a function word where the attribute has one.
    promo
        Mean number of promotional phrases (at most 4).
    repeats
        Mean number of words said again.
    """

    share: float
    density: float
    brand: float
    brand_at: float | None
    type_at: float | None
    glue: float
    promo: float
    repeats: float = 0.0


STYLES: Mapping[str, Style] = {
    "brand first": Style(0.24, 0.45, 1.0, 0.0, 0.35, 0.35, 0.2),
    "product first": Style(0.16, 0.5, 0.6, None, 0.0, 0.5, 0.2),
    "features first": Style(0.16, 0.5, 0.6, 0.9, 0.6, 0.2, 0.25),
    "advertisement": Style(0.13, 0.4, 0.5, 0.3, 0.3, 0.3, 1.8),
    "curt": Style(0.1, 0.15, 0.6, 0.0, 0.9, 0.2, 0.05),
    "data sheet": Style(0.08, 0.95, 0.95, 0.0, 0.1, 0.05, 0.1),
    "any order": Style(0.08, 0.5, 0.7, None, None, 0.3, 0.4),
    "stuffed": Style(0.05, 0.8, 0.8, None, None, 0.1, 2.6, 2.0),
}


@dataclass(frozen=True)
class _Part:
    """One piece of a title before it is joined; ``tight`` parts stay with their neighbour by a plain joint."""

    field: str
    text: str
    tight: bool = False


class Writer:
    """Writes titles of one shop; its sellers have habits of their own, which know nothing of the shoppers' taste.

    Parameters
    ----------
    spec
        The locale's catalogue.
    seed
        The shop's seed: draws how common each style is, and how often each attribute is mentioned.
    """

    def __init__(self, spec: LocaleSpec, seed: int) -> None:
        rng = generator(seed, spec.locale, Stream.HABITS)
        self._spec = spec
        self._styles = tuple(STYLES.values())
        shares = np.array([style.share for style in self._styles]) * np.exp(0.25 * rng.standard_normal(len(STYLES)))
        self._style_edges = np.cumsum(shares / shares.sum())
        self._habit = {
            (category.name, attribute.name): float(np.exp(0.35 * rng.standard_normal()))
            for category in spec.categories
            for attribute in category.attributes
        }
        self._separators = tuple(spec.separators)
        self._separator_edges = np.cumsum(list(spec.separators.values()))

    def write(self, item: Item, rng: np.random.Generator) -> str:
        """One title of ``item`` in a style drawn at random."""
        spec = self._spec
        category = spec.by_name[item.fields["category"][0]]
        style = self._styles[_pick(self._style_edges, rng)]
        parts = self._ordered(self._content(item, category, style, rng), style, rng)
        parts = self._spoil(parts, item, category, style, rng)
        separator = self._separators[_pick(self._separator_edges, rng)]
        title = self._join(parts, separator)
        title = self._promote(title, item, style, separator, rng)
        if rng.random() < CAPITALS_SHARE:
            title = title.upper()
        if rng.random() < EXCLAIM_SHARE:
            title += "!!!" if spec.locale == "en" else "！！！"
        return title

    def distinct(self, item: Item, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """``count`` different titles of ``item``; fewer where 20 times as many attempts do not find them."""
        titles: dict[str, None] = {}
        for _ in range(20 * count):
            titles.setdefault(self.write(item, rng))
            if len(titles) == count:
                break
        return tuple(titles)

    def _content(self, item: Item, category: CategorySpec, style: Style, rng: np.random.Generator) -> list[_Part]:
        parts = [] if rng.random() < NO_TYPE_SHARE else [_Part("type", item.fields["type"][0])]
        if rng.random() < style.brand:
            parts.append(_Part("brand", item.fields["brand"][0]))
        for attribute in category.attributes:
            chance = style.density * self._habit[category.name, attribute.name]
            for value in item.fields.get(attribute.name, ()):
                if rng.random() < chance:
                    glued = attribute.glue is not None and rng.random() < style.glue
                    text = attribute.glue.format(value) if glued and attribute.glue else value
                    parts.append(_Part(attribute.name, text, tight=glued))
        if not parts:
            parts.append(_Part("brand", item.fields["brand"][0]))
        return parts

    def _ordered(self, parts: list[_Part], style: Style, rng: np.random.Generator) -> list[_Part]:
        places = {"brand": style.brand_at, "type": style.type_at}
        keys = []
        for part in parts:
            place = places.get(part.field)
            keys.append((1.0 if part.tight else 0.0) + float(rng.random()) if place is None else place)
        return [parts[i] for i in np.argsort(keys, kind="stable")]

    def _spoil(
        self, parts: list[_Part], item: Item, category: CategorySpec, style: Style, rng: np.random.Generator
    ) -> list[_Part]:
        """The mistakes people make: a value of another item, a typing error, the same thing said again."""
        parts = list(parts)
        if rng.random() < WRONG_CLAIM_SHARE:
            attribute = category.attributes[rng.integers(len(category.attributes))]
            others = [v for v in attribute.values if v not in item.fields.get(attribute.name, ())]
            wrong = _Part(attribute.name, others[rng.integers(len(others))])
            known = [i for i, part in enumerate(parts) if part.field == attribute.name]
            if known:
                parts[known[0]] = wrong
            else:
                parts.append(wrong)
        if rng.random() < TYPO_SHARE:
            at = int(rng.integers(len(parts)))
            parts[at] = _Part(parts[at].field, _mistype(parts[at].text, rng), parts[at].tight)
        for _ in range(min(int(rng.poisson(style.repeats)), 4)):
            parts.insert(int(rng.integers(len(parts) + 1)), parts[rng.integers(len(parts))])
        return parts

    def _join(self, parts: list[_Part], separator: str) -> str:
        """Parts up to the product type belong together; after it every part stands behind a separator."""
        joint = self._spec.joint
        head = next((i for i, part in enumerate(parts) if part.field == "type"), 0)
        title = parts[0].text
        for i, part in enumerate(parts[1:], start=1):
            between = joint if i <= head or part.tight else separator
            title += (between or self._gap(title, part.text)) + part.text
        return title

    def _gap(self, left: str, right: str) -> str:
        """A blank between two Latin or number ends that would otherwise run together in Chinese titles."""
        return " " if left[-1:].isascii() and right[:1].isascii() else ""

    def _promote(self, title: str, item: Item, style: Style, separator: str, rng: np.random.Generator) -> str:
        spec = self._spec
        wanted = min(int(rng.poisson(style.promo)), 4)
        front = int(rng.binomial(wanted, 0.5))
        for phrase in _sample(spec.promo_front, front, rng):
            title = phrase + (spec.joint or self._gap(phrase, title)) + title
        ends = _sample(spec.promo_back, wanted - front, rng)
        if rng.random() < PRICE_SHARE:
            phrase = spec.price_phrase[rng.integers(len(spec.price_phrase))]
            ends.append(phrase.format(item.fields["price"][0]))
        for phrase in ends:
            title += (separator or self._gap(title, phrase)) + phrase
        return title


def _pick(edges: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", rng: np.random.Generator) -> int:
    """Index drawn from cumulative shares."""
    return min(int(np.searchsorted(edges, rng.random(), side="right")), len(edges) - 1)


def _sample(phrases: tuple[str, ...], count: int, rng: np.random.Generator) -> list[str]:
    return [phrases[i] for i in rng.permutation(len(phrases))[:count]] if count else []


def _mistype(text: str, rng: np.random.Generator) -> str:
    """``text`` with two neighbouring characters swapped, or one of two lost."""
    if len(text) < 3:
        return text[1:] or text + text
    at = int(rng.integers(len(text) - 2)) + 1
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
