"""Relevance: whether a title belongs to its item.

A title is compared with the item's fields and with the item's other titles. What the similarities are worth is learned
from logged titles beside their own item, beside another one, and cut and joined with a title of another. A title is
never compared with itself, so that a logged title is judged as a new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..encoders.encoder import Encoder, open_encoder
from ..errors import ModelError
from ..items import Item
from ..saved_models import POLICY_ENCODER, model_damage, read_state, write_state
from .calibrate import Known, calibrate, group_name
from .comparison import EVIDENCE, Comparison
from .faults import FaultModel, FaultShape, Soundness
from .logged import Logged
from .script import SCRIPTS, script_of
from .shelf import Shelf
from .similarity import Centers, n_measurements
from .views import Reader

IntArray = npt.NDArray[np.int64]

_FORMAT = 1
_WHAT = "relevance model"
_CHUNK = 1024  # titles read at once


@dataclass(frozen=True)
class _EncoderShape:
    spec: str
    fingerprint: str


@dataclass(frozen=True)
class _Shape:
    encoder: _EncoderShape | None
    models: dict[str, FaultShape]
    own: dict[str, list[str]]
    false_alarms: float


@dataclass(frozen=True)
class Relevance:
    """Tells titles of an item from titles of others.

    Parameters
    ----------
    reader
        Turns texts into vectors.
    centers
        Average vectors.
    models
        Evidence, and evidence with script, -> what measurements are worth.
    own
        Item id -> its logged titles.
    false_alarms
        Share of logged titles that score below their threshold.
    """

    reader: Reader
    centers: Centers
    models: Mapping[str, FaultModel]
    own: Mapping[str, tuple[str, ...]]
    false_alarms: float

    @classmethod
    def fit(
        cls,
        items: Sequence[Item],
        titles: Sequence[str],
        item_index: IntArray,
        *,
        encoder: Encoder | None = None,
        false_alarms: float = 0.05,
        seed: int = 0,
    ) -> "Relevance":
        """Learn from train items and their logged titles.

        Parameters
        ----------
        items
            Train items, each once.
        titles, item_index
            Logged titles, and the position in ``items`` of the item each belongs to.
        encoder
            Knows what words mean; None: the wording alone, as with one that cannot tell what texts are about (a causal
            language model).
        false_alarms
            Share of logged titles that may score below the threshold, in (0, 1).
        seed
            Seed of the draws: items, foreign titles, cuts.

        Raises
        ------
        ModelError
            If too few titles have anything to be compared with, or false_alarms is out of range.
        """
        rng = np.random.default_rng(seed)
        logged = Logged(items, list(map(str, titles)), np.asarray(item_index, dtype=np.int64))
        known = Known.of(logged, rng)
        encoder = encoder if encoder is not None and encoder.about_width else None
        models = calibrate(known, encoder, false_alarms, rng)
        everything = np.ones(len(known.logged.items), dtype=bool)
        return cls(*known.learn(everything, encoder, rng), models, logged.own(), false_alarms)

    def predict(self, items: Sequence[Item], titles: Sequence[str], *, apart: Sequence[str] | None = None) -> Soundness:
        """Score n pairs.

        Parameters
        ----------
        items, titles
            Pairs, both of length n.
        apart
            A title of each item that it is not compared with; the title itself unless given, so that a logged title
            is judged by the item's others.

        Raises
        ------
        ModelError
            If there are not as many items as titles.
        """
        titles = list(map(str, titles))
        apart = titles if apart is None else apart
        if not len(items) == len(titles) == len(apart):
            sizes = f"{len(items)}, {len(titles)} and {len(apart)}"
            raise ModelError(f"items, titles and titles apart must be of one length. Got {sizes}.")
        out = Soundness.unknown(len(titles))
        for start in range(0, len(titles), _CHUNK):
            rows = slice(start, start + _CHUNK)
            self._judge(items[rows], titles[rows], apart[rows], start, out)
        return out

    def with_titles(self, items: Sequence[Item], titles: Sequence[str], item_index: IntArray) -> "Relevance":
        """The same, knowing the logged titles of further items: those of a test, for example."""
        more = Logged(items, list(map(str, titles)), np.asarray(item_index, dtype=np.int64)).own()
        return replace(self, own={**self.own, **more})

    def save(self, folder: str | Path) -> None:
        """Write meta.json and arrays.npz into ``folder``, which is made; the encoder is not copied."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        encoder = self.reader.encoder
        meta = {
            "format": _FORMAT,
            "encoder": None if encoder is None else {"spec": encoder.spec, "fingerprint": encoder.fingerprint},
            "models": {name: model.to_json() for name, model in self.models.items()},
            "own": self.own,
            "false_alarms": self.false_alarms,
        }
        write_state(folder, meta, self.reader.state() | self.centers.state())

    @classmethod
    def load(
        cls,
        folder: str | Path,
        encodings: Path | None = None,
        *,
        encoder: Encoder | None = None,
        policy: Path | None = None,
    ) -> "Relevance":
        """Read what `save` wrote.

        Parameters
        ----------
        folder
            Of the model.
        encodings
            File that keeps encodings between processes.
        encoder
            An open one, such as the reward model's: where it is the one that this model was fitted with it is shared,
            and texts that both read are encoded once.
        policy
            The language model that the encoder ``policy`` is; by default it is looked for beside the folder.

        Raises
        ------
        ModelError
            If the folder holds no such model, a damaged one or one of another format, or if its encoder is gone or
            another.
        """
        meta, arrays = read_state(folder, _FORMAT, _Shape, _WHAT)
        with model_damage(folder, _WHAT):
            wanted = meta["encoder"]
            if wanted is None:
                encoder = None
            elif encoder is None or encoder.fingerprint != wanted["fingerprint"]:
                policy = policy or Path(folder).parent / POLICY_ENCODER
                encoder = open_encoder(
                    wanted["spec"], policy=policy, cache=encodings, fingerprint=wanted["fingerprint"]
                )
            reader = Reader.from_state(arrays, encoder)
            models = {name: _model(name, data, encoder) for name, data in meta["models"].items()}
            own = {item_id: tuple(titles) for item_id, titles in meta["own"].items()}
            return cls(reader, Centers.from_state(arrays, reader), models, own, meta["false_alarms"])

    @cached_property
    def _shelf(self) -> Shelf:
        return Shelf(self.reader, self.own)

    def _judge(
        self, items: Sequence[Item], titles: Sequence[str], apart: Sequence[str], start: int, out: Soundness
    ) -> None:
        """Judge titles by the best evidence there is for each, and write it to ``out`` from ``start`` on."""
        comparison = Comparison.of(self.reader, self._shelf, items, titles, apart)
        script = np.array([script_of(title) for title in titles], dtype=object)
        left = comparison.title.says
        out.put_empty(start + np.flatnonzero(~left))
        for evidence in EVIDENCE:
            allowed = comparison.allows(evidence)
            for kind in SCRIPTS:
                model = self.models.get(group_name(evidence, kind), self.models.get(evidence))
                rows = np.flatnonzero(left & allowed & (script == kind))
                if model is not None and len(rows):
                    out.put(start + rows, model.judge(comparison.measure(rows, evidence, self.reader, self.centers)))
                    left[rows] = False


def _model(name: str, data: Mapping[str, Any], encoder: Encoder | None) -> FaultModel:
    evidence = name.split(", ")[0]
    return FaultModel.from_json(data, n_measurements(len(EVIDENCE[evidence]), encoder is not None))
