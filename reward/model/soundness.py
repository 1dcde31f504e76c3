"""Checks that the parts of a saved model fit together (sizes, places and ranges) before it predicts anything.

An array of the wrong size would fail in the middle of a command, and one of the right size with a place outside of
another array would not fail at all. Every function raises ValueError with what does not fit.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy.typing as npt

from ..features.fields import MAX_SLOTS
from ..features.transformer import TitleFeatures
from ..features.vocabulary import Vocabulary
from ..saved import array, number, within
from .design import Design

Arrays = Mapping[str, npt.NDArray[Any]]

_MOST_MEMBERS = 10_000


def check_features(features: TitleFeatures) -> None:
    """A transformer."""
    _check_vocabulary(features.vocabulary)
    own = {name: getattr(features, name) for name in ("word_idf", "character_idf", "triple_items", "pair_items")}
    for name, kinds in (("word_idf", "f"), ("character_idf", "f"), ("triple_items", "u"), ("pair_items", "u")):
        if not len(array(own, name, kinds, None)):
            raise ValueError(f"the array {name!r} is empty")
    if features.meaning is not None:
        meaning = features.meaning
        array({"meaning.center": meaning.center}, "meaning.center", "f", meaning.encoder.width)
        for k, (part, directions) in enumerate(zip(meaning.encoder.parts, meaning.directions, strict=True)):
            name = f"meaning.directions.{k}"
            array({name: directions}, name, "f", part.width, None)


def check_design(design: Design, features: TitleFeatures) -> None:
    """The columns of a linear model over these features."""
    vocabulary = features.vocabulary
    sizes = [len(values) for values in vocabulary.categories.values()]
    _place(design.category, "category", max(len(sizes), 1))
    of_category = {1, sizes[design.category]} if sizes else {1}
    kinds = {"any": 1, "slot": len(vocabulary.slots) + 1, "value": len(vocabulary.values)}
    for term in design.terms:
        _place(term.feature, "a term's feature", len(features.names))
        _rising(term.edges)
        _one_of(term.n_values, "n_values", of_category)
    for mention in design.mentions:
        _rising(mention.edges)
        _one_of(mention.n_kinds, "n_kinds", {kinds[mention.by]})
        _one_of(mention.n_values, "n_values", of_category)


def check_guard(arrays: Arrays, features: TitleFeatures) -> None:
    """The range of the logged titles (`reward.features.support.Support`)."""
    columns = array(arrays, "guard.columns", "iu", None)
    within(columns, "guard.columns", 0, len(features.names))
    for name in ("guard.low", "guard.high", "guard.scale"):
        array(arrays, name, "f", len(columns))
    within(arrays["guard.high"], "guard.high", -math.inf, math.inf)
    if len(columns) and not arrays["guard.scale"].min() > 0:
        raise ValueError("the array 'guard.scale' is not positive")


def check_outcome(meta: Mapping[str, Any], arrays: Arrays, design: Design, features: TitleFeatures) -> int:
    """One outcome of a reward model; returns the number of columns of its linear model."""
    width = design.width + len(features.word_idf) + len(features.character_idf) + n_meaning(features)
    array(arrays, "coefficients", "f", width)
    array(arrays, "intercepts", "f", len(meta["known"]), 3)
    check_guard(arrays, features)
    check_noise(meta["noise"])
    for name, low in (("pace", 0), ("context_std", 0), ("slope", -math.inf), ("level", -math.inf)):
        number(meta[name], name, low)
    for value in meta["spread"]:
        number(value, "spread", 0)
    if not 1 <= meta["members"] <= _MOST_MEMBERS:
        raise ValueError(f"members is {meta['members']}")
    if len(set(meta["known"])) < len(meta["known"]):
        raise ValueError("an item is known twice")
    _check_context(meta["context"], arrays, "context.")
    return width


def check_judge(meta: Mapping[str, Any], arrays: Arrays, design: Design, features: TitleFeatures, apart: int) -> None:
    """Check the parts that a judge has beside its features; ``apart`` of its columns are the wording's by category."""
    kept = array(arrays, "kept", "iu", None)
    within(kept, "kept", 0, max(design.width, 1))
    used = array(arrays, "embedding.used", "iu", None)
    within(used, "embedding.used", 0, len(features.word_idf) + len(features.character_idf))
    directions = array(arrays, "embedding.directions", "f", len(used), None)
    rank = directions.shape[1]
    array(arrays, "embedding.references", "f", None, rank)
    for name in ("embedding.stretch", "embedding.bandwidth"):
        array(arrays, name, "f")
    size = len(kept) + rank + apart + n_meaning(features)
    array(arrays, "mean", "f", size)
    array(arrays, "root", "f", size, size)
    check_guard(arrays, features)
    check_noise(meta["noise"])
    for value in meta["variances"]:
        number(value, "a variance", 0)
    number(meta["pace"], "pace", 0)


def check_noise(noise: Sequence[float]) -> None:
    """Overdispersion and title variance."""
    number(noise[0], "overdispersion", 1e-12)
    number(noise[1], "title variance", 0)


def n_meaning(features: TitleFeatures) -> int:
    """Coordinates of a title under the encoder."""
    return 0 if features.meaning is None else sum(own.shape[1] for own in features.meaning.directions)


def _check_vocabulary(vocabulary: Vocabulary) -> None:
    slots = len(vocabulary.slots)
    if slots > MAX_SLOTS:
        raise ValueError(f"{slots} slots, at most {MAX_SLOTS} are known")
    names = (*vocabulary.slots, *vocabulary.numerics)
    if len(set(vocabulary.slots)) < slots or len(set(names)) > len(names):
        raise ValueError("a slot is there twice")
    for entries in vocabulary.claims.values():
        for _, slot in entries:
            _place(slot, "a claim's slot", slots)
    for slot, words in vocabulary.values:
        _place(slot, "a value's slot", slots + 1)
        if not words:
            raise ValueError("a value without a word")
    for slot in vocabulary.unusual_slots:
        _place(slot, "an unusual slot", slots + 1)


def _check_context(meta: Mapping[str, Any], arrays: Arrays, prefix: str) -> None:
    fields, words = (array(arrays, f"{prefix}{name}", "f", None) for name in ("field_idf", "word_idf"))
    if not len(fields) or not len(words):
        raise ValueError(f"the array '{prefix}field_idf' or '{prefix}word_idf' is empty")
    before = meta.get("before")
    width = len(fields) + len(words) + len(meta["numerics"]) + (before is not None)
    array(arrays, f"{prefix}coefficients", "f", width, 2)
    array(arrays, f"{prefix}intercepts", "f", 2)
    scales = [*meta["numerics"].values(), *([] if before is None else [meta["before_scale"]])]
    for mean, deviation in scales:
        number(mean, "the mean of a number")
        number(deviation, "the deviation of a number", 1e-300)
    if before is not None:
        _check_context(before, arrays, f"{prefix}before_")


def _place(value: int, name: str, size: int) -> None:
    if not 0 <= value < size:
        raise ValueError(f"{name} is {value}, of {size}")


def _one_of(value: int, name: str, known: set[int]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value}, not {' or '.join(map(str, sorted(known)))}")


def _rising(edges: Sequence[float]) -> None:
    if not all(a < b for a, b in pairwise(edges)):
        raise ValueError("edges that do not rise")
