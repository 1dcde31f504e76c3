"""Assignment of titles to units: always the same title for a unit and item, with its probability.

The draw is a hash of seed, item and unit, so that no memory is needed, processes agree, and items are drawn apart.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rlopt.assignment_hash import uniform
from rlopt.errors import RloptError

TOLERANCE = 1e-6  # of probabilities that should add up to one


@dataclass(frozen=True)
class Row:
    """A row of a table of titles.

    Parameters
    ----------
    probability
        None where the table has none: then the item, or its arm, has this title alone.
    arm
        Of an A/B plan; None without one.
    """

    item_id: str
    title: str
    probability: float | None = None
    arm: str | None = None


@dataclass(frozen=True)
class Drawn:
    """A title for a unit, with its probability."""

    title: str
    probability: float
    arm: str | None = None


@dataclass(frozen=True)
class _Titles:
    """An item's titles in the order of their texts, whatever that of the table, and their cumulative probabilities."""

    titles: tuple[str, ...]
    probabilities: tuple[float, ...]
    ends: tuple[float, ...]


class Assigner(ABC):
    """Hands out titles.

    Parameters
    ----------
    version
        Version of its inputs.
    """

    version: str
    random = True

    @abstractmethod
    def draw(self, item_id: str, unit: str | None) -> Drawn | None:
        """The title; None where the item has none.

        Raises
        ------
        UnitNeededError
            If it depends on the unit, and none is given.
        """


class UnitNeededError(Exception):
    """A title that depends on the unit was asked for without one."""


class TableAssigner(Assigner):
    """Titles by a table, with probabilities where an item has several.

    Parameters
    ----------
    rows
        The table.
    seed
        Of the draws.
    version
        Of the table.

    Raises
    ------
    RloptError
        If probabilities are missing, out of range, or do not add up to one.
    """

    def __init__(self, rows: Sequence[Row], seed: int, version: str) -> None:
        self._seed, self.version = seed, version
        by_item: dict[str, list[Row]] = {}
        for row in rows:
            by_item.setdefault(row.item_id, []).append(row)
        self._items = {item_id: _checked(item_id, of_item) for item_id, of_item in by_item.items()}
        self.random = any(len(item.titles) > 1 for item in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def draw(self, item_id: str, unit: str | None) -> Drawn | None:
        """The item's title for the unit."""
        item = self._items.get(item_id)
        if item is None:
            return None
        if len(item.titles) == 1:
            return Drawn(item.titles[0], 1.0)
        if unit is None:
            raise UnitNeededError
        place = bisect_right(item.ends, uniform(self._seed, item_id, unit))
        return Drawn(item.titles[place], item.probabilities[place])


class PlanAssigner(Assigner):
    """Titles by the arms of an A/B plan.

    Parameters
    ----------
    arm_of
        (item, unit) -> arm and its probability; raises `UnitNeededError`.
    titles
        Arm -> item -> title.
    version
        Of plan and table.
    """

    def __init__(
        self,
        arm_of: Callable[[str, str | None], tuple[str, float]],
        titles: Mapping[str, Mapping[str, str]],
        version: str,
    ) -> None:
        self._arm_of, self._titles, self.version = arm_of, titles, version

    def draw(self, item_id: str, unit: str | None) -> Drawn | None:
        """The item's title in the unit's arm; None where an arm has none for it, since it cannot be tested then."""
        if any(item_id not in titles for titles in self._titles.values()):
            return None
        arm, probability = self._arm_of(item_id, unit)
        return Drawn(self._titles[arm][item_id], probability, arm)


def _checked(item_id: str, rows: Sequence[Row]) -> _Titles:
    titles = [row.title for row in rows]
    if len(set(titles)) < len(titles):
        raise RloptError(f"The table has a title of item {item_id!r:.80} twice. Leave one out.")
    if len(rows) == 1 and rows[0].probability is None:
        return _Titles((titles[0],), (1.0,), (1.0,))
    if any(row.probability is None for row in rows):
        raise RloptError(
            f"Item {item_id!r:.80} has {len(rows)} titles and no probability of each. Give it one title, or add a "
            "column probability."
        )
    kept = sorted((row.title, float(row.probability or 0)) for row in rows if row.probability != 0)
    probabilities = [probability for _, probability in kept]
    total = sum(probabilities)
    if not all(0 < probability <= 1 for probability in probabilities) or abs(total - 1) > TOLERANCE:
        raise RloptError(
            f"The probabilities of item {item_id!r:.80} must be from 0 to 1 and add up to 1. They add up to {total:g}."
        )
    ends = [*list(accumulate(probabilities))[:-1], 1.0]
    return _Titles(tuple(title for title, _ in kept), tuple(probabilities), tuple(ends))
