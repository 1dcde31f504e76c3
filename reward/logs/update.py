"""Continual learning: arms of several logs become one, evidence fades with its age, items keep their side.

Logs that are learned one after the other hold different rows; where an (item, title) pair occurs in several, its counts
add up. Each log's arms are kept apart on disk, so that evidence can fade by its own age.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arms import Arms
from ..arrays import FloatArray, IntArray
from ..errors import LogError
from ..items import Item
from ..text import same_text_key
from .splits import Splits, assign_groups, title_groups

SIDES = ("train", "judge", "test")
_DAY = 86400.0
_ADDED = ("impressions", "clicks", "exposure")


def merge_arms(parts: Sequence[Arms]) -> Arms:
    """One table of arms from those of several logs, oldest first.

    Counts of the same (item, title) add up. Of an item's fields the newest log's values hold, and a field that a newer
    log lacks keeps its older value; the current title is the newest log's. Where only some logs count conversions, the
    clicks of the others tell nothing about them (``matured_clicks`` 0); revenue is kept only where all logs have it.
    A logged propensity is the impression-weighted harmonic mean, as within one log; where some log has none, all are
    estimated from traffic shares again. Times are kept only where all logs have them.

    Parameters
    ----------
    parts
        At least one; arms sorted by item id, then title, come out.
    """
    if len(parts) == 1:
        return parts[0]
    items: dict[str, Item] = {}
    for part in parts:
        for item in part.items:
            old = items.get(item.item_id, Item(item.item_id))
            title = item.current_title or old.current_title
            items[item.item_id] = Item(item.item_id, {**old.fields, **item.fields}, title)
    ids = sorted(items)
    rank = {item_id: i for i, item_id in enumerate(ids)}
    pairs = [list(zip(part.item_ids.tolist(), part.title.tolist(), strict=True)) for part in parts]
    keys = sorted({pair for some in pairs for pair in some})
    position = {pair: i for i, pair in enumerate(keys)}
    where = np.array([position[pair] for some in pairs for pair in some], dtype=np.int64)
    n = len(keys)

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(where, weights=values, minlength=n).astype(np.float64)

    def joined(name: str, missing: float | None = None) -> FloatArray | None:
        """Values of all parts in one row; None where no part, or not every part and nothing to put there, has them."""
        found = [getattr(part, name) for part in parts]
        if all(values is None for values in found) or (missing is None and any(values is None for values in found)):
            return None
        return np.concatenate(
            [np.full(len(part), missing) if v is None else v for part, v in zip(parts, found, strict=True)]
        )

    def added(name: str, missing: float | None = None) -> FloatArray | None:
        values = joined(name, missing)
        return None if values is None else total(values)

    counts = {name: total(np.concatenate([getattr(part, name) for part in parts])) for name in _ADDED}
    item_index = np.array([rank[item_id] for item_id, _ in keys], dtype=np.int64)
    logged = all(part.propensity_logged for part in parts)
    shown = np.concatenate([part.impressions for part in parts])
    propensity = np.concatenate([part.propensity for part in parts])
    return Arms(
        items=tuple(items[item_id] for item_id in ids),
        item_index=item_index,
        title=np.array([title for _, title in keys], dtype=object),
        **counts,
        propensity=(
            np.minimum(counts["impressions"] / total(shown / propensity), 1.0)
            if logged
            else traffic_share(item_index, counts["impressions"])
        ),
        propensity_logged=logged,
        conversions=added("conversions", 0.0),
        revenue=added("revenue"),
        matured_clicks=added("matured_clicks", 0.0),
        first_seen=_extreme(joined("first_seen"), where, n, np.minimum),
        last_seen=_extreme(joined("last_seen"), where, n, np.maximum),
    )


def traffic_share(item_index: IntArray, impressions: FloatArray) -> FloatArray:
    """Share of its item's impressions that each arm had, shape (n,)."""
    return np.asarray(impressions / np.maximum(np.bincount(item_index, impressions), 1e-300)[item_index])


def faded(arms: Arms, half_life_days: float, end: float) -> Arms:
    """Arms whose counts are halved for every ``half_life_days`` of their age: effective counts, no observed ones.

    A likelihood raised to a power below 1 (the power prior of Ibrahim and Chen 2000): an impression that is one half
    life old says half as much about today. The rates stay as they were.

    Parameters
    ----------
    arms
        Arms of one log. An arm is taken to be as old as the middle of the time it was seen in.
    half_life_days
        In days, above 0.
    end
        The present, seconds since 1970.

    Raises
    ------
    LogError
        If an arm has no time.
    """
    if arms.first_seen is None or arms.last_seen is None:
        raise LogError(
            "Evidence can only fade by its age where every row of all logs has a timestamp. Map one with --columns "
            "timestamp=COLUMN, or leave out --half-life-days."
        )
    age = np.maximum(end - (arms.first_seen + arms.last_seen) / 2, 0.0) / _DAY
    weight = np.exp2(-age / half_life_days)
    counts = {name: getattr(arms, name) for name in (*_ADDED, "conversions", "revenue", "matured_clicks")}
    return replace(arms, **{name: values * weight for name, values in counts.items() if values is not None})


