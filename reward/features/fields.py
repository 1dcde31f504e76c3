"""Selection of the fields that matter for titles: those that titles mention, categories, and numbers."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ..items import Item
from .phrases import contains, spellings

MAX_SLOTS = 24  # fields with features of their own; further short fields share one
MAX_CATEGORIES = 40


def choose_slots(items: Sequence[Item], of_item: Mapping[int, list[list[str]]]) -> tuple[str, ...]:
    """Short-valued fields, ordered by the number of items with a title that mentions them, then by coverage."""
    short: Counter[str] = Counter()
    present: Counter[str] = Counter()
    mentioned: Counter[str] = Counter()
    for index, item in enumerate(items):
        for name, values in item.fields.items():
            sequences = [s for value in values for s in spellings(value)]
            present[name] += 1
            short[name] += bool(sequences)
            mentioned[name] += any(contains(s, title) for s in sequences for title in of_item.get(index, ()))
    enough = max(5, 0.02 * len(items))
    names = [name for name in present if present[name] >= enough and short[name] >= 0.5 * present[name]]
    names = [name for name in names if mentioned[name] >= 3]
    return tuple(sorted(names, key=lambda name: (-mentioned[name], -present[name], name))[:MAX_SLOTS])


def choose_categories(items: Sequence[Item], limit: int = 6) -> dict[str, tuple[str, ...]]:
    """Fields with one value an item and few values in all, fewest values first."""
    values: dict[str, Counter[str]] = defaultdict(Counter)
    multiple: Counter[str] = Counter()
    for item in items:
        for name, found in item.fields.items():
            values[name][found[0]] += 1
            multiple[name] += len(found) > 1
    chosen = {}
    for name, counts in values.items():
        covered = sum(counts.values())
        often = [value for value, count in counts.items() if count >= max(10, 0.01 * len(items))]
        in_often = sum(counts[value] for value in often)
        single = covered >= 0.8 * len(items) and multiple[name] == 0
        if single and 2 <= len(often) <= MAX_CATEGORIES and in_often >= 0.9 * covered:
            chosen[name] = tuple(sorted(often, key=lambda value: (-counts[value], value)))
    order = sorted(chosen, key=lambda name: (-_decides_fields(items, name, chosen[name]), len(chosen[name]), name))
    return {name: chosen[name] for name in order[:limit]}


def _decides_fields(items: Sequence[Item], name: str, values: Sequence[str]) -> float:
    """Measure how far this field decides which other fields an item has and what they say: the mark of a category."""
    groups: dict[str, Counter[str]] = {value: Counter() for value in values}
    size: Counter[str] = Counter()
    for item in items:
        value = item.fields.get(name, ("",))[0]
        if value in groups:
            size[value] += 1
            groups[value].update(
                key for other, found in item.fields.items() if other != name for key in (other, f"{other}={found[0]}")
            )
    total: Counter[str] = Counter()
    for counter in groups.values():
        total.update(counter)
    n = sum(size.values())
    frequent = [key for key, count in total.items() if count >= 0.01 * n]
    between = 0.0
    for key in frequent:
        mean = total[key] / n
        between += sum(size[v] * (groups[v][key] / max(size[v], 1) - mean) ** 2 for v in values) / n
    return round(between, 6)


def choose_numerics(items: Sequence[Item], limit: int = 4) -> tuple[str, ...]:
    """Fields that hold one number for nearly every item that has them."""
    present: Counter[str] = Counter()
    numeric: Counter[str] = Counter()
    distinct: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for name, values in item.fields.items():
            present[name] += 1
            numeric[name] += as_number(values[0]) is not None
            distinct[name].add(values[0])
    names = [
        name
        for name, count in present.items()
        if count >= 0.5 * len(items) and numeric[name] >= 0.9 * count and len(distinct[name]) >= 20
    ]
    return tuple(sorted(names)[:limit])


def as_number(text: str) -> float | None:
    """The finite number that ``text`` spells, None where it spells none."""
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return number if np.isfinite(number) else None
