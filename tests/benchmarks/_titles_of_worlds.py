"""Pools of titles nobody has logged, by how far they are from the logged ones; for the study of the judge.

"small": the shop's own sellers write again. "medium": the values of the item's attributes in any order and number,
with none of the sellers' styles. "large": medium titles moved edit by edit to the extremes of a reward fitted on
other items, every second one to its bottom, as a policy without a KL penalty goes to the top. The others are titles
that no log of the shop can speak for.
"""

from collections.abc import Callable

import numpy as np

from envs.catalog import load_locale
from envs.market import Market
from reward.items import Item
from reward.model.judge import Judge

SHIFTS = ("small", "medium", "large")
BEYOND = ("other item", "gibberish", "stuffed", "other language", "empty or cut")
_NOT_SAID = ("locale", "category", "price")
_ROUNDS, _EDITS = 4, 6
_FOREIGN = {
    "en": ("全新正品 厂家直销 欢迎选购", "夏季新款 时尚百搭 限时优惠", "高品质 耐用 送礼佳品"),
    "zh": ("Brand new genuine item", "Summer style limited offer", "High quality durable gift"),
}


def pool(market: Market, name: str, items: list[Item], size: int, reward: Judge, rng: np.random.Generator) -> list[str]:
    """``size`` titles of each item, adjacent, as the policy ``name`` writes them."""
    if name == "small":
        return [title for item in items for title in market.human_titles(item, size, seed=7)]
    if name == "medium":
        return [_join(market, _values(item, rng)) for item in items for _ in range(size)]
    if name == "large":
        return _climbed(market, [item for item in items for _ in range(size)], reward, rng)
    write = _BEYOND[name]
    return [write(market, item, rng) for item in items for _ in range(size)]


def _said(item: Item) -> list[str]:
    """Values that a title may hold: no codes of services ("Free"), which sellers put in words of their own."""
    services = {service.name for service in load_locale(item.fields["locale"][0]).services}
    return [
        value for name, many in item.fields.items() if name not in _NOT_SAID and name not in services for value in many
    ]


def _values(item: Item, rng: np.random.Generator) -> list[str]:
    values = _said(item)
    count = int(rng.integers(2, len(values) + 1))
    chosen = [values[i] for i in rng.permutation(len(values))[:count]]
    if item.fields["type"][0] not in chosen:  # sellers name the product in 99% of the titles
        chosen[int(rng.integers(count))] = item.fields["type"][0]
    return chosen


def _climbed(market: Market, owners: list[Item], reward: Judge, rng: np.random.Generator) -> list[str]:
    parts = [_values(item, rng) for item in owners]
    wanted = np.where(np.arange(len(owners)) % 2, -1.0, 1.0)
    best = wanted * reward.mean_effect(owners, [_join(market, part) for part in parts])
    for _ in range(_ROUNDS):
        edited = [[_edit(part, item, rng) for _ in range(_EDITS)] for part, item in zip(parts, owners, strict=True)]
        flat = [_join(market, part) for edits in edited for part in edits]
        effect = reward.mean_effect([item for item in owners for _ in range(_EDITS)], flat)
        table = wanted[:, None] * effect.reshape(len(owners), _EDITS)
        for row, choice in enumerate(table.argmax(axis=1)):
            if table[row, choice] > best[row]:
                parts[row], best[row] = edited[row][choice], table[row, choice]
    return [_join(market, part) for part in parts]


def _edit(parts: list[str], item: Item, rng: np.random.Generator) -> list[str]:
    """One value more, one less, or two swapped."""
    parts, kind = list(parts), int(rng.integers(3))
    if kind == 0:
        missing = [value for value in _said(item) if value not in parts]
        if missing:
            parts.insert(int(rng.integers(len(parts) + 1)), missing[rng.integers(len(missing))])
    elif kind == 1 and len(parts) > 1:
        del parts[int(rng.integers(len(parts)))]
    elif len(parts) > 1:
        i, j = rng.permutation(len(parts))[:2]
        parts[i], parts[j] = parts[j], parts[i]
    return parts


def _join(market: Market, parts: list[str]) -> str:
    return (" " if market.locale == "en" else "").join(parts)


def _other_item(market: Market, item: Item, rng: np.random.Generator) -> str:
    while True:
        other = market.items[int(rng.integers(len(market.items)))]
        if other.fields["category"] != item.fields["category"]:
            return market.human_titles(other, 1, seed=int(rng.integers(1 << 30)))[0]


def _gibberish(market: Market, item: Item, rng: np.random.Generator) -> str:
    letters = list(market.human_titles(item, 1, seed=int(rng.integers(1 << 30)))[0])
    return "".join(letters[i] for i in rng.permutation(len(letters)))


def _stuffed(market: Market, item: Item, rng: np.random.Generator) -> str:
    values = _values(item, rng)
    return _join(market, [values[i % len(values)] for i in range(4 * len(values))])


def _other_language(market: Market, _: Item, rng: np.random.Generator) -> str:
    phrases = _FOREIGN[market.locale]
    return phrases[rng.integers(len(phrases))]


def _cut(_: Market, item: Item, rng: np.random.Generator) -> str:
    return "" if rng.random() < 0.3 else item.fields["type"][0][: int(rng.integers(1, 4))]


_BEYOND: dict[str, Callable[[Market, Item, np.random.Generator], str]] = {
    "other item": _other_item,
    "gibberish": _gibberish,
    "stuffed": _stuffed,
    "other language": _other_language,
    "empty or cut": _cut,
}
