"""Splits items into train, judge and test, so that no title text sits on two sides.

Items that share a title (the same text after cleaning) belong together, and so do items tied by a chain of shared
titles: each such group goes to one side as a whole.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..arms import Arms
from ..arrays import FloatArray, IntArray
from ..errors import SplitError
from ..saved import AGAIN, SavedError, damaged, parse_json, read_bytes
from ..text import same_text_key


@dataclass(frozen=True)
class Splits:
    """Item ids of each side, sorted; every item is on exactly one side.

    Parameters
    ----------
    train
        Items of the reward model and of PPO's prompts.
    judge
        Items of the judge, the model that evaluates.
    test
        Items the policy is evaluated on.
    """

    train: tuple[str, ...]
    judge: tuple[str, ...]
    test: tuple[str, ...]

    def to_json(self) -> str:
        """One JSON object as text; `from_json` reads it back."""
        sides = {"train": self.train, "judge": self.judge, "test": self.test}
        return json.dumps(sides, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str | Path = "The file of splits") -> "Splits":
        """Splits written by `to_json`.

        Parameters
        ----------
        text
            The object.
        where
            The file it was read from, for messages.

        Raises
        ------
        SplitError
            If the text is no such object, or an item is on two sides.
        """
        try:
            data = parse_json(text, where, dict[str, list[str]])
            splits = cls(*(tuple(data[side]) for side in ("train", "judge", "test")))
        except SavedError as error:
            raise SplitError(str(error)) from error
        except KeyError as error:
            raise SplitError(damaged(where, f"no {error}", AGAIN)) from error
        ids = splits.train + splits.judge + splits.test
        if len(set(ids)) < len(ids):
            raise SplitError(damaged(where, "an item is on two sides", AGAIN))
        if not splits.train:
            raise SplitError(damaged(where, "no item trains", AGAIN))
        return splits

    @classmethod
    def read(cls, path: Path) -> "Splits":
        """Splits of a run's file; errors as in `from_json`."""
        return cls.from_json(read_bytes(path), path)


def split_items(
    arms: Arms, *, judge_share: float = 0.2, test_share: float = 0.2, seed: int, time_split: bool = False
) -> Splits:
    """Split the items of ``arms``.

    Parameters
    ----------
    arms
        Aggregated logs.
    judge_share, test_share
        Share of the items on each side, in [0, 1); 0 leaves the side empty; the rest is train.
    seed
        Seed of the assignment.
    time_split
        Test takes the groups of items that were first seen last (a group is as old as its oldest item), as an
        evaluation on tomorrow's items; judge and train share the older ones at random.

    Returns
    -------
    Splits
        Each side within a few items of its share, unless a large group of items shares titles; then it may be short
        of its share by at most half.

    Raises
    ------
    SplitError
        If a share is out of range, items are too few, times are missing, or shared titles tie too many items
        together: a side would get less than half of its share.
    """
    _check_shares(judge_share, test_share)
    group = title_groups(arms)
    size = np.bincount(group, minlength=int(group.max(initial=-1)) + 1)
    wanted = {"judge": _wanted(judge_share, len(group)), "test": _wanted(test_share, len(group))}
    _check_room(arms, group, size, wanted)
    side = assign_groups(arms, wanted, seed=seed, time_split=time_split)
    _check_sides(arms, group, size, side, wanted)
    ids = np.array([item.item_id for item in arms.items], dtype=object)
    train, judge, test = (tuple(sorted(ids[side == number])) for number in range(3))
    return Splits(train, judge, test)


def assign_groups(arms: Arms, wanted: dict[str, int], *, seed: int, time_split: bool) -> IntArray:
    """Side of each item: 0 train, 1 judge, 2 test; items tied by shared titles get the same one, shape (n_items,).

    Parameters
    ----------
    arms
        Arms of the items.
    wanted
        Number of items that judge and test should get at most.
    seed, time_split
        As in `split_items`.
    """
    group = title_groups(arms)
    size = np.bincount(group, minlength=int(group.max(initial=-1)) + 1)
    order = np.random.default_rng(seed).permutation(len(size))
    side = np.zeros(len(size), dtype=np.int64)
    if time_split:
        newest = order[np.argsort(-_first_seen(arms, group)[order], kind="stable")]
        _take(side, 2, wanted["test"], newest, size)
    else:
        _take(side, 2, wanted["test"], order, size)
    _take(side, 1, wanted["judge"], order, size)
    return side[group]


