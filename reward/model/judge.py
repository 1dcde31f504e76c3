"""The judge: what a title is worth, learned on items that neither the reward model nor PPO has seen, with its doubt.

A log-link Bayesian linear model within items (`reward.model.bayes`) on step functions of the readable features, by
category where the context may matter, and on the directions in which the wording of an item's titles differs. Its
draws are joint over titles, so the spread of a policy's *lift* holds what the judge does not know about its
coefficients, not only about single titles. Offline evaluation alone uses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arms import Arms
from ..arrays import FloatArray
from ..encoders.encoder import Encoder
from ..errors import ModelError
from ..features.support import Support, pace
from ..features.transformer import TitleFeatures
from ..items import Item
from ..saved import number
from ..saved_models import model_damage, read_state, write_state
from .alike import alike_rows, check_alike
from .bayes import Posterior, unshrunk, update_posterior
from .columns import Columns, fit_columns, fit_design
from .design import Design
from .embedding import Embedding
from .linear import ArmCounts, Noise
from .persistence import INFINITE, load_features
from .reward_model import click_rows
from .shapes import JudgeShape
from .soundness import check_design, check_judge

FORMAT = 1
# A policy was optimised towards effects that other items' clicks showed to be there. A prior centred on 0 shrinks all
# of those towards 0 together, which draws that treat them as independent do not cover: so shrink less than is best
# for a title taken at random.
WIDENING = 4.0
# Posterior standard deviations understate the error of a chosen model; tests/benchmarks/no_overlap.py has the coverage.
INFLATION = 1.3


@dataclass(frozen=True)
class Contrast:
    """Titles with weights that sum to 0: positive for those of a policy, negative for what it is compared with.

    Parameters
    ----------
    items, titles
        The titles and their items, n of each.
    weight
        Shape (n,).
    """

    items: Sequence[Item]
    titles: Sequence[str]
    weight: FloatArray


@dataclass(frozen=True)
class Judge:
    """Fitted judge; make one with `fit` or `load`.

    Parameters
    ----------
    features, columns
        From pairs to columns.
    posterior
        Posterior of the coefficients: design columns, then embedding columns.
    level
        Average effect of the judge's logged titles, which is taken off.
    logged_range, pace
        Range of the logged titles and log CTR lost per standard deviation outside it.
    observational
        As of `reward.model.reward_model.RewardModel`.
    """

    features: TitleFeatures
    columns: Columns
    posterior: Posterior
    level: float
    logged_range: Support
    pace: float
    observational: bool = False

    @classmethod
    def fit(cls, arms: Arms, *, seed: int, encoder: Encoder | None = None, observational: bool = False) -> "Judge":
        """Fit on the arms of the judge's own items.

        Parameters
        ----------
        arms
            Arms of items that are used neither for the reward model nor for PPO.
        seed
            Same seed and arms: same judge.
        encoder
            Its columns join the linear model's, each kind with a prior variance of its own; None: none.
        observational
            Learn from items with one title, too, by comparing items that are alike (`reward.model.alike`).

        Raises
        ------
        ModelError
            If fewer than 2 items have 2 titles and a click, or, observational, too few have a click.
        """
        rows = _alike(arms, seed) if observational else _usable(arms)
        rng = np.random.default_rng(seed)
        titles = [str(title) for title in arms.title]
        features = TitleFeatures.fit(arms.items, titles, arms.item_index, encoder=encoder)
        block = features.transform(arms.arm_items, titles, logged=True)
        design = fit_design(features, block, rows)
        columns, matrix = Columns.fit(features, design, block, rows, rng=rng, by_category=True)
        posterior, _ = fit_columns(columns, matrix, rows, widening=1.0 if observational else WIDENING)
        if observational:  # a small one: the ratio of two titles has the mean exp(variance), which is no lift
            own = min(posterior.noise.title_variance, Noise().title_variance)
            posterior = replace(posterior, noise=replace(posterior.noise, title_variance=own))
        effect = (matrix @ posterior.mean).astype(np.float64)
        return cls(
            features,
            columns,
            posterior,
            float(np.average(effect, weights=np.maximum(rows.trials, 1e-9))),
            Support.fit(features.names, block.dense),
            pace(effect),
            observational,
        )

    def effect(self, items: Sequence[Item], titles: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation of each title's effect on log CTR, shape (n,) each.

        The standard deviation is that of one column of `draws`: inflated parameter posterior, unexplained title
        variance, and doubt outside the logged range.
        """
        block = self.features.transform(items, titles)
        matrix = self.columns.values(block)
        excess = self.pace * self.logged_range.excess(block.dense)
        parameters = INFLATION * np.sqrt(np.sum((matrix @ self.posterior.root) ** 2, axis=1))
        mean = matrix @ self.posterior.mean - self.level - excess
        return mean, np.sqrt(parameters**2 + self.posterior.noise.title_variance + (excess / 2) ** 2)

    def mean_effect(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Posterior mean of each title's effect on log CTR, shape (n,); a fraction of the work of `effect`."""
        block = self.features.transform(items, titles)
        mean = self.columns.scores(block, self.posterior.mean)
        out: FloatArray = mean - self.level - self.pace * self.logged_range.excess(block.dense)
        return out

    def draws(self, items: Sequence[Item], titles: Sequence[str], n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Joint posterior draws of the title effects on log CTR, shape (n_draws, n).

        Within a draw all rows share the coefficients; an (item, title) pair that occurs twice gets one value.
        """
        block = self.features.transform(items, titles)
        matrix = self.columns.values(block)
        noise = rng.standard_normal((n_draws, self.posterior.root.shape[1]))
        coefficients = self.posterior.mean + INFLATION * noise @ self.posterior.root.T
        pairs: dict[tuple[str, str], int] = {}
        pair = [pairs.setdefault((item.item_id, title), len(pairs)) for item, title in zip(items, titles, strict=True)]
        own = np.sqrt(self.posterior.noise.title_variance) * rng.standard_normal((n_draws, len(pairs)))
        # How steeply titles fall outside the logged range is one unknown, common to all titles of a draw.
        steepness = 1.0 + 0.5 * rng.standard_normal((n_draws, 1))
        excess = self.pace * self.logged_range.excess(block.dense)
        out: FloatArray = coefficients @ matrix.T - self.level + own[:, pair] - steepness * excess
        return out

    def updated(self, arms: Arms) -> "Judge":
        """The judge after it has also learned from these arms, of items it was not fitted on.

        Offline evaluation tests the judge on the test items' logged arms first and then lets it learn from them: a
        policy's new titles on those items are as unseen as before, and the judge knows more. Features, variances and
        the logged range stay as fitted.
        """
        titles = [str(title) for title in arms.title]
        matrix = self.columns.matrix(self.features.transform(arms.arm_items, titles))
        return replace(self, posterior=update_posterior(self.posterior, matrix, click_rows(arms)))

    def unshrunk(self, contrasts: Sequence[Contrast]) -> "Judge":
        """The judge without its prior's pull towards 0 along what policies differ in (`reward.model.bayes.unshrunk`).

        A judge that is asked about one policy's lift is asked about one direction; along it every effect is drawn to 0
        at once, and strong policies are underestimated. The effects of single titles stay shrunk.

        An observational judge stays as it is: items differ by so much more than titles that clicks of a few hundred
        say next to nothing along one direction, and an interval without the prior would hold anything.
        """
        if self.observational:
            return self
        directions = np.column_stack([self._mean_columns(contrast) for contrast in contrasts])
        prior = np.empty(len(self.posterior.mean))
        for group, variance in zip(self.columns.groups().values(), self.posterior.variances, strict=True):
            prior[group] = WIDENING * variance
        return replace(self, posterior=unshrunk(self.posterior, prior, directions))

    def _mean_columns(self, contrast: "Contrast") -> FloatArray:
        """Weighted sum of the titles' columns, shape (d,)."""
        block = self.features.transform(contrast.items, contrast.titles)
        return np.asarray(contrast.weight @ self.columns.values(block), dtype=np.float64)

    def support(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Similarity of each title to titles the judge has seen logged, in [0, 1], shape (n,).

        The product of two: inside the range of the logged titles' features, and as near to some logged title in
        wording as logged titles of different items are to each other.
        """
        block = self.features.transform(items, titles)
        return np.exp(-self.logged_range.excess(block.dense)) * self.columns.embedding.nearness(self.features, block)

    def vectors(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Coordinates of each title, shape (n, d), in which likeness is what the judge takes for it.

        The squared distance of two titles of an item is, up to a common factor, the prior variance of the difference
        of their effects, apart from each title's own.
        """
        values = self.columns.values(self.features.transform(items, titles))
        for group, variance in zip(self.columns.groups().values(), self.posterior.variances, strict=True):
            values[:, group] *= np.sqrt(variance)
        return values

    def save(self, folder: Path) -> None:
        """Write meta.json and arrays.npz into an existing folder."""
        feature_meta, arrays = self.features.state()
        meta = {
            "format": FORMAT,
            "features": feature_meta,
            "design": self.columns.design.to_json(),
            "wording_by": self.columns.wording_by,
            "variances": list(self.posterior.variances),
            "noise": [self.posterior.noise.overdispersion, self.posterior.noise.title_variance],
            "level": self.level,
            "pace": self.pace,
            "observational": self.observational,
        }
        arrays |= {"kept": self.columns.kept, "mean": self.posterior.mean, "root": self.posterior.root}
        arrays |= {f"embedding.{name}": value for name, value in self.columns.embedding.state().items()}
        arrays |= {f"guard.{name}": value for name, value in self.logged_range.state().items()}
        write_state(folder, meta, arrays)

    @classmethod
    def load(cls, folder: str | Path, *, encodings: Path | None = None) -> "Judge":
        """Judge written by `save`.

        Parameters
        ----------
        folder, encodings
            As for `RewardModel.load`.

        Raises
        ------
        ModelError
            If the folder holds no judge, or a damaged one, or its encoder is not installed or another by now.
        """
        meta, arrays = read_state(folder, FORMAT, JudgeShape, infinite=INFINITE)
        with model_damage(folder):
            features = load_features(folder, meta["features"], arrays, encodings)
            design = Design.from_json(meta["design"])
            check_design(design, features)
            embedding, by = Embedding.from_state(_part(arrays, "embedding.")), meta.get("wording_by")
            if by is not None:
                number(by, "wording_by", 0, len(features.category_names) - 1)
            columns = Columns(features, design, embedding, arrays["kept"], by)
            check_judge(meta, arrays, design, features, columns.n_apart)
            if len(meta["variances"]) != len(columns.groups()):
                raise ValueError(f"{len(meta['variances'])} variances of {len(columns.groups())} groups")
            return cls(
                features,
                columns,
                Posterior(
                    arrays["mean"],
                    arrays["root"],
                    tuple(map(float, meta["variances"])),
                    Noise(*map(float, meta["noise"])),
                ),
                float(meta["level"]),
                Support.from_state(_part(arrays, "guard.")),
                float(meta["pace"]),
                bool(meta.get("observational", False)),
            )


def _alike(arms: Arms, seed: int) -> ArmCounts:
    rows = click_rows(arms)
    check_alike(rows, "judge")
    return alike_rows(arms, rows, seed=np.random.SeedSequence([seed, 2]), threads=1)


def _usable(arms: Arms) -> ArmCounts:
    rows = click_rows(arms)
    titles = rows.item_sum(np.ones(len(arms)))
    useful = int(np.sum((titles >= 2) & (rows.item_sum(rows.successes) > 0)))
    if useful < 2:
        raise ModelError(
            f"a judge needs at least 2 items that have 2 titles and a click each. Its {len(arms.items)} items hold "
            f"{useful}. Raise --judge-share or log more titles per item."
        )
    return rows


def _part(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