def overlap(old: Arms, new: Arms) -> tuple[float, float] | None:
    """Begin of ``new`` and end of ``old`` where the former is not the later one; None where times are not known."""
    if old.last_seen is None or new.first_seen is None or not len(old) or not len(new):
        return None
    begin, end = float(new.first_seen.min()), float(old.last_seen.max())
    return (begin, end) if begin <= end else None


@dataclass(frozen=True)
class Extended:
    """Sides of old and new items.

    Parameters
    ----------
    splits
        Every item on one side; old items where they were.
    arms
        The new log's arms without those whose title text sits on another side.
    left_out, impressions_left_out
        Number of these arms, and of their impressions.
    """

    splits: Splits
    arms: Arms
    left_out: int
    impressions_left_out: float


def extend_splits(
    splits: Splits,
    old: Arms,
    new: Arms,
    *,
    judge_share: float,
    test_share: float,
    seed: int,
    time_split: bool = False,
) -> Extended:
    """Give the items of ``new`` a side: known ones keep theirs, the others are drawn as `split_items` draws.

    A new item that shares a title text with items that have a side goes to the one where most of its impressions'
    texts sit. A text that would then sit on two sides stays where it was logged before (a new one: where most of its
    impressions are); the new arms with it on the other sides are left out.

    Parameters
    ----------
    splits
        Sides of the items of ``old``.
    old, new
        Arms so far and of the new log.
    judge_share, test_share, seed, time_split
        As in `split_items`.
    """
    side = {item_id: name for name in SIDES for item_id in getattr(splits, name)}
    known = {*side}
    home = {same_text_key(title): side[i] for i, title in zip(old.item_ids, old.title, strict=True)}
    home = _homes(home, side, new)
    strangers = new.take(np.array([item_id not in side for item_id in new.item_ids], dtype=bool))
    side |= _tied(home, strangers)
    free = strangers.take(np.array([item_id not in side for item_id in strangers.item_ids], dtype=bool))
    if len(free):
        have = [list(side.values()).count(name) for name in SIDES]
        wanted = {
            name: max(0, round(share * (sum(have) + len(free.items))) - have[number])
            for number, name, share in ((1, "judge", judge_share), (2, "test", test_share))
        }
        drawn = assign_groups(free, wanted, seed=seed, time_split=time_split)
        side |= {item.item_id: SIDES[number] for item, number in zip(free.items, drawn.tolist(), strict=True)}
    home = _homes(home, side, new)
    kept = np.array(
        [home[same_text_key(title)] == side[i] for i, title in zip(new.item_ids, new.title, strict=True)], dtype=bool
    )
    left = new.take(kept)
    present = known | {item.item_id for item in left.items}
    sides = (tuple(sorted(i for i in present if side[i] == name)) for name in SIDES)
    return Extended(Splits(*sides), left, int(np.sum(~kept)), float(new.impressions[~kept].sum()))


def _homes(home: Mapping[str, str], side: Mapping[str, str], arms: Arms) -> dict[str, str]:
    """Side of each text: as in ``home``, and for others that of most impressions among the items with a side."""
    pulls: dict[str, dict[str, float]] = {}
    for item_id, title, impressions in zip(arms.item_ids, arms.title, arms.impressions.tolist(), strict=True):
        text = same_text_key(title)
        if text not in home and item_id in side:
            pull = pulls.setdefault(text, {})
            pull[side[item_id]] = pull.get(side[item_id], 0.0) + impressions
    return {**home, **{text: _strongest(pull) for text, pull in pulls.items()}}


def _tied(home: Mapping[str, str], strangers: Arms) -> dict[str, str]:
    """Sides of new items that texts tie to a side, whole groups of items tied to each other at once."""
    if not len(strangers):
        return {}
    group = title_groups(strangers)
    pulls: dict[int, dict[str, float]] = {}
    for i, title in enumerate(strangers.title):
        if (own := home.get(same_text_key(title))) is not None:
            pull = pulls.setdefault(int(group[strangers.item_index[i]]), {})
            pull[own] = pull.get(own, 0.0) + float(strangers.impressions[i])
    return {
        item.item_id: _strongest(pulls[int(number)])
        for item, number in zip(strangers.items, group, strict=True)
        if int(number) in pulls
    }


def _strongest(pull: dict[str, float]) -> str:
    return max(SIDES, key=lambda name: (pull.get(name, -1.0), -SIDES.index(name)))


def _extreme(values: FloatArray | None, where: IntArray, n: int, ufunc: Callable[..., Any]) -> FloatArray | None:
    if values is None:
        return None
    out = np.full(n, np.inf if ufunc is np.minimum else -np.inf)
    ufunc.at(out, where, values)  # type: ignore[attr-defined]
    return out
