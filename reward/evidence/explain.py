"""Explanation of a score: the title against those its item was logged with, in readable words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..arrays import BoolArray, Float32Array, FloatArray
from ..features.mentions import COUNTS, MentionScanner
from ..features.ngrams import character_grams
from ..features.phrases import MAX_TITLE_CHARACTERS, is_cjk_word, joined
from ..items import Item
from ..model.reward_model import RewardModel, RewardPrediction
from ..plain import JsonObject, Plain
from ..text import words
from .contributions import OUTSIDE, contributions

SUPPORTED = 0.5
"""A title with less support than this is unlike anything logged."""
_LEAST_CHANGE = 0.001  # relative; smaller contributions are not worth a line
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class TopicChange:
    """Change in P(click) due to one topic, relative to the titles compared with; 95% interval over the ensemble."""

    topic: str
    change: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Neighbour:
    """A logged title of the item: how alike (share of character n-grams in common), and its counts where known."""

    title: str
    similarity: float
    impressions: float
    clicks: float


@dataclass(frozen=True)
class Outside:
    """A feature in which the title lies beyond the logged titles: its value and their range."""

    feature: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Explanation(Plain):
    """One title explained.

    Parameters
    ----------
    title, item_id, compared_with
        The title, its item, and what the parts are relative to.
    p_click, low, high
        Prediction with its 95% interval; ``p_conversion`` is None without conversions.
    reward, reward_std
        Expected value of an impression.
    change
        P(click) relative to what it is compared with, the item's own appeal being equal.
    parts
        Contributions of the topics, largest first; together they make ``change``.
    nearest
        The item's logged titles most like this one.
    support
        1 inside the range of logged titles, falling outside; below `SUPPORTED` it is out of distribution.
    outside
        The features that put it outside.
    unsupported, unknown
        Words that nothing of the item states, and words that no logged title holds.
    known_item
        True if the item has logs of its own in the model.
    """

    title: str
    item_id: str
    compared_with: str
    p_click: float
    low: float
    high: float
    p_conversion: float | None
    reward: float
    reward_std: float
    change: float
    parts: tuple[TopicChange, ...]
    nearest: tuple[Neighbour, ...]
    support: float
    outside: tuple[Outside, ...]
    unsupported: tuple[str, ...]
    unknown: tuple[str, ...]
    known_item: bool

    @property
    def out_of_distribution(self) -> bool:
        """True if the title is unlike anything logged."""
        return self.support < SUPPORTED

    def to_dict(self) -> JsonObject:
        """Plain JSON types."""
        return {**super().to_dict(), "out_of_distribution": self.out_of_distribution}


@dataclass(frozen=True)
class Logged:
    """Logged titles of an item with their counts, each of length n."""

    titles: Sequence[str] = ()
    impressions: Sequence[float] = ()
    clicks: Sequence[float] = ()


def explain(model: RewardModel, item: Item, title: str, logged: Logged | None = None) -> Explanation:
    """Explain the prediction of one title.

    Parameters
    ----------
    model
        The reward.
    item, title
        The pair.
    logged
        The item's logged titles; the parts are relative to their average by impressions. Without them they are what
        makes the title effect, which is 0 for the average logged title of all items.
    """
    logged = logged or Logged()
    pairs = [title, *logged.titles]
    block = model.block([item] * len(pairs), pairs)
    outcome = model.click
    predicted = model.predict([item], [title])
    click = outcome.predict([item], model.block([item], [title]), threads=1)
    found = contributions(outcome, block, threads=1)
    if logged.titles:
        weight = np.asarray(logged.impressions, dtype=np.float64)
        weight = weight / weight.sum() if weight.sum() > 0 else np.full(len(weight), 1 / len(weight))
        center = found.center[0] - weight @ found.center[1:]
        each = found.members[0] - np.einsum("n,ngk->gk", weight, found.members[1:])
        compared_with = f"the item's {len(logged.titles)} logged titles"
    else:
        center, each = found.center[0], found.members[0]
        compared_with = "the average logged title"
    logit = float(np.log(click.probability[0] / (1 - click.probability[0])))
    reach = _Z95 * float(click.logit_std[0])
    unsupported, unknown = _words(model, item, title)
    return Explanation(
        title=title,
        item_id=item.item_id,
        compared_with=compared_with,
        p_click=float(click.probability[0]),
        low=_sigmoid(logit - reach),
        high=_sigmoid(logit + reach),
        p_conversion=_first(predicted),
        reward=float(predicted.reward[0]),
        reward_std=float(predicted.reward_std[0]),
        change=_relative(float(center.sum() + (0.0 if logged.titles else found.constant)), logit),
        parts=_parts(found.topics, center, each, outcome.spread.scale, logit),
        nearest=_nearest(title, logged),
        support=float(model.support([item], [title])[0]),
        outside=_outside(model, block.dense[:1]),
        unsupported=unsupported,
        unknown=unknown,
        known_item=item.item_id in outcome.known,
    )


def _parts(
    topics: Sequence[str], center: FloatArray, each: FloatArray, scale: float, logit: float
) -> tuple[TopicChange, ...]:
    k = each.shape[1]
    reach = float(stats.t.ppf(0.975, k - 1)) * scale * each.std(axis=1, ddof=1) if k > 1 else None
    out = []
    for g, topic in enumerate(topics):
        change = _relative(float(center[g]), logit)
        if abs(change) < _LEAST_CHANGE:
            continue
        if reach is None or topic == OUTSIDE:  # the penalty outside the range is a rule, not an estimate
            out.append(TopicChange(topic, change, None, None))
        else:
            low, high = (_relative(float(center[g] + sign * reach[g]), logit) for sign in (-1, 1))
            out.append(TopicChange(topic, change, low, high))
    return tuple(sorted(out, key=lambda part: -abs(np.log1p(part.change))))


def _nearest(title: str, logged: Logged, most: int = 3) -> tuple[Neighbour, ...]:
    """Logged titles by the Dice coefficient of their sets of character n-grams."""
    grams = character_grams([text.casefold() for text in (title, *logged.titles)])
    sets = [set(part.tolist()) for part in np.split(grams.hashes, grams.starts[1:-1])]
    found = [
        Neighbour(text, 2 * len(sets[0] & other) / max(len(sets[0]) + len(other), 1), float(n), float(c))
        for text, other, n, c in zip(logged.titles, sets[1:], logged.impressions, logged.clicks, strict=True)
    ]
    return tuple(sorted(found, key=lambda neighbour: -neighbour.similarity)[:most])


def _outside(model: RewardModel, dense: Float32Array) -> tuple[Outside, ...]:
    logged_range = model.click.logged_range
    values = dense[0, logged_range.columns].astype(np.float64)
    order = np.argsort(-logged_range.each(dense)[0], kind="stable")
    return tuple(
        Outside(
            model.features.names[logged_range.columns[j]],
            float(values[j]),
            float(logged_range.low[j]) if np.isfinite(logged_range.low[j]) else None,
            float(logged_range.high[j]) if np.isfinite(logged_range.high[j]) else None,
        )
        for j in order
        if logged_range.each(dense)[0, j] > 0
    )


def _words(model: RewardModel, item: Item, title: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words without which the title has fewer unstated (never seen) ones, in the title's order.

    A word stands or falls with its neighbours (a value of two words), so each is tried by leaving it out.
    """
    tokens = words(title[:MAX_TITLE_CHARACTERS])
    variants = [joined(tokens), *(joined(tokens[:i] + tokens[i + 1 :]) for i in range(len(tokens)))]
    counts = MentionScanner(model.features.vocabulary).scan([item] * len(variants), variants).counts
    columns = (COUNTS.index(name) for name in ("count: words nothing supports", "count: words never seen in titles"))
    flagged = [counts[1:, column] < counts[0, column] for column in columns]
    return _runs(tokens, flagged[0]), _runs(tokens, flagged[1])


def _runs(tokens: list[str], flagged: BoolArray) -> tuple[str, ...]:
    """The flagged words, each once; Chinese characters that stand side by side in one piece."""
    out: list[str] = []
    before = -2
    for i in np.flatnonzero(flagged).tolist():
        if before == i - 1 and is_cjk_word(tokens[i]) and is_cjk_word(tokens[before]):
            out[-1] += tokens[i]
        else:
            out.append(tokens[i])
        before = i
    return tuple(dict.fromkeys(out))


def _first(predicted: RewardPrediction) -> float | None:
    return None if predicted.p_conversion is None else float(predicted.p_conversion[0])


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + float(np.exp(-x)))


def _relative(log_odds: float, at: float) -> float:
    """Relative change of a probability that ends at log-odds ``at`` after a step of ``log_odds``."""
    log_odds = float(np.clip(log_odds, -30.0, 30.0))
    return _sigmoid(at) / _sigmoid(at - log_odds) - 1.0
