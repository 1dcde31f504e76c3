"""Fluency: whether a title reads like one.

The wording is judged by models of the logged titles: a language model of their words, the spelling of words, and which
words stand in one title. What that is worth is learned from logged titles beside the same ones shuffled, spliced with
another, repeated in part and garbled. No network, and no item: milliseconds for a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..items import Item
from ..saved_models import model_damage, read_state, write_state
from .faults import LEAST_TITLES, SOUND, Collected, FaultModel, FaultShape, Soundness
from .logged import Logged
from .script import SCRIPTS, script_of
from .spoil import garbled, repeated, shuffled, spliced
from .wording import N_MEASUREMENTS, Wording, tokens_of

IntArray = npt.NDArray[np.int64]

FAULTS = {"shuffled": 0.25, "spliced": 0.25, "repeated": 0.25, "garbled": 0.25}
"""Faults of the wording, with their shares among faulty titles."""
_FORMAT = 1
_WHAT = "fluency model"
_FOLDS = 4
_MAX_TITLES = 40_000  # used to fit the models
_CALIBRATED_ON = 4_000  # titles
_CHUNK = 4096
_ALL = "all"


@dataclass(frozen=True)
class _Shape:
    models: dict[str, FaultShape]
    false_alarms: float


@dataclass(frozen=True)
class Fluency:
    """Tells titles that read like logged ones from faulty wording.

    Parameters
    ----------
    wording
        Models of the logged titles.
    models
        Script, and "all", -> what measurements are worth.
    false_alarms
        Share of logged titles that score below their threshold.
    """

    wording: Wording
    models: Mapping[str, FaultModel]
    false_alarms: float

    @classmethod
    def fit(
        cls, titles: Sequence[str], item_index: IntArray, *, false_alarms: float = 0.05, seed: int = 0
    ) -> "Fluency":
        """Learn from logged titles.

        Parameters
        ----------
        titles, item_index
            Logged titles of train items, and a number for the item that each belongs to, shape (n,).
        false_alarms
            Share of logged titles that may score below the threshold, in (0, 1).
        seed
            Seed of the draws: titles, and how they are spoilt.

        Raises
        ------
        ModelError
            If there are too few titles, or false_alarms is out of range.
        """
        rng = np.random.default_rng(seed)
        logged = _readable(titles, item_index).some(len(titles), _MAX_TITLES, rng)
        models = _calibrate(logged, false_alarms, rng)
        return cls(Wording.fit(logged.titles, logged.index, rng), models, false_alarms)

    def predict(self, titles: Sequence[str]) -> Soundness:
        """Score n titles. One that was logged scores higher than a new one would: compare with held-out titles."""
        titles = list(map(str, titles))
        out = Soundness.unknown(len(titles))
        for start in range(0, len(titles), _CHUNK):
            part = titles[start : start + _CHUNK]
            script = np.array([script_of(title) if tokens_of(title) else "" for title in part], dtype=object)
            out.put_empty(start + np.flatnonzero(script == ""))
            for kind in SCRIPTS:
                rows = np.flatnonzero(script == kind)
                if len(rows):
                    measured = self.wording.measure([part[row] for row in rows.tolist()])
                    out.put(start + rows, self.models.get(kind, self.models[_ALL]).judge(measured))
        return out

    def save(self, folder: str | Path) -> None:
        """Write meta.json and arrays.npz into ``folder``, which is made."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        models = {name: model.to_json() for name, model in self.models.items()}
        meta = {"format": _FORMAT, "models": models, "false_alarms": self.false_alarms}
        write_state(folder, meta, self.wording.state())

    @classmethod
    def load(cls, folder: str | Path) -> "Fluency":
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            If the folder holds no such model, a damaged one, or one of another format.
        """
        meta, arrays = read_state(folder, _FORMAT, _Shape, _WHAT)
        with model_damage(folder, _WHAT):
            models = {str(name): FaultModel.from_json(data, N_MEASUREMENTS) for name, data in meta["models"].items()}
            if _ALL not in models:
                raise ValueError("the model of all titles is missing")
            return cls(Wording.from_state(arrays), models, float(meta["false_alarms"]))


def _readable(titles: Sequence[str], item_index: IntArray) -> Logged:
    """Titles of at least one word, with an item each that bears nothing but its number."""
    kept = [row for row, title in enumerate(titles) if tokens_of(str(title))]
    _, index = np.unique(np.asarray(item_index, dtype=np.int64)[kept], return_inverse=True)
    items = [Item(str(number)) for number in range(int(index.max(initial=-1)) + 1)]
    return Logged(items, [str(titles[row]) for row in kept], index.astype(np.int64))


def _calibrate(logged: Logged, false_alarms: float, rng: np.random.Generator) -> dict[str, FaultModel]:
    """Fault models by script, from titles of items that the wording was not learned from."""
    fold = logged.folds(_FOLDS, rng)
    collected = Collected()
    for k in range(_FOLDS if len(fold) else 0):
        part = logged.of(fold == k).some(len(fold), _CALIBRATED_ON // _FOLDS, rng)
        rest = logged.of(fold != k)
        wording = Wording.fit(rest.titles, rest.index, rng)
        for script in SCRIPTS:
            own = [title for title in part.titles if script_of(title) == script]
            for fault, spoilt in spoil(own, rng).items():
                changed = [title for title in spoilt if title is not None]
                if changed:
                    collected.add((script, _ALL), fault, wording.measure(changed))
    models = collected.models(FAULTS, false_alarms)
    if not models:
        raise ModelError(
            f"fluency cannot be learned from {len(logged.titles):,} titles of {len(logged.items):,} items: "
            f"{LEAST_TITLES} of three words and more, of items that share none, are needed. Log more items."
        )
    return models


def spoil(titles: Sequence[str], rng: np.random.Generator) -> dict[str, list[str | None]]:
    """The titles as they are (`SOUND`), and with each of `FAULTS`; None where a fault leaves a title as it was."""
    alphabet = sorted({character for title in titles for character in title if not character.isspace()})
    ways: dict[str, Callable[[str], str]] = {
        "shuffled": lambda title: shuffled(title, rng),
        "spliced": lambda title: spliced(title, titles[int(rng.integers(len(titles)))], rng),
        "repeated": lambda title: repeated(title, rng),
        "garbled": lambda title: garbled(title, alphabet, rng),
    }
    found: dict[str, list[str | None]] = {SOUND: list(titles)}
    for fault, way in ways.items():
        made = [(tokens_of(title), way(title)) for title in titles]
        found[fault] = [title if tokens_of(title) not in ([], before) else None for before, title in made]
    return found
