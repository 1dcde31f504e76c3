"""Shoppers: the true click and conversion probabilities of a simulated shop.

    p_click(item, title) = ceiling * sigmoid(base + appeal(item) + effect(item, title))       at the average position
    p_conversion(item, title | click) = sigmoid(base + appeal'(item) + effect'(item, title)) * kept(item, title)

where kept is the share of sales that are not sent back.

The appeal of the items carries most of the variance, as on the Upworthy archive (docs/architecture.md, section 5). The
effect of a title is a sum of what its reading (`lexicon.Reading`) holds, clipped to [-7, 3]. The weights are drawn for
every shop around the means of the catalogue, so that nothing learned on one shop is true of the next.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from reward.arrays import FloatArray
from reward.items import Item

from .catalog import CategorySpec, LocaleSpec
from .lexicon import Reading
from .position import MAX_LIFT
from .seeds import Stream, generator

CLICK_CEILING = 0.95 / MAX_LIFT  # keeps the click probability at the best position below one
BASE_CTR, BASE_CVR = 0.03, 0.05
EFFECT_RANGE = (-7.0, 3.0)
EMPTY_TITLE = -5.0
NO_PRODUCT = -1.2
WRONG_CLAIM, GIBBERISH, REPEAT, SHOUTING, SYMBOL = -0.8, -0.9, -0.3, -0.12, -0.06
PROMO_SATURATION = 2
FREE_FILLERS, FILLER = 3, -0.03  # a few function words make a title read well, more of them pad it
BEYOND_SATURATION = -0.08
CLUTTER = 0.05  # every mention asks for attention
SHORT_SHARE = 0.4  # a title too short loses less than one too long by the same factor
HEAD_SHARE = 0.6  # a bare product word ("dress") tells less than the type ("wrap dress")
APPEAL_SD, CATEGORY_SD, BRAND_SD, TYPE_SD, PRICE_SLOPE = 0.68, 0.3, 0.3, 0.2, -0.12
CONVERSION_APPEAL_SD, CONVERSION_PRICE_SLOPE = 0.35, -0.25
CONVERSION_PROMO, CONVERSION_WRONG, CONVERSION_GIBBERISH = -0.18, -0.5, -0.3
CONVERSION_KEPT, CONVERSION_BROKEN = 0.12, -0.35  # a promise that the page bears out, and one that it does not
SENT_BACK = 0.15  # share of sales sent back for each broken promise, of those the last one left; at most three count


@dataclass(frozen=True)
class CategoryTaste:
    """Taste of the shoppers of one category.

    Parameters
    ----------
    salience
        Field name -> log-odds of a click that a mention at the very start adds.
    value_factor
        (field, value) -> factor on that salience; values not listed count once.
    decay_width
        Columns after which a mention is worth 1/e of one at the start.
    sweet_width, width_penalty
        The width liked best, and the log-odds lost at e times it (quadratic in log width, at most 4 times as much).
        A title that says too little (content width) loses `SHORT_SHARE` of that.
    promo
        Log-odds of a click that each of the first two promotional phrases adds.
    conversion
        Field name -> log-odds of a conversion that a mention adds.
    category_appeal, brand_appeal, type_appeal
        Added by the category, brand and product type of an item to its own appeal.
    """

    salience: Mapping[str, float]
    value_factor: Mapping[tuple[str, str], float]
    decay_width: float
    sweet_width: float
    width_penalty: float
    promo: float
    conversion: Mapping[str, float]
    category_appeal: float
    brand_appeal: Mapping[str, float]
    type_appeal: Mapping[str, float]


def draw_taste(spec: LocaleSpec, seed: int) -> dict[str, CategoryTaste]:
    """Tastes of every category of the shop with this seed, drawn around the catalogue's means."""
    rng = generator(seed, spec.locale, Stream.TASTE)
    sweet = spec.sweet_width * float(np.exp(0.05 * rng.standard_normal()))
    return {category.name: _category_taste(category, sweet, rng) for category in spec.categories}


def _category_taste(category: CategorySpec, sweet: float, rng: np.random.Generator) -> CategoryTaste:
    means = {attribute.name: attribute.salience for attribute in category.attributes}
    means |= {"brand": 0.1, "type": 0.18, "price": 0.0}
    salience = {
        name: mean * float(np.exp(0.3 * np.clip(rng.standard_normal(), -1.5, 1.5)))
        - CLUTTER
        + 0.03 * float(rng.standard_normal())
        for name, mean in means.items()
    }
    groups = {attribute.name: attribute.values for attribute in category.attributes}
    groups |= {"brand": category.brands, "type": category.types}
    factors = {
        (name, value): max(0.0, 1.0 + 0.3 * float(rng.standard_normal()))
        for name, values in groups.items()
        for value in values
    }
    factors |= {("type", head): HEAD_SHARE for head in category.heads}
    return CategoryTaste(
        salience=salience,
        value_factor=factors,
        decay_width=float(rng.uniform(0.55, 0.85)) * sweet,
        sweet_width=sweet * float(np.exp(0.05 * rng.standard_normal())),
        width_penalty=float(rng.uniform(0.4, 0.6)),
        promo=float(rng.uniform(0.05, 0.1)),
        conversion={a.name: a.conversion * float(np.exp(0.4 * rng.standard_normal())) for a in category.attributes},
        category_appeal=CATEGORY_SD * float(rng.standard_normal()),
        brand_appeal={brand: BRAND_SD * float(rng.standard_normal()) for brand in category.brands},
        type_appeal={kind: TYPE_SD * float(rng.standard_normal()) for kind in category.types},
    )


