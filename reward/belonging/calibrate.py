"""Calibration of similarities, on titles of items that the words and topics were not learned from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..encoders.encoder import Encoder
from ..errors import ModelError
from ..items import Item
from ..text import same_text_key, words
from .comparison import EVIDENCE, Comparison
from .faults import LEAST_TITLES, SOUND, Collected, FaultModel
from .logged import Logged
from .script import SCRIPTS, script_of
from .shelf import Shelf
from .similarity import Centers
from .spoil import spliced
from .views import FIELDS, TITLE, Grams, Reader

BoolArray = npt.NDArray[np.bool_]

FAULTS = {"foreign": 0.8, "spliced": 0.2}
"""Titles of other items, and titles cut and joined with one of those, with their shares; more of the latter would cost
the former."""
_FOLDS = 3
_MAX_ITEMS = 20_000  # used to learn words and topics
_MAX_TITLES = 2_000  # used to calibrate scores and to take averages
_FOREIGN_TITLES = 2  # beside each of them
_CHUNK = 1024  # titles measured at once
_MOST_OF_ITEM = 10  # titles of one item that are asked about
_TRIES = 20


@dataclass(frozen=True)
class Known:
    """Logged titles and their grams, read once.

    Parameters
    ----------
    logged
        Items and titles.
    titles, fields
        Grams of each title, and of the fields of each item.
    """

    logged: Logged
    titles: Grams
    fields: Grams

    @classmethod
    def of(cls, logged: Logged, rng: np.random.Generator) -> "Known":
        """Read the titles, or those of random items where there are very many."""
        some = logged.some(_MAX_ITEMS, 2 * _MAX_ITEMS, rng)
        return cls(some, Grams.of(some.titles), Grams.of([item.text() for item in some.items]))

    def learn(self, chosen: BoolArray, encoder: Encoder | None, rng: np.random.Generator) -> tuple[Reader, Centers]:
        """Words, topics and averages of these items (mask)."""
        logged = self.logged.of(chosen)
        titles = self.titles.take(np.flatnonzero(chosen[self.logged.index]))
        reader = Reader.fit(titles, self.fields.take(np.flatnonzero(chosen)), logged.index, encoder, rng)
        few = logged.some(_MAX_TITLES, _MAX_TITLES, rng)
        texts = reader.read(few.titles, TITLE), reader.read([item.text() for item in few.items], FIELDS)
        return reader, Centers.of([kind.take(np.flatnonzero(kind.says)) for kind in texts])


def calibrate(
    known: Known, encoder: Encoder | None, false_alarms: float, rng: np.random.Generator
) -> dict[str, FaultModel]:
    """Fault models by evidence, and by evidence and script where titles are of two scripts.

    Raises
    ------
    ModelError
        If too few titles have anything to be compared with.
    """
    fold = known.logged.folds(_FOLDS, rng)
    collected = Collected()
    for k in range(_FOLDS if len(fold) else 0):
        part = known.logged.of(fold == k).some(_MAX_TITLES, _MAX_TITLES // _FOLDS, rng)
        reader, centers = known.learn(fold != k, encoder, rng)
        shelf = Shelf(reader, part.own())
        asked = _asked(part, rng)
        for start in range(0, len(asked), _CHUNK):
            _collect(asked[start : start + _CHUNK], collected, reader, centers, shelf)
    models = collected.models(FAULTS, false_alarms)
    if not models:
        raise ModelError(
            f"relevance cannot be learned from these logs: fewer than {LEAST_TITLES} of their "
            f"{len(known.logged.titles):,} titles have fields or other titles of their item to be compared with, and "
            "titles of other items besides. Log more items, or columns that describe them."
        )
    return models


@dataclass(frozen=True)
class _Asked:
    """A title beside an item, with the logged title that it is made of or stands for."""

    item: Item
    title: str
    apart: str
    fault: str = SOUND


def _asked(part: Logged, rng: np.random.Generator) -> list[_Asked]:
    """Each title with its own item, with faults beside the same item."""
    found: list[_Asked] = []
    own: list[set[str]] = [set() for _ in part.items]
    alike: dict[str, list[str]] = {}
    for title, index in zip(part.titles, part.index.tolist(), strict=True):
        own[index].add(same_text_key(title))
        alike.setdefault(script_of(title), []).append(title)
    asked: Counter[int] = Counter()
    for row in rng.permutation(len(part.titles)).tolist():
        title, index = part.titles[row], int(part.index[row])
        asked[index] += 1
        item, others = part.items[index], alike[script_of(title)]
        if not words(title) or asked[index] > _MOST_OF_ITEM:
            continue
        found.append(_Asked(item, title, title))
        drawn = (others[i] for i in rng.integers(len(others), size=_TRIES))
        foreign = [other for other in drawn if same_text_key(other) not in own[index]][:_FOREIGN_TITLES]
        found += [_Asked(item, other, title, "foreign") for other in foreign]
        if foreign:
            first, second = (title, foreign[0]) if rng.random() < 0.5 else (foreign[0], title)
            found.append(_Asked(item, spliced(first, second, rng), title, "spliced"))
    return found


def _collect(asked: Sequence[_Asked], into: Collected, reader: Reader, centers: Centers, shelf: Shelf) -> None:
    """Measure these titles by each evidence that there is."""
    items, titles, apart = [a.item for a in asked], [a.title for a in asked], [a.apart for a in asked]
    comparison = Comparison.of(reader, shelf, items, titles, apart)
    script = np.array([script_of(title) for title in apart], dtype=object)
    fault = np.array([a.fault for a in asked], dtype=object)
    for evidence in EVIDENCE:
        allowed = comparison.allows(evidence)
        for kind in SCRIPTS:
            for name in (SOUND, *FAULTS):
                rows = np.flatnonzero(allowed & (script == kind) & (fault == name))
                if len(rows):
                    measured = comparison.measure(rows, evidence, reader, centers)
                    into.add((evidence, group_name(evidence, kind)), name, measured)


def group_name(evidence: str, script: str) -> str:
    """Name of the model for titles of one script with this evidence."""
    return f"{evidence}, {script}"
