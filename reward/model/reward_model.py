"""The reward model: what an impression of a title is worth, and how sure that is.

    p_click = sigmoid(a_item + g(item, title))
    reward = p_click (w_click + p_conversion (w_conv + w_revenue revenue_item))

with a_item the item's shrunken intercept (from its context where it has no history) and g the title effect, learned
within items by an ensemble on item bootstraps. See docs/architecture.md, section 5.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..arms import Arms
from ..arrays import FloatArray
from ..encoders.encoder import Encoder
from ..errors import ModelError
from ..features.transformer import FeatureBlock, TitleFeatures
from ..items import Item
from .alike import alike_rows, check_alike, own_variance
from .boosting import TreeFitter, fit_trees
from .effect import TrainingSet, prepare
from .ensemble import claim, fit_fingerprint, fit_members
from .item_context import ItemTotals
from .linear import ArmCounts
from .outcome import JointEffects, Outcome, OutcomePrediction, finish
from .persistence import load_model, save_model
from .sale_value import SaleValue

Progress = Callable[[str, float], None]

_CHUNK = 8192  # pairs scored at once: bounds the memory of the n-grams
_SMALL = 512  # fewer pairs than this are scored on one thread, where starting others costs more than it saves


@dataclass(frozen=True)
class RewardPrediction:
    """Prediction for n (item, title) pairs, shape (n,) each.

    Parameters
    ----------
    p_click
        Chance of a click on an impression at the logs' average position.
    p_conversion
        Chance of a conversion given a click; None where the logs have no conversions.
    reward
        Expected value of an impression.
    reward_std
        Standard deviation of ``reward``: title effect and item baseline together.
    effect
        Title effect on the log-odds of a click; 0 is the item's average rate over its logged titles.
    effect_std
        Standard deviation of ``effect``: what is not known about the *title*. A policy that must not exploit the
        model is held back by this one; the baseline's part of ``reward_std`` is the same for every title of an item.
    support
        Similarity of the title to logged ones: 1 inside their range, falling outside.
    """

    p_click: FloatArray
    p_conversion: FloatArray | None
    reward: FloatArray
    reward_std: FloatArray
    effect: FloatArray
    effect_std: FloatArray
    support: FloatArray


@dataclass(frozen=True, repr=False)
class RewardModel:
    """Fitted reward model; make one with `fit` or `load`.

    Parameters
    ----------
    features
        The fitted transformer.
    click, conversion
        Models of the outcomes; ``conversion`` is None where the logs have no conversions.
    click_weight, conversion_weight
        Value of a click and of a conversion.
    threads
        Threads of the LightGBM predictions on large batches.
    revenue_weight, sale
        Value of a unit of revenue, and the revenue of a conversion by item; None where the logs have none.
    observational
        True where titles of different items were compared (`reward.model.alike`): what correlates with clicks need not
        cause them.
    """

    features: TitleFeatures
    click: Outcome
    conversion: Outcome | None
    click_weight: float
    conversion_weight: float
    threads: int
    revenue_weight: float = 0.0
    sale: SaleValue | None = None
    observational: bool = False

    def __repr__(self) -> str:
        outcomes = "clicks" if self.conversion is None else "clicks and conversions"
        return f"RewardModel({outcomes}, {len(self.click.members)} members)"

    @classmethod
    def fit(
        cls,
        arms: Arms,
        *,
        seed: int,
        n_members: int = 5,
        click_weight: float = 1.0,
        conversion_weight: float = 0.0,
        revenue_weight: float = 0.0,
        threads: int = 2,
        encoder: Encoder | None = None,
        checkpoint_dir: Path | None = None,
        progress: Progress | None = None,
        watch: Callable[[str, TrainingSet], None] | None = None,
        trees: TreeFitter = fit_trees,
        observational: bool = False,
    ) -> "RewardModel":
        """Fit on the arms of train items.

        Parameters
        ----------
        arms
            Arms of train items only.
        seed
            Same seed, arms and threads: same model.
        n_members
            Size of the ensemble.
        click_weight, conversion_weight, revenue_weight
            Value of a click, of a conversion, and of a unit of revenue.
        threads
            Threads of LightGBM.
        encoder
            Knows what the titles' words mean (`reward.encoders.encoder.open_encoder`); None: the wording alone.
        checkpoint_dir
            Folder for members while fitting; the same call continues an interrupted fit. Emptied by a fit of
            other data, removed at the end.
        progress
            Called with a step's name and the share done.
        watch
            Called with each outcome's name and what its members are about to be fitted on: for measurements that
            would have to prepare the same again.
        trees
            Grower of the trees.
        observational
            Learn from items with one title, too, by comparing items that are alike (`reward.model.alike`).

        Raises
        ------
        ModelError
            If the arms hold no item with two titles and a click, or a weight is out of range.
        """
        weights = {"click": click_weight, "conversion": conversion_weight, "revenue": revenue_weight}
        sale = SaleValue.fit(arms)
        _check(arms, n_members, weights, sale, observational=observational)
        root = np.random.SeedSequence(seed)
        click_seed, conversion_seed, alike_seed = root.spawn(3)
        if checkpoint_dir is not None:
            engine = f"{threads} {trees.name}{' observational' if observational else ''}"
            claim(checkpoint_dir, fit_fingerprint(arms, seed, n_members, engine, encoder))
        _report(progress, "features", 0.0)
        titles = [str(title) for title in arms.title]
        features = TitleFeatures.fit(arms.items, titles, arms.item_index, encoder=encoder)
        block = features.transform(arms.arm_items, titles, logged=True)
        _report(progress, "features", 1.0)
        fitted: dict[str, Outcome] = {}
        for name, rows, seed_sequence in (
            ("click", click_rows(arms), click_seed),
            ("conversion", conversion_rows(arms), conversion_seed),
        ):
            if rows is None:
                continue
            first, second, third = seed_sequence.spawn(3)
            compared = alike_rows(arms, rows, seed=alike_seed, threads=threads) if observational else rows
            training: TrainingSet = prepare(features, block, compared, seed=first)
            if watch is not None:
                watch(name, training)
            members = fit_members(
                training,
                n_members,
                name=name,
                seed=second,
                threads=threads,
                checkpoint_dir=checkpoint_dir,
                progress=progress,
                trees=trees,
            )
            outcome = finish(
                training,
                members,
                rows,
                arms.items,
                block,
                seed=third,
                threads=threads,
                before=None if name == "click" else item_totals(click_rows(arms)),
            )
            if observational:
                rest = np.sqrt(own_variance(outcome.spread.rest**2))
                outcome = replace(outcome, spread=replace(outcome.spread, rest=float(rest)))
            fitted[name] = outcome
        if checkpoint_dir is not None:
            shutil.rmtree(checkpoint_dir, ignore_errors=True)
        return cls(
            features,
            fitted["click"],
            fitted.get("conversion"),
            click_weight,
            conversion_weight,
            threads,
            revenue_weight,
            sale,
            observational,
        )

    @property
    def encoder(self) -> Encoder | None:
        """Encoder of the titles' texts; None if the model uses the wording alone."""
        meaning = self.features.meaning
        return None if meaning is None else meaning.encoder

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> RewardPrediction:
        """Predict n pairs.

        Parameters
        ----------
        items, titles
            Pairs, both of length n. Any text is answered; titles unlike anything logged get a low effect.

        Raises
        ------
        ModelError
            If the lengths differ.
        """
        if len(items) != len(titles):
            raise ModelError(f"items and titles must have the same length. Got {len(items)} and {len(titles)}.")
        parts = [
            self._predict(items[i : i + _CHUNK], titles[i : i + _CHUNK]) for i in range(0, max(len(titles), 1), _CHUNK)
        ]
        joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        p_click, p_conversion, *others = joined
        return RewardPrediction(p_click, p_conversion if self.conversion is not None else None, *others)

    def _predict(self, items: Sequence[Item], titles: Sequence[str]) -> tuple[FloatArray, ...]:
        block = self.features.transform(items, titles)
        threads = self.threads if len(titles) > _SMALL else 1
        click = self.click.predict(items, block, threads=threads)
        p = click.probability
        if self.conversion is None:
            reward, reward_std = self.click_weight * p, self.click_weight * p * (1 - p) * click.logit_std
            return p, np.zeros_like(p), reward, reward_std, click.effect, click.effect_std, click.support
        conversion = self.conversion.predict(items, block, threads=threads)
        sale = self.conversion_weight + (self.revenue_weight * self.sale.of(items) if self.sale is not None else 0.0)
        reward, reward_std = self._value(click, conversion, sale)
        return p, conversion.probability, reward, reward_std, click.effect, click.effect_std, click.support

    def _value(
        self, click: OutcomePrediction, conversion: OutcomePrediction, sale: float | FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Expected value and its standard deviation by the delta method, the two outcomes taken as independent.

        ``sale`` is what a conversion of each item is worth.
        """
        p, q = click.probability, conversion.probability
        per_click = self.click_weight + sale * q
        of_click = per_click * p * (1 - p) * click.logit_std
        of_conversion = sale * p * q * (1 - q) * conversion.logit_std
        return per_click * p, np.hypot(of_click, of_conversion)

    def joint_effects(self, items: Sequence[Item], titles: Sequence[str]) -> JointEffects:
        """Effects on the log-odds of a click of n pairs, with their joint uncertainty."""
        parts = []
        for start in range(0, max(len(titles), 1), _CHUNK):
            block = self.features.transform(items[start : start + _CHUNK], titles[start : start + _CHUNK])
            parts.append(self.click.joint_effects(block, threads=self.threads if len(block) > _SMALL else 1))
        mean, rest = (np.concatenate([getattr(part, name) for part in parts]) for name in ("mean", "rest"))
        return JointEffects(mean, np.concatenate([part.factors for part in parts]), rest)

    def support(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Similarity of each title to logged ones, in [0, 1]: 1 inside their range, falling outside; shape (n,)."""
        return self.click.logged_range.support(self.block(items, titles).dense)

    def block(self, items: Sequence[Item], titles: Sequence[str]) -> FeatureBlock:
        """Features of n pairs."""
        return self.features.transform(items, titles)

    def save(self, folder: Path) -> None:
        """Write the model into an existing folder: meta.json, arrays.npz, one .txt (LightGBM) and .npz a member."""
        save_model(
            folder,
            self.features,
            {"click": self.click} | ({"conversion": self.conversion} if self.conversion is not None else {}),
            {
                "click_weight": self.click_weight,
                "conversion_weight": self.conversion_weight,
                "revenue_weight": self.revenue_weight,
                "sale": self.sale.to_json() if self.sale is not None else None,
                "threads": self.threads,
                "observational": self.observational,
            },
        )

    @classmethod
    def load(cls, folder: str | Path, *, encodings: Path | None = None) -> "RewardModel":
        """Model written by `save`.

        Parameters
        ----------
        folder
            Folder that `save` wrote. The encoder ``policy`` is looked for beside it.
        encodings
            File that keeps what its encoder says of titles between processes.

        Raises
        ------
        ModelError
            If the folder holds no such model, or a damaged one, or its encoder is not installed or another by now.
        """
        features, outcomes, settings = load_model(folder, encodings)
        return cls(
            features,
            outcomes["click"],
            outcomes.get("conversion"),
            float(settings["click_weight"]),
            float(settings["conversion_weight"]),
            int(settings["threads"]),
            float(settings["revenue_weight"]),
            SaleValue.from_json(settings["sale"]) if settings["sale"] is not None else None,
            bool(settings.get("observational", False)),
        )


def click_rows(arms: Arms) -> ArmCounts:
    """Clicks and position-corrected exposure of every arm.

    Arms are not weighted by inverse propensities. A title's rate within its item is unbiased whatever its traffic, as
    long as the logging policy chose by item and title alone; weights would only add variance where titles were shown
    least (``tests/benchmarks/reward_signal.py`` measures what they cost).
    """
    return ArmCounts(arms.clicks, np.maximum(arms.exposure, arms.clicks), arms.item_index, len(arms.items))


def conversion_rows(arms: Arms) -> ArmCounts | None:
    """Conversions and matured clicks of every arm, None where the logs hold no conversion."""
    if arms.conversions is None or not arms.conversions.sum() > 0:
        return None
    clicks = arms.clicks if arms.matured_clicks is None else arms.matured_clicks
    return ArmCounts(arms.conversions, np.maximum(clicks, arms.conversions), arms.item_index, len(arms.items))


def item_totals(rows: ArmCounts) -> ItemTotals:
    """Counts of the items."""
    return ItemTotals(rows.item_sum(rows.successes), rows.item_sum(rows.trials))


def _check(
    arms: Arms, n_members: int, weights: Mapping[str, float], sale: SaleValue | None, *, observational: bool
) -> None:
    if n_members < 1:
        raise ModelError(f"n_members must be at least 1. Got {n_members}.")
    for name, value in weights.items():
        if not (np.isfinite(value) and value >= 0):
            raise ModelError(f"{name}_weight must be a finite number of 0 or more. Got {value}.")
    if not any(weights.values()):
        names = ", ".join(f"{name}_weight" for name in weights)
        raise ModelError(f"{names} are all 0: the reward would be 0 for every title.")
    for name, missing in (("conversion", conversion_rows(arms) is None), ("revenue", sale is None)):
        if weights[name] > 0 and missing:
            column = {"conversion": "conversions", "revenue": "revenue"}[name]
            raise ModelError(
                f"{name}_weight is {weights[name]}, but the logs hold no {name}. "
                f"Set it to 0 or map the column with --columns {column}=..."
            )
    counts = np.bincount(arms.item_index, minlength=len(arms.items)) if len(arms) else np.zeros(0)
    clicks = np.bincount(arms.item_index, weights=arms.clicks, minlength=len(arms.items)) if len(arms) else counts
    useful = int(np.sum((counts >= 2) & (clicks > 0)))
    if observational:
        check_alike(click_rows(arms), "reward")
    elif useful < 2:
        raise ModelError(
            f"a title effect needs at least 2 items that have 2 titles and a click each. The {len(arms.items)} train "
            f"items hold {useful}. Log more titles per item, or give more items to train."
        )


def _report(progress: Progress | None, step: str, share: float) -> None:
    if progress is not None:
        progress(step, share)
