"""From measurements of a title to the chance that it is sound, against each fault it might have.

Multinomial logistic regression of "sound" and the faults, in which no measurement that speaks for a title may lower
its score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from ..errors import ModelError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SOUND, EMPTY = "", "empty"
LEAST_TITLES = 40
"""Titles of each kind that a model needs."""
_RIDGE = 1e-3


@dataclass(frozen=True)
class Soundness:
    """Scores of n titles against the faults they might have.

    Parameters
    ----------
    score
        Chance that the title is sound, where sound and faulty ones are equally frequent, shape (n,).
    threshold
        Score below which a title counts as faulty, shape (n,).
    fault
        The fault it would most likely have, shape (n,): `EMPTY` for a title without a word; "" where there is nothing
        to tell by, and then the score is 0.5 and the threshold 0.
    """

    score: FloatArray
    threshold: FloatArray
    fault: npt.NDArray[np.object_]

    @property
    def faulty(self) -> npt.NDArray[np.bool_]:
        """True where the score is below the threshold, shape (n,)."""
        return np.asarray(self.score < self.threshold)

    @classmethod
    def unknown(cls, n: int) -> "Soundness":
        """Scores of ``n`` titles without any evidence."""
        return cls(np.full(n, 0.5), np.zeros(n), np.full(n, "", dtype=object))

    def put(self, rows: IntArray, other: "Soundness") -> None:
        """Take over the scores of these rows."""
        self.score[rows], self.threshold[rows], self.fault[rows] = other.score, other.threshold, other.fault

    def put_empty(self, rows: IntArray) -> None:
        """These rows are titles without a word: score 0, and always faulty."""
        self.score[rows], self.threshold[rows], self.fault[rows] = 0.0, 0.5, EMPTY


@dataclass(frozen=True)
class FaultShape:
    """`FaultModel` in JSON, as `reward.saved.read_json` checks it."""

    faults: list[str]
    center: list[float]
    scale: list[float]
    intercepts: list[float]
    slopes: list[list[float]]
    threshold: float


@dataclass(frozen=True)
class FaultModel:
    """Chance of each fault: log-odds against sound = intercept - slopes * (x - center) / scale.

    Parameters
    ----------
    faults
        Names of the faults.
    center, scale
        Of the d measurements, each of which is higher for sound titles, shape (d,).
    intercepts, slopes
        Shape (k,) and (k, d); slopes >= 0.
    threshold
        Score that a stated share of sound titles does not reach.
    """

    faults: tuple[str, ...]
    center: FloatArray
    scale: FloatArray
    intercepts: FloatArray
    slopes: FloatArray
    threshold: float

    @classmethod
    def fit(
        cls, sound: FloatArray, faulty: Mapping[str, FloatArray], shares: Sequence[float], false_alarms: float
    ) -> "FaultModel":
        """Fit on measurements that were taken as of new titles.

        Parameters
        ----------
        sound
            Measurements of sound titles, shape (n, d).
        faulty
            Fault -> measurements of titles that have it, shape (m, d).
        shares
            Share of each fault among faulty titles: they sum to 1, and faulty titles weigh as much as sound ones.
        false_alarms
            Share of sound titles below the threshold.

        Raises
        ------
        ModelError
            If it is not in (0, 1).
        """
        if not 0.0 < false_alarms < 1.0:
            raise ModelError(f"false_alarms must be in (0, 1). Got {false_alarms} instead.")
        x = np.concatenate([sound, *faulty.values()])
        sizes = [len(sound), *map(len, faulty.values())]
        label = np.repeat(np.arange(len(sizes)), sizes)
        weight = np.repeat([0.5 * share / size for share, size in zip((1.0, *shares), sizes, strict=True)], sizes)
        center, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        intercepts, slopes = _fit((x - center) / scale, label, weight)
        model = cls(tuple(faulty), center, scale, intercepts, slopes, 0.0)
        threshold = float(np.quantile(model.judge(sound).score, false_alarms))
        return cls(tuple(faulty), center, scale, intercepts, slopes, threshold)

    def judge(self, x: FloatArray) -> Soundness:
        """Score titles with measurements ``x``, shape (n, d)."""
        odds = self.intercepts - ((x - self.center) / self.scale) @ self.slopes.T
        score = np.exp(-np.logaddexp.reduce(np.column_stack([np.zeros(len(x)), odds]), axis=1))
        fault = np.array(self.faults, dtype=object)[np.argmax(odds, axis=1)]
        return Soundness(score, np.full(len(x), self.threshold), fault)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `from_json` reads it back."""
        arrays = {name: getattr(self, name).tolist() for name in ("center", "scale", "intercepts", "slopes")}
        return {"faults": list(self.faults), **arrays, "threshold": self.threshold}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], n_measurements: int) -> "FaultModel":
        """Model written by `to_json`.

        Raises
        ------
        ValueError
            If it is not one of ``n_measurements`` measurements.
        """
        arrays = [np.asarray(data[name], dtype=np.float64) for name in ("center", "scale", "intercepts", "slopes")]
        faults, threshold = tuple(map(str, data["faults"])), float(data["threshold"])
        k, d = len(faults), n_measurements
        if [array.shape for array in arrays] != [(d,), (d,), (k,), (k, d)] or not k:
            raise ValueError(f"a fault model is not one of {d} measurements")
        if not all(np.isfinite(array).all() for array in arrays) or not 0.0 <= threshold <= 1.0:
            raise ValueError("a fault model holds a number out of range")
        if (arrays[1] <= 0).any() or (arrays[3] < 0).any():
            raise ValueError("a fault model holds a negative scale or slope")
        return cls(faults, arrays[0], arrays[1], arrays[2], arrays[3], threshold)


