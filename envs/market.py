"""The simulated shop: its items, its logging policy, and the truth about any title a policy may write for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from reward.arrays import FloatArray
from reward.items import Item
from reward.saved import SavedError, damaged, read_json
from reward.seeds import MAX_SEED

from . import shoppers
from .catalog import draw_item, load_locale
from .errors import EnvError, MarketError
from .lexicon import ItemLexicon, Reading, reader
from .logging_policy import MAX_TITLES, MIN_TITLES, propensities
from .seeds import Stream, generator
from .writers import Writer

VERSION = 2  # 2: items have services, and shoppers punish promises that nothing keeps
MAX_ITEMS = 1_000_000
_HOUSE_WIDTH = {"en": 75.0, "zh": 56.0}
_CALIBRATION_ITEMS = 200


@dataclass(frozen=True)
class _MarketFile:
    version: int
    locale: str
    seed: int
    n_items: int


class Market:
    """A shop whose every probability is known.

    Parameters
    ----------
    n_items
        Items in the catalogue. Item ``i`` is the same in a shop of any size.
    locale
        "en" or "zh".
    seed
        Draws items, tastes, habits and logs; another seed is another shop.

    Raises
    ------
    MarketError
        If an argument is out of range.

    Notes
    -----
    `click_probability` is the value at the logs' average position (`position.POSITION_SHARE`): the expectation of
    the clicks an impression gets. The average over logged titles and items is about 3%, that of conversions 5% of
    clicks.
    """

    def __init__(self, n_items: int, locale: str = "en", seed: int = 0) -> None:
        if not 1 <= n_items <= MAX_ITEMS:
            raise MarketError(f"n_items must be between 1 and {MAX_ITEMS:,}. Got {n_items} instead.")
        if not 0 <= seed <= MAX_SEED:
            raise MarketError(f"seed must be between 0 and {MAX_SEED}. Got {seed} instead.")
        self._spec = load_locale(locale)
        self.locale, self.seed = locale, seed
        self._reader = reader(locale)
        self._writer = Writer(self._spec, seed)
        self._taste = shoppers.draw_taste(self._spec, seed)
        self.items: tuple[Item, ...] = tuple(draw_item(self._spec, seed, i) for i in range(n_items))
        self._index = {item.item_id: i for i, item in enumerate(self.items)}
        appeals = [
            shoppers.draw_appeal(self._spec, seed, i, item, self._taste_of(i)) for i, item in enumerate(self.items)
        ]
        self._click_appeal = np.array([appeal.click for appeal in appeals])
        self._conversion_appeal = np.array([appeal.conversion for appeal in appeals])
        self._lexicons: dict[str, ItemLexicon] = {}
        self._policies: dict[str, tuple[tuple[str, float], ...]] = {}
        self._click_base, self._conversion_base = self._calibrate()

    def click_probability(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Chance of a click on an impression of each title at the logs' average position, shape (n,), in (0, 1).

        Raises
        ------
        MarketError
            If an item is not of this market, or the lengths differ.
        """
        return self.click_and_conversion(items, titles)[0]

    def conversion_probability(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Chance that a click on each title ends in a sale, however late, that is not sent back, (n,), in (0, 1).

        Raises
        ------
        MarketError
            If an item is not of this market, or the lengths differ.
        """
        return self.click_and_conversion(items, titles)[1]

    def click_and_conversion(self, items: Sequence[Item], titles: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Both probabilities at once, each (n,): every title is read a single time.

        Raises
        ------
        MarketError
            If an item is not of this market, or the lengths differ.
        """
        index = self._indices(items, titles)
        effects, kept = np.zeros((2, len(index))), np.ones(len(index))
        for row, (i, title) in enumerate(zip(index, titles, strict=True)):
            reading, taste = self._read(i, title), self._taste_of(i)
            effects[:, row] = shoppers.click_effect(reading, taste), shoppers.conversion_effect(reading, taste)
            kept[row] = shoppers.kept_share(reading)
        p_click = shoppers.click_probability(self._click_base + self._click_appeal[index] + effects[0])
        return p_click, expit(self._conversion_base + self._conversion_appeal[index] + effects[1]) * kept

    def true_value(self, item: Item, title: str) -> float:
        """Click probability of one title of one item; any text is answered."""
        return float(self.click_probability([item], [title])[0])

    def unstated_words(self, item: Item, title: str) -> tuple[str, ...]:
        """Words of ``title`` that neither the item's fields nor the locale's generic words hold, casefolded.

        Numbers count as words. Chinese is matched greedily, longest first; what is left over is unstated.
        """
        return self.reading(item, title).unstated

    def broken_promises(self, item: Item, title: str) -> tuple[str, ...]:
        """The promises in ``title`` that the shop does not keep for ``item``."""
        return self.reading(item, title).broken

    def reading(self, item: Item, title: str) -> Reading:
        """Reading of ``title`` as a shopper of ``item`` reads it."""
        return self._read(self._position(item), title)

    def logging_policy(self, item: Item) -> tuple[tuple[str, float], ...]:
        """The logged titles of ``item`` (3 to 8 different ones) with their propensities, which sum to one."""
        return self._policy(self._position(item))

    def human_titles(self, item: Item, n: int, seed: int = 0) -> list[str]:
        """``n`` titles as the shop's sellers might write them (duplicates possible), from a stream of their own."""
        rng = np.random.default_rng([self.seed, seed, self._position(item), n])
        own = self.items[self._position(item)]
        return [self._writer.write(own, rng) for _ in range(n)]

    def save(self, path: Path | str) -> None:
        """Write what `load` needs (a small JSON file), atomically."""
        path = Path(path)
        data = {"version": VERSION, "locale": self.locale, "seed": self.seed, "n_items": len(self.items)}
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(data) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> "Market":
        """The market saved at ``path``: the same items, titles and probabilities.

        Raises
        ------
        MarketError
            If the file is missing, no market file, or of another version.
        """
        try:
            data = read_json(Path(path), _MarketFile, "Run rlopt simulate again.")
        except SavedError as error:
            raise MarketError(str(error)) from error
        version, n_items, seed, locale = data["version"], data["n_items"], data["seed"], data["locale"]
        if version != VERSION:
            raise MarketError(
                f"{path} holds a market of version {version!r}; this rlopt simulates version {VERSION}. "
                "Run rlopt simulate again."
            )
        try:
            return cls(n_items, locale, seed)
        except (EnvError, ValueError) as error:
            raise MarketError(damaged(path, error, "Run rlopt simulate again.")) from error

    def _calibrate(self) -> tuple[float, float]:
        """Base log-odds at which the shop's average logged title has the base rates (200 items stand for all)."""
        clicks, conversions = [], []
        for i in range(_CALIBRATION_ITEMS):
            item = draw_item(self._spec, self.seed, i)
            taste = self._taste[item.fields["category"][0]]
            appeal = shoppers.draw_appeal(self._spec, self.seed, i, item, taste)
            title = self._writer.write(item, generator(self.seed, self.locale, Stream.TITLES, i))
            reading = self._reader.read(self._lexicon_of(item), title)
            clicks.append(appeal.click + shoppers.click_effect(reading, taste))
            sold = appeal.conversion + shoppers.conversion_effect(reading, taste)
            conversions.append(sold + float(np.log(shoppers.kept_share(reading))))
        # log of the mean of exp: rates are averaged, not log-odds
        click_level = float(np.log(np.mean(np.exp(clicks))))
        conversion_level = float(np.log(np.mean(np.exp(conversions))))
        return shoppers.click_base() - click_level, shoppers.conversion_base() - conversion_level

    def _policy(self, index: int) -> tuple[tuple[str, float], ...]:
        item = self.items[index]
        if item.item_id not in self._policies:
            rng = generator(self.seed, self.locale, Stream.POLICY, index)
            titles = self._writer.distinct(item, int(rng.integers(MIN_TITLES, MAX_TITLES + 1)), rng)
            shares = propensities([self._read(index, title) for title in titles], _HOUSE_WIDTH[self.locale], rng)
            self._policies[item.item_id] = tuple(zip(titles, shares.tolist(), strict=True))
        return self._policies[item.item_id]

    def _indices(self, items: Sequence[Item], titles: Sequence[str]) -> npt.NDArray[np.intp]:
        if len(items) != len(titles):
            raise MarketError(f"items and titles must have one length. Got {len(items)} and {len(titles)} instead.")
        return np.array([self._position(item) for item in items], dtype=np.intp)

    def _position(self, item: Item) -> int:
        found = self._index.get(item.item_id)
        if found is None:
            raise MarketError(
                f"item {item.item_id!r} is not of this market ({self.locale}, seed {self.seed}, "
                f"{len(self.items):,} items). Load the .market.json written beside these items."
            )
        return found

    def _heads(self, item: Item) -> tuple[str, ...]:
        return self._spec.by_name[item.fields["category"][0]].heads

    def _lexicon_of(self, item: Item) -> ItemLexicon:
        return ItemLexicon.of(item, self._heads(item), self._spec.kept_promises(item))

    def _read(self, index: int, title: str) -> Reading:
        item = self.items[index]
        lexicon = self._lexicons.get(item.item_id)
        if lexicon is None:
            lexicon = self._lexicons[item.item_id] = self._lexicon_of(item)
        return self._reader.read(lexicon, title)

    def _taste_of(self, index: int) -> shoppers.CategoryTaste:
        return self._taste[self.items[index].fields["category"][0]]
