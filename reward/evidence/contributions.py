"""Contributions of a title's parts to its effect: exact for the linear model, SHAP values for the trees.

The columns of the models are gathered into topics a person can read ("length", "the brand", "claims the item does not
support"). The contributions of all topics and a constant add up to the title effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np

from ..arrays import Float32Array, FloatArray, IntArray
from ..features.transformer import NOVELTY, FeatureBlock, TitleFeatures
from ..model.design import Design
from ..model.effect import Basis
from ..model.outcome import Outcome

WORDING, ITEM, OUTSIDE, OTHER_FIELDS = "wording", "the kind of item", "unlike any logged title", "other fields"
_TOPICS = {
    "length": ("length: characters", "length: display width", "count: words", "mean length of a Latin word"),
    "numbers": ("share of digits", "count: numbers", "starts with a number"),
    "capitals": ("share of capitals", "count: words in capitals", "share of capitalised words"),
    "claims the item does not support": (
        "count: words nothing supports",
        "share of words nothing supports",
        "count: wrong claims",
        "count: claims on a field the item lacks",
        "share of words found in the item's text",
    ),
    "words and phrases never seen": NOVELTY,
    "words of any title": ("count: generic words", "share of generic words"),
    "repetition": ("count: repeated words", "share of repeated words", "count: values repeated"),
    "how much of the item it names": (
        "count: values mentioned",
        "fields mentioned",
        "share of the item's fields mentioned",
        "share of words inside mentions",
        "place of the first mention",
    ),
}
_TOPIC_OF = {name: topic for topic, names in _TOPICS.items() for name in names}


@dataclass(frozen=True)
class Contributions:
    """Log-odds that each topic adds to n titles.

    Parameters
    ----------
    topics
        Names, length G.
    center
        Of the model, shape (n, G).
    members
        Of each member of the ensemble, shape (n, G, n_members).
    constant
        Rest of the model's effect, the same for every title.
    """

    topics: tuple[str, ...]
    center: FloatArray
    members: FloatArray
    constant: float


def contributions(outcome: Outcome, block: FeatureBlock, *, threads: int) -> Contributions:
    """Contributions to the title effect of pairs whose features are ``block``.

    Notes
    -----
    The trees see the linear score as one column. Its SHAP value goes to the topics in proportion to the size of what
    they add to that score.
    """
    basis, members = outcome.basis, outcome.members
    topics = topic_names(basis.features)
    place = {topic: k for k, topic in enumerate(topics)}
    coefficients = np.column_stack([basis.coefficients, *(member.coefficients for member in members)])
    linear = _linear(basis, block, coefficients, place)
    table = basis.table(block, basis.linear_scores(block, coefficients[:, :1])[:, 0])
    column_topics = np.array([place[topic] for topic in _column_topics(basis)])
    size = np.abs(linear[:, :, 0])
    size[:, place[WORDING]] += 1e-12  # for a score without any part, as an empty title's
    share = size / size.sum(axis=1, keepdims=True)
    trees, constants = [], []
    for member in members:
        shap = _shap(member.booster, table, threads)
        by_topic = np.zeros((len(block), len(topics)))
        for column, topic in enumerate(column_topics):
            by_topic[:, topic] += shap[:, column]
        by_topic += share * shap[:, [len(column_topics)]]
        trees.append(by_topic)
        constants.append(float(shap[0, -1]) if len(block) else 0.0)
    of_trees = np.stack(trees, axis=2)
    center = outcome.slope * (linear[:, :, 0] + of_trees.mean(axis=2))
    each = outcome.slope * (linear[:, :, 1:] + of_trees)
    outside = -outcome.pace * outcome.logged_range.excess(block.dense)
    center[:, place[OUTSIDE]] += outside
    each[:, place[OUTSIDE]] += outside[:, None]
    return Contributions(topics, center, each, outcome.slope * (float(np.mean(constants)) - basis.level))


def gain_shares(outcome: Outcome) -> dict[str, float]:
    """Share of each topic in LightGBM's gain, over all members; the linear score is "the linear model"."""
    names = [*_column_topics(outcome.basis), "the linear model"]
    total: dict[str, float] = {}
    for member in outcome.members:
        for name, gain in zip(names, member.booster.feature_importance("gain"), strict=True):
            total[name] = total.get(name, 0.0) + float(gain)
    everything = sum(total.values())
    return {name: gain / everything for name, gain in total.items()} if everything > 0 else {}


