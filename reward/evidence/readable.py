"""Readable effects: what a property of a title changes about its clicks, other listed properties being equal.

The whole title effect (linear model and trees) of logged titles is regressed, within items, on properties a person can
check ("a number in the title", "names the color"). Every member of the ensemble gives coefficients of its own, whose
spread is the interval. These are associations in the logs: causes only where titles were assigned at random.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..arms import Arms
from ..arrays import BoolArray, FloatArray, IntArray
from ..features.mentions import MentionScanner
from ..features.phrases import units
from ..features.transformer import FeatureBlock, TitleFeatures
from ..items import Item
from ..model.effect import predict_effect
from ..model.outcome import Outcome

MAX_TITLES = 6000  # titles the regression rests on at most: whole items, in their order
MAX_WORDS = 15
_LEAST_TITLES = 20  # titles with a property, and without it, in items that have both
_POOLED = 4
_SAME = 0.97  # of two properties that go together more closely than this the first is listed
_NEVER = 199.0  # places beyond are those of mentions that a title does not make
_MARKS = ("comma", "exclamation", "question", "colon", "dash", "bar", "bracket", "quote", "currency", "symbol")


@dataclass(frozen=True)
class Effect:
    """One readable effect.

    Parameters
    ----------
    property
        In words.
    change, low, high
        Relative change of P(click) with its 95% interval over the ensemble; the latter None with a single member.
    share
        Share of the titles that have the property.
    weight
        Standard deviation between an item's titles that it accounts for, in log-odds: what to sort by.
    """

    property: str
    change: float
    low: float | None
    high: float | None
    share: float
    weight: float


@dataclass(frozen=True)
class ReadableEffects:
    """Effects by falling weight, and the share of the title effect's variance within items that they account for."""

    effects: tuple[Effect, ...]
    explained: float


def readable_effects(
    outcome: Outcome, arms: Arms, base_rate: float, *, threads: int, most: int = 20
) -> ReadableEffects:
    """Effects of the properties that titles of one item differ in.

    Parameters
    ----------
    outcome
        The model of clicks.
    arms
        Logged titles; those of held-out items are as good as any.
    base_rate
        Clicks per impression at which log-odds become a relative change.
    most
        Effects listed at most.
    """
    rows = some_items(arms)
    index = arms.item_index[rows]
    titles = [str(title) for title in arms.title[rows]]
    items = [arms.items[i] for i in index]
    block = outcome.basis.features.transform(items, titles)
    center, each = predict_effect(outcome.basis, outcome.members, block, threads=threads)
    outside = outcome.pace * outcome.logged_range.excess(block.dense)
    effects = outcome.slope * np.column_stack([center, each]) - outside[:, None]
    has = properties(outcome.basis.features, block, items, titles)
    names, coefficients, columns, explained = surrogate(has, effects, index)
    half = _half_widths(coefficients[:, 1:], columns, outcome.spread.scale)
    found = []
    for k, name in enumerate(names):
        value, reach = float(coefficients[k, 0]), None if half is None else float(half[k])
        found.append(
            Effect(
                name,
                relative_change(value, base_rate),
                None if reach is None else relative_change(value - reach, base_rate),
                None if reach is None else relative_change(value + reach, base_rate),
                float(has[name].mean()),
                abs(value) * float(np.sqrt(np.mean(columns[:, k] ** 2))),
            )
        )
    found.sort(key=lambda effect: -effect.weight)
    return ReadableEffects(tuple(found[:most]), explained)


def surrogate(
    has: dict[str, BoolArray], effects: FloatArray, item: IntArray
) -> tuple[list[str], FloatArray, FloatArray, float]:
    """Least squares of effects (n, k) on properties, within items.

    Returns
    -------
    Names of the properties used (P), coefficients (P, k), their columns less the item's mean (n, P), and the share of
    the first effect's variance within items that they account for.
    """
    _, index = np.unique(item, return_inverse=True)
    y = _within(effects, index)
    names: list[str] = []
    kept: list[FloatArray] = []
    for name, values in has.items():
        x = _within(values[:, None].astype(np.float64), index)[:, 0]
        moving = x != 0
        if min(np.sum(values & moving), np.sum(~values & moving)) < _LEAST_TITLES:
            continue
        norm = float(np.linalg.norm(x))
        if any(abs(float(x @ other)) > _SAME * norm * float(np.linalg.norm(other)) for other in kept):
            continue
        names.append(name)
        kept.append(x)
    if not names:
        return [], np.zeros((0, effects.shape[1])), np.zeros((len(index), 0)), 0.0
    matrix = np.column_stack(kept)
    gram = matrix.T @ matrix
    gram += np.diag(1e-3 * np.diag(gram))
    coefficients: FloatArray = np.linalg.solve(gram, matrix.T @ y).astype(np.float64)
    total = float(np.sum(y[:, 0] ** 2))
    left = float(np.sum((y[:, 0] - matrix @ coefficients[:, 0]) ** 2))
    return names, coefficients, matrix, 1.0 - left / total if total > 0 else 0.0


