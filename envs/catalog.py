"""Catalogue of the shop: categories with typed attributes from ``data/{locale}.json``, and items drawn from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from reward.items import Item

from .errors import MarketError
from .seeds import Stream, generator

LOCALES = ("en", "zh")


@dataclass(frozen=True)
class AttributeSpec:
    """One attribute of a category.

    Parameters
    ----------
    name
        Field name of the items.
    values
        Its possible values.
    coverage
        Share of the category's items that have it.
    count
        Most values an item has at once (features).
    salience, conversion
        Mean over shops of what a mention at the start of a title adds to the log-odds of a click, and to those of a
        conversion. Each shop draws its own around it.
    glue
        Function word by which sellers join it, e.g. ``"for {}"``; None where they use none.
    """

    name: str
    values: tuple[str, ...]
    coverage: float
    count: int
    salience: float
    conversion: float
    glue: str | None


@dataclass(frozen=True)
class CategorySpec:
    """One category; ``heads`` are the bare product words every item of it answers to ("dress")."""

    name: str
    heads: tuple[str, ...]
    types: tuple[str, ...]
    brands: tuple[str, ...]
    price_median: float
    price_sigma: float
    attributes: tuple[AttributeSpec, ...]


@dataclass(frozen=True)
class ServiceSpec:
    """One thing the shop may do for an item, whatever its category: free shipping, a warranty.

    Parameters
    ----------
    name
        Field name of the items.
    coverage
        Share of the items that have it.
    values
        Its possible values, with the promotional phrases that each makes true.
    """

    name: str
    coverage: float
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LocaleSpec:
    """Everything of a shop that depends on its language.

    Parameters
    ----------
    locale
        "en" or "zh".
    joint
        Text between two words that belong together: a blank, or nothing.
    separators
        Separators that sellers put between the parts of a title, with their shares.
    sweet_width
        Mean over shops of the display width shoppers like best, in columns.
    price_phrase, price_decimals
        Form of a price in a title and in the ``price`` field.
    promo_front, promo_back
        Promotional phrases sellers put in front, and at the end.
    services
        Services for some items, and which of these phrases each keeps.
    unkeepable
        Phrases that promise what this shop does for no item.
    function_words
        Words that claim nothing.
    categories
        Categories that are sold.
    """

    locale: str
    joint: str
    separators: Mapping[str, float]
    sweet_width: float
    price_phrase: tuple[str, ...]
    price_decimals: int
    promo_front: tuple[str, ...]
    promo_back: tuple[str, ...]
    services: tuple[ServiceSpec, ...]
    unkeepable: tuple[str, ...]
    function_words: tuple[str, ...]
    categories: tuple[CategorySpec, ...]
    by_name: Mapping[str, CategorySpec] = field(repr=False)

    @property
    def promo(self) -> tuple[str, ...]:
        """All promotional phrases."""
        return self.promo_front + self.promo_back

    @property
    def promises(self) -> frozenset[str]:
        """The promotional phrases that promise something."""
        kept = (phrase for service in self.services for phrases in service.values.values() for phrase in phrases)
        return frozenset((*kept, *self.unkeepable))

    def kept_promises(self, item: Item) -> frozenset[str]:
        """The promises that are true of ``item``."""
        return frozenset(
            phrase
            for service in self.services
            for value in item.fields.get(service.name, ())
            for phrase in service.values.get(value, ())
        )


@lru_cache
def load_locale(locale: str) -> LocaleSpec:
    """Catalogue of ``locale``.

    Raises
    ------
    MarketError
        If there is no such locale.
    """
    if locale not in LOCALES:
        raise MarketError(f"locale must be one of {', '.join(LOCALES)}. Got {locale!r} instead.")
    data = json.loads(resources.files(__package__).joinpath("data", f"{locale}.json").read_text(encoding="utf-8"))
    shared: dict[str, list[str]] = data["shared"]
    categories = tuple(_category(row, shared) for row in data["categories"])
    return LocaleSpec(
        locale=data["locale"],
        joint=data["joint"],
        separators=data["separators"],
        sweet_width=data["sweet_width"],
        price_phrase=tuple(data["price_phrase"]),
        price_decimals=data["price_decimals"],
        promo_front=tuple(data["promo_front"]),
        promo_back=tuple(data["promo_back"]),
        services=tuple(_service(row) for row in data["services"]),
        unkeepable=tuple(data["unkeepable"]),
        function_words=tuple(data["function_words"]),
        categories=categories,
        by_name={category.name: category for category in categories},
    )


def _category(row: Mapping[str, Any], shared: Mapping[str, list[str]]) -> CategorySpec:
    attributes = tuple(
        AttributeSpec(
            name=a["name"],
            values=tuple(shared[a["values"][1:]] if isinstance(a["values"], str) else a["values"]),
            coverage=a["coverage"],
            count=a.get("count", 1),
            salience=a["salience"],
            conversion=a["conversion"],
            glue=a.get("glue"),
        )
        for a in row["attributes"]
    )
    return CategorySpec(
        name=row["name"],
        heads=tuple(row["heads"]),
        types=tuple(row["types"]),
        brands=tuple(row["brands"]),
        price_median=row["price"]["median"],
        price_sigma=row["price"]["sigma"],
        attributes=attributes,
    )


def _service(row: Mapping[str, Any]) -> ServiceSpec:
    values = {value: tuple(phrases) for value, phrases in row["values"].items()}
    return ServiceSpec(row["name"], row["coverage"], values)


def item_id(seed: int, locale: str, index: int) -> str:
    """Id of the ``index``-th item of a shop."""
    return f"{locale}-{seed}-{index:06d}"


def draw_item(spec: LocaleSpec, seed: int, index: int) -> Item:
    """The ``index``-th item of the shop with this seed.

    Its fields are locale, category, brand, price, type, then attributes and services by name.
    """
    rng = generator(seed, spec.locale, Stream.ITEM, index)
    category = spec.categories[rng.integers(len(spec.categories))]
    fields: dict[str, tuple[str, ...]] = {
        "locale": (spec.locale,),
        "category": (category.name,),
        "brand": (_skewed(rng, category.brands),),
        "price": (_price(rng, category, spec.price_decimals),),
        "type": (_skewed(rng, category.types),),
    }
    for attribute in category.attributes:
        if rng.random() >= attribute.coverage:
            continue
        count = 1 if attribute.count == 1 else int(rng.integers(1, attribute.count + 1))
        chosen = [_skewed(rng, attribute.values) for _ in range(count)]
        fields[attribute.name] = tuple(dict.fromkeys(chosen))
    for service in spec.services:
        if rng.random() < service.coverage:
            fields[service.name] = (_skewed(rng, tuple(service.values)),)
    return Item(item_id(seed, spec.locale, index), fields)


def _skewed(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    """One value; earlier ones in the list about three times as common as the last ones, as in real catalogues."""
    return values[int(len(values) * rng.random() ** 1.35)]


def _price(rng: np.random.Generator, category: CategorySpec, decimals: int) -> str:
    price = category.price_median * float(np.exp(category.price_sigma * rng.standard_normal()))
    if decimals == 0:
        return str(max(9, round(price)))
    return f"{max(3, round(price)) - 0.01:.{decimals}f}"
