"""A shop of a few lines with a known title effect, for tests of the reward model and the judge.

Shoppers want the fields of `TASTE` mentioned, and early; a claim the item does not support puts them off.
"""

from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.arrays import BoolArray, FloatArray, IntArray
from reward.items import Item

VALUES = {
    "en": {
        "category": ("shoes", "lamps"),
        "brand": ("Norda", "Velt", "Acme Home", "Zuri", "Kestrel"),
        "color": ("red", "navy blue", "green", "black", "white"),
        "material": ("leather", "oak wood", "steel", "cotton", "glass"),
        "use": ("office", "garden", "travel", "running", "kids"),
    },
    "zh": {
        "category": ("鞋子", "台灯"),
        "brand": ("诺达", "维尔特", "安家", "祖瑞", "红隼"),
        "color": ("红色", "藏青色", "绿色", "黑色", "白色"),
        "material": ("真皮", "橡木", "不锈钢", "纯棉", "玻璃"),
        "use": ("办公室", "花园", "旅行", "跑步", "儿童"),
    },
}
PROMO = {"en": ("hot sale", "new arrival"), "zh": ("热卖", "新款")}
# Category (by position) -> field -> log-odds of a mention at the start.
TASTE = (
    {"brand": 0.5, "color": 0.1, "material": 0.3, "use": 0.0},
    {"brand": 0.0, "color": 0.4, "material": -0.1, "use": 0.5},
)
PROMO_EFFECT, WRONG_CLAIM, DECAY = 0.1, -0.8, 6.0
FIELDS = ("brand", "color", "material", "use")


@dataclass(frozen=True)
class Shop:
    """Arms with the truth behind them, arrays of shape (n_arms,)."""

    arms: Arms
    effect: FloatArray
    p_click: FloatArray
    p_conversion: FloatArray
    locale: str

    def split(self, share: float = 0.75) -> tuple[BoolArray, BoolArray]:
        """Masks of the arms of the first items and of the others."""
        first = self.arms.item_index < share * len(self.arms.items)
        return first, ~first


def words_of(locale: str, parts: list[str]) -> str:
    """A title made of these parts."""
    return (" " if locale == "en" else "").join(parts)


def make_shop(
    locale: str = "en", n_items: int = 240, titles: int = 5, impressions: float = 4000.0, seed: int = 0
) -> Shop:
    """A shop whose every arm got about ``impressions`` impressions at a base rate of about 4%."""
    rng = np.random.default_rng(seed)
    values = VALUES[locale]
    items, owner, texts, effects = [], [], [], []
    for i in range(n_items):
        fields = {name: (str(rng.choice(options)),) for name, options in values.items()}
        fields["price"] = (f"{rng.integers(10, 900)}.00",)
        item = Item(f"item-{i}", fields)
        items.append(item)
        written: set[str] = set()
        for _ in range(titles):
            text, effect = write(item, locale, rng)
            if text in written:
                continue
            written.add(text)
            owner.append(i)
            texts.append(text)
            effects.append(effect)
    index, effect = np.array(owner), np.array(effects)
    brand = {name: 0.3 * rng.standard_normal() for name in values["brand"]}
    appeal = np.array([brand[item.fields["brand"][0]] for item in items]) + 0.4 * rng.standard_normal(n_items)
    p = 1 / (1 + np.exp(-(-3.2 + appeal[index] + effect)))
    promo = np.array([any(text.startswith(word) for word in PROMO[locale]) for text in texts])
    q = np.where(promo, 0.06, 0.15)
    shown = rng.poisson(impressions, len(texts)).astype(np.float64) + 1
    clicks = rng.binomial(shown.astype(int), p).astype(np.float64)
    conversions = rng.binomial(clicks.astype(int), q).astype(np.float64)
    arms = Arms(
        items=tuple(items),
        item_index=index.astype(np.int64),
        title=np.array(texts, dtype=object),
        impressions=shown,
        clicks=clicks,
        exposure=shown,
        propensity=np.full(len(texts), 1.0 / titles),
        propensity_logged=True,
        conversions=conversions,
        matured_clicks=clicks,
    )
    return Shop(arms, effect, p, q, locale)


def write(item: Item, locale: str, rng: np.random.Generator) -> tuple[str, float]:
    """A title and its true effect."""
    category = VALUES[locale]["category"].index(item.fields["category"][0])
    chosen = [str(name) for name in rng.permutation(FIELDS)[: rng.integers(1, len(FIELDS) + 1)]]
    parts = [item.fields[name][0] for name in chosen]
    effect = sum(TASTE[category][name] * float(np.exp(-i / DECAY * 2)) for i, name in enumerate(chosen))
    if rng.random() < 0.3:
        parts.insert(0, str(rng.choice(PROMO[locale])))
        effect += PROMO_EFFECT
    if rng.random() < 0.08:
        others = [color for color in VALUES[locale]["color"] if color != item.fields["color"][0]]
        parts.append(str(rng.choice(others)))
        effect += WRONG_CLAIM
    parts.append(item.fields["category"][0])
    return words_of(locale, parts), effect


def within(item: IntArray, values: FloatArray) -> FloatArray:
    """Values less their item's mean."""
    count = np.maximum(np.bincount(item), 1)
    return values - (np.bincount(item, values) / count)[item]


def correlation(item: IntArray, a: FloatArray, b: FloatArray) -> float:
    """Correlation within items."""
    return float(np.corrcoef(within(item, a), within(item, b))[0, 1])