@dataclass(frozen=True)
class Collected:
    """Measurements of sound and of spoilt titles by group."""

    rows: dict[str, dict[str, list[FloatArray]]] = field(default_factory=dict)

    def add(self, groups: Sequence[str], fault: str, measured: FloatArray) -> None:
        """Titles of these groups with one fault, or `SOUND` ones; shape (n, d)."""
        for group in groups:
            self.rows.setdefault(group, {}).setdefault(fault, []).append(measured)

    def models(self, shares: Mapping[str, float], false_alarms: float) -> dict[str, FaultModel]:
        """Model of each group that has enough titles, sound and with each fault of ``shares``."""
        found = {}
        for group, by_fault in self.rows.items():
            joined = {fault: np.concatenate(by_fault.get(fault, [np.zeros((0, 0))])) for fault in (SOUND, *shares)}
            if min(map(len, joined.values())) >= LEAST_TITLES:
                sound = joined.pop(SOUND)
                found[group] = FaultModel.fit(sound, joined, tuple(shares.values()), false_alarms)
        return found


def _fit(z: FloatArray, label: IntArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intercepts (k,) and slopes (k, d) >= 0 of the classes 1 to k against class 0."""
    n, d = z.shape
    k = int(label.max())
    truth = np.zeros((n, k))
    truth[np.flatnonzero(label > 0), label[label > 0] - 1] = 1.0

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        intercepts, slopes = parameters[:k], parameters[k:].reshape(k, d)
        odds = intercepts - z @ slopes.T
        total = np.logaddexp.reduce(np.column_stack([np.zeros(n), odds]), axis=1)
        error = weight[:, None] * (np.exp(odds - total[:, None]) - truth)
        value = float(weight @ (total - (odds * truth).sum(axis=1)) + 0.5 * _RIDGE * np.sum(slopes**2))
        return value, np.concatenate([error.sum(axis=0), (_RIDGE * slopes - error.T @ z).ravel()])

    bounds = [(None, None)] * k + [(0.0, None)] * (k * d)
    found = minimize(loss, np.zeros(k + k * d), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return found.x[:k], found.x[k:].reshape(k, d)
