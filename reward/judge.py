"""The judge: what a title is worth, learned on items that neither the reward model nor PPO has seen, with its doubt.

A log-link Bayesian linear model within items (`reward.bayes`) on step functions of the readable features, by category
where the context may matter, and on the directions in which the wording of an item's titles differs. Its draws are
joint over titles, so the spread of a policy's *lift* holds what the judge does not know about its coefficients, not
only about single titles. Offline evaluation alone uses it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .arms import Arms
from .bayes import Posterior, fit_posterior
from .design import Design
from .embedding import Embedding
from .errors import ModelError
from .features import FeatureBlock, TitleFeatures
from .items import Item
from .linear import Noise, Rows, estimate_variances
from .model import click_rows
from .persistence import damaged, read_state
from .support import Support, pace

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FORMAT = 1
INFLATION = 1.3  # posterior standard deviations understate the error of a chosen model; measured in DESIGN's trials
_MIN_ROWS = 3  # titles in which a column must differ from its commonest value to be kept


@dataclass(frozen=True)
class Judge:
    """Fitted judge; make one with `fit` or `load`.

    Parameters
    ----------
    features, design, embedding
        From pairs to columns.
    kept
        Columns of the design that vary on the judge's items.
    posterior
        Posterior of the coefficients: design columns, then embedding columns.
    level
        Average effect of the judge's logged titles, which is taken off.
    guard, pace
        Range of the logged titles and log CTR lost per standard deviation outside it.
    """

    features: TitleFeatures
    design: Design
    embedding: Embedding
    kept: IntArray
    posterior: Posterior
    level: float
    guard: Support
    pace: float

    @classmethod
    def fit(cls, arms: Arms, *, seed: int) -> "Judge":
        """Fit on the arms of the judge's own items.

        Parameters
        ----------
        arms
            Arms of items that are used neither for the reward model nor for PPO.
        seed
            Same seed and arms: same judge.

        Raises
        ------
        ModelError
            If fewer than 2 items have 2 titles and a click.
        """
        rows = _usable(arms)
        rng = np.random.default_rng(seed)
        titles = [str(title) for title in arms.title]
        features = TitleFeatures.fit(arms.items, titles, arms.item_index)
        block = features.transform(arms.arm_items, titles, logged=True)
        design = Design.fit(features, block)
        steps = design.matrix(block)
        kept = _varying(steps)
        embedding, embedded = Embedding.fit(features, block, rows, rng=rng)
        matrix = np.column_stack([steps[:, kept].toarray(), embedded]).astype(np.float64)
        names = [*np.array(design.groups())[kept].tolist(), *["wording"] * embedded.shape[1]]
        groups = {name: np.flatnonzero([other == name for other in names]) for name in dict.fromkeys(names)}
        start = _start(matrix, groups, rows, rng)
        posterior = fit_posterior(matrix, rows, list(groups.values()), start)
        effect = matrix @ posterior.mean
        return cls(
            features,
            design,
            embedding,
            kept,
            posterior,
            float(np.average(effect, weights=np.maximum(rows.trials, 1e-9))),
            Support.fit(features.names, block.dense),
            pace(effect),
        )

    def effect(self, items: Sequence[Item], titles: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation of each title's effect on log CTR, shape (n,) each.

        The standard deviation is that of one column of `draws`: inflated parameter posterior, unexplained title
        variance, and doubt outside the logged range.
        """
        block = self.features.transform(items, titles)
        matrix = self._matrix(block)
        excess = self.pace * self.guard.excess(block.dense)
        parameters = INFLATION * np.sqrt(np.sum((matrix @ self.posterior.root) ** 2, axis=1))
        mean = matrix @ self.posterior.mean - self.level - excess
        return mean, np.sqrt(parameters**2 + self.posterior.noise.title_variance + (excess / 2) ** 2)

    def draws(self, items: Sequence[Item], titles: Sequence[str], n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Joint posterior draws of the title effects on log CTR, shape (n_draws, n).

        Within a draw all rows share the coefficients; an (item, title) pair that occurs twice gets one value.
        """
        block = self.features.transform(items, titles)
        matrix = self._matrix(block)
        noise = rng.standard_normal((n_draws, len(self.posterior.mean)))
        coefficients = self.posterior.mean + INFLATION * noise @ self.posterior.root.T
        pairs: dict[tuple[str, str], int] = {}
        pair = [pairs.setdefault((item.item_id, title), len(pairs)) for item, title in zip(items, titles, strict=True)]
        own = np.sqrt(self.posterior.noise.title_variance) * rng.standard_normal((n_draws, len(pairs)))
        # How steeply titles fall outside the logged range is one unknown, common to all titles of a draw.
        steepness = 1.0 + 0.5 * rng.standard_normal((n_draws, 1))
        excess = self.pace * self.guard.excess(block.dense)
        out: FloatArray = coefficients @ matrix.T - self.level + own[:, pair] - steepness * excess
        return out

    def support(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """How far each title is like titles the judge has seen logged, in [0, 1], shape (n,).

        The product of two: inside the range of the logged titles' features, and as near to some logged title in
        wording as logged titles of different items are to each other.
        """
        block = self.features.transform(items, titles)
        return np.exp(-self.guard.excess(block.dense)) * self.embedding.nearness(self.features, block)

    def _matrix(self, block: FeatureBlock) -> FloatArray:
        steps = self.design.matrix(block)[:, self.kept].toarray()
        matrix: FloatArray = np.column_stack([steps, self.embedding.transform(self.features, block)]).astype(np.float64)
        return matrix

    def save(self, folder: Path) -> None:
        """Write meta.json and arrays.npz into an existing folder."""
        feature_meta, arrays = self.features.state()
        meta = {
            "format": FORMAT,
            "features": feature_meta,
            "design": self.design.to_json(),
            "variances": list(self.posterior.variances),
            "noise": [self.posterior.noise.overdispersion, self.posterior.noise.title_variance],
            "level": self.level,
            "pace": self.pace,
        }
        arrays |= {"kept": self.kept, "mean": self.posterior.mean, "root": self.posterior.root}
        arrays |= {f"embedding.{name}": value for name, value in self.embedding.state().items()}
        arrays |= {f"guard.{name}": value for name, value in self.guard.state().items()}
        with (folder / "arrays.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        (folder / "meta.json").write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Judge":
        """Judge written by `save`.

        Raises
        ------
        ModelError
            If the folder holds no judge, or a damaged one.
        """
        meta, arrays = read_state(folder, FORMAT)
        try:
            return cls(
                TitleFeatures.from_state(meta["features"], arrays),
                Design.from_json(meta["design"]),
                Embedding.from_state(_part(arrays, "embedding.")),
                arrays["kept"],
                Posterior(
                    arrays["mean"],
                    arrays["root"],
                    tuple(map(float, meta["variances"])),
                    Noise(*map(float, meta["noise"])),
                ),
                float(meta["level"]),
                Support.from_state(_part(arrays, "guard.")),
                float(meta["pace"]),
            )
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ModelError(damaged(folder, error)) from error


def _usable(arms: Arms) -> Rows:
    rows = click_rows(arms)
    titles = rows.item_sum(np.ones(len(arms)))
    useful = int(np.sum((titles >= 2) & (rows.item_sum(rows.successes) > 0)))
    if useful < 2:
        raise ModelError(
            f"a judge needs at least 2 items that have 2 titles and a click each. Its {len(arms.items)} items hold "
            f"{useful}. Raise --judge-share or log more titles per item."
        )
    return rows


def _varying(steps: sp.csr_matrix) -> IntArray:
    """Columns that are neither nearly always 0 nor nearly always 1."""
    ones = np.asarray(steps.sum(axis=0)).ravel()
    kept: IntArray = np.flatnonzero((ones >= _MIN_ROWS) & (ones <= steps.shape[0] - _MIN_ROWS))
    return kept


def _start(matrix: FloatArray, groups: dict[str, IntArray], rows: Rows, rng: np.random.Generator) -> list[float]:
    """First variances, by moments."""
    order = np.concatenate(list(groups.values()))
    ends = np.cumsum([len(columns) for columns in groups.values()]).tolist()
    slices = {name: slice(end - len(columns), end) for (name, columns), end in zip(groups.items(), ends, strict=True)}
    found, _ = estimate_variances(sp.csr_matrix(matrix[:, order], dtype=np.float32), slices, rows, rng=rng)
    return [max(found[name], 1e-5) for name in groups]


def _part(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