@dataclass(frozen=True)
class Appeal:
    """Log-odds an item brings along whatever its title: of a click, and of a conversion given a click."""

    click: float
    conversion: float


def draw_appeal(spec: LocaleSpec, seed: int, index: int, item: Item, taste: CategoryTaste) -> Appeal:
    """Appeal of the ``index``-th item: partly explained by category, brand, type and price, mostly its own."""
    rng = generator(seed, spec.locale, Stream.APPEAL, index)
    category = spec.by_name[item.fields["category"][0]]
    log_price = float(np.log(float(item.fields["price"][0]) / category.price_median))
    explained = taste.category_appeal + taste.brand_appeal[item.fields["brand"][0]]
    explained += taste.type_appeal[item.fields["type"][0]] + PRICE_SLOPE * log_price
    own, own_conversion = rng.standard_normal(2)
    return Appeal(
        click=explained + APPEAL_SD * float(own),
        conversion=0.4 * explained + CONVERSION_PRICE_SLOPE * log_price + CONVERSION_APPEAL_SD * float(own_conversion),
    )


def click_effect(reading: Reading, taste: CategoryTaste) -> float:
    """Log-odds of a click that a title adds, in `EFFECT_RANGE`."""
    if reading.n_words == 0:
        return EMPTY_TITLE
    effect = 0.0
    for mention in reading.mentions:
        weight = taste.salience.get(mention.field, 0.0) * taste.value_factor.get((mention.field, mention.value), 1.0)
        effect += weight * math.exp(-mention.offset / taste.decay_width)
    effect += taste.promo * min(reading.promo, PROMO_SATURATION)
    effect += BEYOND_SATURATION * max(reading.promo - PROMO_SATURATION, 0)
    too_long = max(0.0, math.log(max(reading.width, 1) / taste.sweet_width))
    too_short = max(0.0, math.log(taste.sweet_width / max(reading.content_width, 1)))
    effect -= taste.width_penalty * (min(too_long**2, 4.0) + SHORT_SHARE * min(too_short**2, 4.0))
    effect += 0.0 if reading.names_product else NO_PRODUCT
    effect += WRONG_CLAIM * reading.wrong_claims + GIBBERISH * reading.gibberish
    effect += FILLER * max(reading.fillers - FREE_FILLERS, 0)
    effect += REPEAT * reading.repeats + SHOUTING * min(reading.shouting, 5) + SYMBOL * reading.symbols
    return min(max(effect, EFFECT_RANGE[0]), EFFECT_RANGE[1])


def conversion_effect(reading: Reading, taste: CategoryTaste) -> float:
    """Log-odds of a conversion given a click that a title adds, in `EFFECT_RANGE`.

    Shoppers drawn by empty words buy less, and those promised something that the page lacks still less. Those who read
    size, material, capacity or a true promise beforehand buy more.
    """
    effect = sum(taste.conversion.get(mention.field, 0.0) for mention in reading.mentions)
    effect += CONVERSION_PROMO * (reading.promo - reading.kept - len(reading.broken))
    effect += CONVERSION_KEPT * reading.kept + CONVERSION_BROKEN * len(reading.broken)
    effect += CONVERSION_WRONG * reading.wrong_claims + CONVERSION_GIBBERISH * reading.gibberish
    return min(max(effect, EFFECT_RANGE[0]), EFFECT_RANGE[1])


def kept_share(reading: Reading) -> float:
    """Share of the sales that are not sent back: a broken promise makes buyers do so."""
    return float((1 - SENT_BACK) ** min(len(reading.broken), 3))


def click_probability(log_odds: Sequence[float] | FloatArray) -> FloatArray:
    """``CLICK_CEILING * sigmoid(log_odds)``, shape (n,), inside (0, CLICK_CEILING)."""
    p: FloatArray = CLICK_CEILING * expit(np.asarray(log_odds, dtype=np.float64))
    return p


def click_base() -> float:
    """Log-odds at which `click_probability` is `BASE_CTR`."""
    share = BASE_CTR / CLICK_CEILING
    return float(np.log(share / (1 - share)))


def conversion_base() -> float:
    """Log-odds at which the conversion probability is `BASE_CVR`."""
    return float(np.log(BASE_CVR / (1 - BASE_CVR)))