def _half_widths(each: FloatArray, columns: FloatArray, scale: float) -> FloatArray | None:
    """Half of each coefficient's 95% interval, shape (P,), from its spread over the members; None for one member.

    A handful of members tells a spread badly, so it is drawn to that of all properties, which counts as much as
    `_POOLED` members more (in units in which a rarer property is as sure as a common one).
    """
    k = each.shape[1]
    if k < 2:
        return None
    unit = np.sqrt(np.mean(columns**2, axis=0))
    own = each.var(axis=1, ddof=1) * unit**2
    freedom = k - 1 + _POOLED
    pooled = ((k - 1) * own + _POOLED * own.mean()) / freedom if len(own) else own
    half: FloatArray = float(stats.t.ppf(0.975, freedom)) * scale * np.sqrt(pooled) / np.maximum(unit, 1e-12)
    return half


def properties(
    features: TitleFeatures, block: FeatureBlock, items: Sequence[Item], titles: Sequence[str]
) -> dict[str, BoolArray]:
    """Properties of each title, shape (n,) each: True where the title has them."""
    column = {name: block.dense[:, j] for j, name in enumerate(features.names)}
    length = column["length: characters"]
    short, long = (float(np.quantile(length, q)) for q in (0.2, 0.8)) if len(length) else (0.0, 0.0)
    out = {
        "a claim the item does not support": column["count: wrong claims"] > 0,
        "words nothing supports": column["count: words nothing supports"] > 0,
        "a word never seen in titles": column["count: words never seen in titles"] > 0,
        "a word twice": column["count: repeated words"] > 0,
        f"title over {_round(long)} characters": length > _round(long),
        f"title under {_round(short)} characters": length < _round(short),
        "a number in the title": column["count: numbers"] > 0,
        "starts with a number": column["starts with a number"] > 0,
        "words in capitals": column["count: words in capitals"] > 0,
    }
    for slot in features.vocabulary.slots:
        named = column[f"place of {slot}"] < _NEVER  # NaN, a field the item lacks, is not named
        out[f"names the {slot}"] = named
        out[f"names the {slot} first"] = named & (column[f"rank of {slot}"] == 0)
    out |= {f"has a {mark}": column[f"count: {mark}"] > 0 for mark in _MARKS}
    return out | _words(features, items, titles)


def _words(features: TitleFeatures, items: Sequence[Item], titles: Sequence[str]) -> dict[str, BoolArray]:
    """The free words that titles of most items use."""
    slotted = MentionScanner(features.vocabulary).scan(items, titles).slotted
    used = [set(units(words)) & features.vocabulary.generic for words in slotted]
    pairs = {(word, item.item_id) for words, item in zip(used, items, strict=True) for word in words}
    count = Counter(word for word, _ in pairs)
    common = sorted(count, key=lambda word: (-count[word], word))[:MAX_WORDS]
    return {f"says '{word}'": np.array([word in words for words in used], dtype=bool) for word in common}


def some_items(arms: Arms) -> IntArray:
    """Arms of the first items, as many as hold at most `MAX_TITLES` titles."""
    order = np.argsort(arms.item_index, kind="stable")
    if len(order) <= MAX_TITLES:
        return order
    last = arms.item_index[order[MAX_TITLES]]
    chosen = order[arms.item_index[order] < last]
    return chosen if len(chosen) else order[:MAX_TITLES]


def _within(values: FloatArray, index: IntArray) -> FloatArray:
    """Values less their item's mean, shape (n, k)."""
    count = np.bincount(index)
    means = np.column_stack([np.bincount(index, column) / count for column in values.T])
    out: FloatArray = values - means[index]
    return out


def relative_change(log_odds: float, rate: float) -> float:
    """Relative change of a probability whose log-odds move by ``log_odds``."""
    rate = min(max(rate, 1e-9), 1 - 1e-9)
    odds = rate / (1 - rate) * float(np.exp(np.clip(log_odds, -30, 30)))
    return odds / (1 + odds) / rate - 1


def _round(length: float) -> int:
    """A round number of characters."""
    step = 10 if length >= 40 else 5 if length >= 15 else 1
    return max(step * round(length / step), 1)