def topic_names(features: TitleFeatures) -> tuple[str, ...]:
    """All topics of a transformer, each once."""
    slots = [f"the {slot}" for slot in features.vocabulary.slots]
    return tuple(
        dict.fromkeys(
            [*(_dense_topic(n, features) for n in features.names), *slots, OTHER_FIELDS, ITEM, WORDING, OUTSIDE]
        )
    )


def _dense_topic(name: str, features: TitleFeatures) -> str:
    if name in features.vocabulary.numerics:
        return ITEM
    for prefix in ("place of ", "rank of "):
        if name.startswith(prefix) and name.removeprefix(prefix) in features.vocabulary.slots:
            return f"the {name.removeprefix(prefix)}"
    return _TOPIC_OF.get(name, "punctuation and symbols" if name.startswith(("count: ", "ends ")) else "script")


def _column_topics(basis: Basis) -> list[str]:
    """Topic of each column of the trees but the last, the linear score."""
    features = basis.features
    return [_dense_topic(name, features) for name in basis.seen_names] + [ITEM] * len(features.category_names)


def _linear(basis: Basis, block: FeatureBlock, coefficients: Float32Array, place: dict[str, int]) -> FloatArray:
    """Linear score of each topic, shape (n, G, k)."""
    features, design = basis.features, basis.design
    out = np.zeros((len(block), len(place), coefficients.shape[1]))
    offset = 0
    for term in design.terms:
        part = Design((term,), (), design.category).scores(block, coefficients[offset : offset + term.width])
        out[:, place[_dense_topic(features.names[term.feature], features)]] += part
        offset += term.width
    slots = [*(f"the {slot}" for slot in features.vocabulary.slots), OTHER_FIELDS]
    for mention in design.mentions:
        alone = Design((), (mention,), design.category)
        for slot in np.unique(block.slot).tolist():
            part = alone.scores(_only(block, slot), coefficients[offset : offset + mention.width])
            out[:, place[slots[slot]]] += part
        offset += mention.width
    out[:, place[WORDING]] += basis.linear_scores(block, coefficients) - out.sum(axis=1)
    return out


def _only(block: FeatureBlock, slot: int) -> FeatureBlock:
    """The block with the mentions of one slot."""
    kept = block.slot == slot
    return replace(
        block, row=block.row[kept], slot=block.slot[kept], offset=block.offset[kept], value=block.value[kept]
    )


def _shap(booster: lgb.Booster, table: Float32Array, threads: int) -> FloatArray:
    """SHAP values of the trees' columns and, last, their constant: shape (n, n_columns + 1)."""
    if not len(table):
        return np.zeros((0, table.shape[1] + 1))
    found = booster.predict(
        table, pred_contrib=True, num_threads=threads, num_iteration=max(booster.best_iteration, 0) or None
    )
    return np.asarray(found, dtype=np.float64)


def sizes(found: Contributions, item: Sequence[int] | IntArray) -> dict[str, float]:
    """Standard deviation of each topic's contribution between the titles of one item, in log-odds."""
    index = np.asarray(item, dtype=np.int64)
    count = np.maximum(np.bincount(index), 1)
    out = {}
    for k, topic in enumerate(found.topics):
        mean = np.bincount(index, found.center[:, k]) / count
        out[topic] = float(np.sqrt(np.mean((found.center[:, k] - mean[index]) ** 2)))
    return out