def title_groups(arms: Arms) -> IntArray:
    """Group of each item: items tied by chains of shared title texts have one number, shape (n_items,)."""
    return groups_by_title(len(arms.items), arms.item_index, list(arms.title))


def groups_by_title(n_items: int, item_index: IntArray, titles: Sequence[str]) -> IntArray:
    """Group items as `title_groups`, by the titles (n,) of the items ``item_index`` (n,)."""
    keys: dict[str, int] = {}
    text = np.array([keys.setdefault(same_text_key(title), len(keys)) for title in titles], dtype=np.int64)
    n = n_items + len(keys)
    edges = coo_matrix((np.ones(len(text)), (item_index, n_items + text)), shape=(n, n))
    labels = connected_components(edges, directed=False)[1][:n_items]
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def _check_shares(judge_share: float, test_share: float) -> None:
    for name, share in (("judge", judge_share), ("test", test_share)):
        if not (math.isfinite(share) and 0 <= share < 1):
            raise SplitError(f"--{name}-share must be in [0, 1). Got {share} instead.")
    if judge_share + test_share >= 1:
        raise SplitError(
            f"--judge-share and --test-share must leave items to train on: their sum must be below 1. "
            f"Got {judge_share} + {test_share}."
        )


def _wanted(share: float, n_items: int) -> int:
    return max(1, round(share * n_items)) if share > 0 else 0


def _check_room(arms: Arms, group: IntArray, size: IntArray, wanted: dict[str, int]) -> None:
    sides = 1 + sum(n > 0 for n in wanted.values())
    if len(group) < sides:
        raise SplitError(
            f"{len(group)} item{'s' * (len(group) != 1)} cannot be split into {sides} sides. Log more items, "
            "or set --judge-share 0 --test-share 0 (offline-eval will then refuse)."
        )
    if len(size) < sides:
        raise SplitError(_tied(arms, group, size))


def _check_sides(arms: Arms, group: IntArray, size: IntArray, side: IntArray, wanted: dict[str, int]) -> None:
    for number, name in ((1, "judge"), (2, "test")):
        if 2 * int(np.count_nonzero(side == number)) < wanted[name]:
            raise SplitError(_tied(arms, group, size))
    if not np.any(side == 0):
        raise SplitError(_tied(arms, group, size))


def _take(side: IntArray, number: int, wanted: int, order: IntArray, size: IntArray) -> None:
    """Give free groups to a side in this order, skipping those that would overshoot; at least one group is left."""
    room = wanted
    for g in order:
        if room <= 0 or np.count_nonzero(side == 0) <= 1:
            return
        if side[g] == 0 and size[g] <= room:
            side[g] = number
            room -= int(size[g])


def _first_seen(arms: Arms, group: IntArray) -> FloatArray:
    if arms.first_seen is None:
        raise SplitError(
            "A split by time needs a timestamp in every row. Map one with --columns timestamp=COLUMN, "
            "or split without time."
        )
    first = np.full(int(group.max(initial=-1)) + 1, np.inf)
    np.minimum.at(first, group[arms.item_index], arms.first_seen)
    return first


def _tied(arms: Arms, group: IntArray, size: IntArray) -> str:
    """Advice for shared titles that tie too many items together."""
    largest = int(np.argmax(size))
    used: Counter[str] = Counter()
    for item, title in zip(arms.item_index, arms.title, strict=True):
        if group[item] == largest:
            used[title] += 1
    title, count = used.most_common(1)[0]
    return (
        f"{int(size[largest]):,} of {len(group):,} items are tied together by shared titles, too many for the sides "
        f"asked for (one title text never sits on two sides). The most shared title, {title[:60]!r}, belongs to "
        f"{count:,} of them. Leave it out with exclude: {{title: ...}}, or lower --judge-share and --test-share."
    )
