"""A shop whose click model is known and is not that of `envs`: what worlds of confounded logs are made of.

    logit CTR(item, title, context) = level(item) + effect(item, title) + context

with effect = the sum of the title's two phrases (each with a part of its own in every category), of its promo phrase
where it has one, and of what only this title has. A title names the item's brand, model, material, colour and kind in
words that do not matter. English and Chinese shops in turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

LEVEL, LEVEL_STD = -3.0, 0.5
# A judge learns the parts of phrases within a category slowly, so strong policies are told with shrunken lifts.
PHRASE_STD, INTERACTION_STD, TITLE_STD = 0.13, 0.08, 0.05
CONVERSION_LEVEL = -2.2

# No phrase promises, praises beyond compare or states a fact: no rule about wording may decide a verdict here.
WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "category": ("Bags", "Shoes", "Lighting", "Kitchen", "Knitwear"),
        "brand": ("Orlando Vey", "Kestrel", "Maison Tull", "Norrland", "Pepperwood", "Ivo & Sons", "Halden", "Brisa"),
        "material": ("Cotton", "Linen", "Leather", "Bamboo", "Steel", "Wool"),
        "colour": ("Black", "Sand", "Navy", "Olive", "Rust", "Ivory", "Plum", "Teal"),
        "syllable": ("lu", "me", "ra", "ta", "vo", "ni", "ko", "sel", "dar", "fin", "mo", "ba", "ri", "ul", "pe", "xi"),
        "phrase": (
            "for Daily Use", "Clean Lines", "Easy Care", "Light Feel", "Travel Friendly", "Soft Touch", "Quiet Design",
            "Weekend Ready", "Compact Shape", "Calm Mood", "Made with Patience", "Goes with Everything",
        ),
        "promo": ("Staff Pick", "Talk of the Town"),
    },
    "zh": {
        "category": ("箱包", "鞋靴", "灯具", "厨具", "针织"),
        "brand": ("欧兰朵", "茶隼", "美宿", "北境", "椒木", "艾沃", "哈登", "微风里"),
        "material": ("棉布", "亚麻", "牛皮", "竹木", "钢制", "羊毛"),
        "colour": ("黑色", "沙色", "藏青", "橄榄绿", "铁锈红", "象牙白", "梅紫", "青绿"),
        "syllable": ("云", "岚", "石", "溪", "禾", "柚", "松", "鹿", "月", "棠", "屿", "舟", "霁", "苔", "野", "泊"),
        "phrase": (
            "日常百搭", "线条利落", "打理方便", "轻盈手感", "出行好搭档", "触感柔软", "低调设计", "周末休闲",
            "小巧造型", "安静氛围", "慢工细作", "怎么搭都行",
        ),
        "promo": ("店员心水", "街头热议"),
    },
}  # fmt: skip
NOUNS = {
    "en": (("Tote", "Backpack"), ("Loafer", "Sneaker"), ("Lamp", "Lantern"), ("Pan", "Bowl"), ("Sweater", "Scarf")),
    "zh": (("托特包", "双肩包"), ("乐福鞋", "运动鞋"), ("台灯", "提灯"), ("煎锅", "汤碗"), ("毛衣", "围巾")),
}
TEMPLATES = {
    "en": (
        "{brand} {model} {material} {noun} in {colour}, {first}, {second}",
        "{first}: {brand} {model} {noun}, {colour} {material}, {second}",
        "{colour} {material} {noun} by {brand}, {model}, {second}, {first}",
    ),
    "zh": (
        "{brand}{model}{material}{noun} {colour} {first} {second}",
        "{first} {brand}{model}{noun} {colour}{material} {second}",
        "{colour}{material}{noun} {brand}{model} {second} {first}",
    ),
}
WITH_PROMO = {"en": ("{title} - {promo}", "{promo}: {title}"), "zh": ("{title} {promo}", "{promo} {title}")}
PAIRS = np.array(list(combinations(range(12), 2)))  # the two phrases of a title, shape (66, 2)
SLOTS = 4  # logged titles of an item: the first two have a promo phrase
PROMO_SLOTS = 2


@dataclass(frozen=True)
class Taste:
    """Taste of the shoppers for titles.

    Parameters
    ----------
    phrases
        True if phrases, and properties of a single title, matter at all.
    promo
        Effect of a promo phrase on logit CTR in the first category, and in the others.
    promo_conversion
        Its effect on logit P(conversion | click).
    first_share
        Share of the traffic that the first category's fifth of the items gets; None: as items get it everywhere.
    """

    phrases: bool = True
    promo: tuple[float, float] = (-0.08, -0.08)
    promo_conversion: float = 0.0
    first_share: float | None = None


class Shop:
    """Items, their logged titles, and the click model.

    Parameters
    ----------
    taste
        What shoppers make of titles.
    locale
        "en" or "zh".
    n_items
        Items; their ids are sku-0, sku-1 ...
    per_title
        Impressions of a logged title, in the mean.
    rng
        Source of everything random.

    Attributes
    ----------
    category
        Shape (n_items,).
    traffic
        Impressions of each item that are expected, shape (n_items,).
    level
        Logit CTR of each item, shape (n_items,).
    pair
        Row of `PAIRS` of each logged title, shape (n_items, 4).
    effect
        Effect of a title with each pair of phrases, without and with a promo phrase, shape (2, n_items, 66).
    """

    def __init__(self, taste: Taste, locale: str, n_items: int, per_title: float, rng: np.random.Generator) -> None:
        self.taste, self.locale, self.words = taste, locale, WORDS[locale]
        self.category: IntArray = rng.permutation(np.arange(n_items) % len(self.words["category"]))
        self.level: FloatArray = LEVEL + LEVEL_STD * rng.standard_normal(n_items)
        self.traffic = self._traffic(SLOTS * per_title, rng)
        self.fields = self._fields(rng)
        self.pair = np.array([rng.permutation(len(PAIRS))[:SLOTS] for _ in range(n_items)])
        self.known, own = self._effects(rng)
        self.effect = self.known + own
        self._style = rng.integers(0, 6, size=(2, n_items, len(PAIRS)))
        self.titles = [
            [self.title(i, pair, promo=slot < PROMO_SLOTS) for slot, pair in enumerate(pairs)]
            for i, pairs in enumerate(self.pair.tolist())
        ]

    @property
    def ids(self) -> list[str]:
        """The items' ids."""
        return [f"sku-{i}" for i in range(len(self.level))]

    @property
    def logged_effect(self) -> FloatArray:
        """Effect of each logged title, shape (n_items, 4)."""
        items = np.arange(len(self.level))[:, None]
        promo = (np.arange(SLOTS) < PROMO_SLOTS).astype(int)[None, :]
        return np.asarray(self.effect[promo, items, self.pair])

    def conversion_rate(self, promo: bool) -> float:
        """P(conversion | click) of a title with or without a promo phrase."""
        return float(expit(np.array(CONVERSION_LEVEL + self.taste.promo_conversion * promo)))

    def title(self, item: int, pair: int, *, promo: bool) -> str:
        """The text of a title."""
        first, second = (self.words["phrase"][k] for k in PAIRS[pair])
        style = int(self._style[int(promo), item, pair])
        text = TEMPLATES[self.locale][style % 3].format(**self.fields[item], first=first, second=second)
        if not promo:
            return text
        return WITH_PROMO[self.locale][style // 3].format(title=text, promo=self.words["promo"][style % 2])

    def _traffic(self, mean: float, rng: np.random.Generator) -> FloatArray:
        traffic = np.exp(0.5 * rng.standard_normal(len(self.level)))
        first = self.category == 0
        if (share := self.taste.first_share) is not None:
            traffic[first] *= share / traffic[first].sum()
            traffic[~first] *= (1 - share) / traffic[~first].sum()
        return np.asarray(mean * traffic / traffic.mean())

    def _fields(self, rng: np.random.Generator) -> list[dict[str, str]]:
        syllables = self.words["syllable"]
        models = rng.permutation(len(syllables) ** 3)[: len(self.level)]
        out = []
        for category, model in zip(self.category.tolist(), models.tolist(), strict=True):
            name = "".join(syllables[model // len(syllables) ** k % len(syllables)] for k in range(3))
            drawn = {field: str(rng.choice(self.words[field])) for field in ("brand", "material", "colour")}
            noun = str(rng.choice(NOUNS[self.locale][category]))
            out.append({"category": self.words["category"][category], "noun": noun, "model": name.title(), **drawn})
        return out

    def _effects(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Effects of phrases on each title, and effects of the title alone; each shape (2, n_items, 66)."""
        n = len(self.words["phrase"])
        quantiles = np.sort(rng.standard_normal((4000, n)), axis=1).mean(axis=0)  # every shop has the same spread
        main = PHRASE_STD * rng.permutation(quantiles)
        apart = INTERACTION_STD * rng.standard_normal((len(self.words["category"]), n))
        phrase = (main + apart)[self.category]  # shape (n_items, 12)
        effect = phrase[:, PAIRS].sum(axis=2)
        own = TITLE_STD * rng.standard_normal((2, *effect.shape))
        if not self.taste.phrases:
            effect, own = 0 * effect, 0 * own
        promo = np.where(self.category == 0, *self.taste.promo)
        return np.stack([effect, effect + promo[:, None]]), own


def expit(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-x)))
