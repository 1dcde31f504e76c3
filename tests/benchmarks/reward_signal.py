"""Comparison of losses for the trees of the title effect: four losses on the same features, and inverse propensities.

    python tests/benchmarks/reward_signal.py

All rows but the last two see the same table (features, out-of-fold linear score) and stop early on the same inner
items. "product" is the reward model as it is; "linear only" is the ridge that its trees start from. "inverse
propensity" is the product on arms weighted by one over their propensity, clipped at five times the average weight.
Upworthy: five folds as in upworthy_reward.py, no encoder. Simulated shop: correlation of the predicted with the true
title effect within held-out items; its logging policy prefers some titles by context.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
from scoring import shop_arms
from upworthy_reward import ARCHIVE, N_FOLDS, figures, folds_of, read_archive

from envs.market import Market
from reward.arms import Arms
from reward.features.transformer import TitleFeatures
from reward.model import boosting
from reward.model.effect import TrainingSet, prepare
from reward.model.linear import ArmCounts, working
from reward.model.reward_model import RewardModel, click_rows

ROUNDS, PATIENCE = 400, 30
MEMBERS = 3


def init_score(rows: ArmCounts, prior: float = 300.0) -> np.ndarray:
    """Log-odds of each arm's item, shrunk to the average rate by ``prior`` impressions."""
    rate = rows.successes.sum() / rows.trials.sum()
    p = (rows.item_sum(rows.successes) + prior * rate) / (rows.item_sum(rows.trials) + prior)
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))[rows.item]


def cross_entropy(rows: ArmCounts, noise: float) -> tuple[dict, dict, np.ndarray]:
    """Arm rates, the item's shrunken log-odds as init_score."""
    rate = np.clip(rows.successes / np.maximum(rows.trials, 1e-9), 0, 1)
    weight = rows.trials / (1 + noise * working(rows, np.zeros(len(rate))).information)
    return {"objective": "cross_entropy"}, {"label": rate, "init_score": init_score(rows)}, weight


def centred_logits(rows: ArmCounts, noise: float) -> tuple[dict, dict, np.ndarray]:
    """Within-item log-odds (one Newton step from the item's rate), weighted by their precision."""
    state = working(rows, np.zeros(len(rows.item)))
    weight = state.information / (1 + noise * state.information)
    mean = rows.item_sum(weight * state.response) / np.maximum(rows.item_sum(weight), 1e-12)
    return {"objective": "l2"}, {"label": state.response - mean[rows.item]}, weight


def lambdarank(rows: ArmCounts, _: float) -> tuple[dict, dict, np.ndarray]:
    """The order of the item's rates, all pairs alike in depth."""
    rate = rows.successes / np.maximum(rows.trials, 1e-9)
    label = np.array([int(np.sum((rows.item == i) & (rate < r))) for i, r in zip(rows.item, rate, strict=True)])
    settings = {"objective": "lambdarank", "lambdarank_truncation_level": 30, "label_gain": list(range(200))}
    return settings, {"label": np.minimum(label, 199)}, np.ones(len(rate))


LOSSES: dict[str, Callable[[ArmCounts, float], tuple[dict, dict, np.ndarray]]] = {
    "cross-entropy with init_score": cross_entropy,
    "centred logits by precision": centred_logits,
    "LambdaRank within items": lambdarank,
}


def boosted(loss: str, training: TrainingSet, table: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """Trees on one loss, stopped by the order of titles of inner items left out; scores of the table ``asked``."""
    rows = training.rows
    order = np.argsort(rows.item, kind="stable")
    rows = ArmCounts(rows.successes[order], rows.trials[order], rows.item[order], rows.n_items)
    table = table[order]
    inner = np.random.default_rng(seed).permutation(rows.n_items) % 5 == 0
    held = inner[rows.item]
    settings, columns, weight = LOSSES[loss](rows, training.basis.noise.title_variance)
    if loss.startswith("LambdaRank"):
        columns["group"] = np.unique(rows.item[~held], return_counts=True)[1]
    parts = {name: value if name == "group" else value[~held] for name, value in columns.items()}
    data = lgb.Dataset(table[~held], weight=weight[~held] / weight[~held].mean(), **parts)
    sizes = boosting.parameters(seed, 1) | {"lambda_l2": 20.0, "min_sum_hessian_in_leaf": 1e-3}
    booster = lgb.train(sizes | {"min_data_in_leaf": 40} | settings, data, ROUNDS)
    best, best_rounds = -np.inf, 0
    for rounds in range(0, ROUNDS + 1, 10):
        effect = booster.predict(table, raw_score=True, num_iteration=rounds) if rounds else np.zeros(len(table))
        scale = max(float(np.std(effect[held])), 1e-9) / 0.1 if loss.startswith("LambdaRank") else 1.0
        value = boosting.choice_log_likelihood(rows, effect / scale, held)
        if value > best:
            best, best_rounds = value, rounds
        if rounds - best_rounds > PATIENCE:
            break
    return booster.predict(asked, raw_score=True, num_iteration=max(best_rounds, 10))


def effects(train: Arms, test: Arms, seed: int) -> dict[str, np.ndarray]:
    """Predicted effect of the test arms by every way."""
    titles, asked = [str(title) for title in train.title], [str(title) for title in test.title]
    features = TitleFeatures.fit(train.items, titles, train.item_index)
    block = features.transform(train.arm_items, titles, logged=True)
    training = prepare(features, block, click_rows(train), seed=np.random.SeedSequence(seed))
    basis = training.basis
    new = features.transform(test.arm_items, asked)
    score = basis.linear_scores(new, basis.coefficients[:, None])[:, 0]
    tables = basis.table(block, training.fold_score), basis.table(new, score)
    out = {loss: boosted(loss, training, *tables, seed) for loss in LOSSES}
    out["linear only"] = score
    fit = {"seed": seed, "n_members": MEMBERS, "threads": 1}
    out["product"] = RewardModel.fit(train, **fit).predict(test.arm_items, asked).effect
    weighted = inverse_propensity(train)
    out["inverse propensity"] = RewardModel.fit(weighted, **fit).predict(test.arm_items, asked).effect
    return out


def inverse_propensity(arms: Arms, clip: float = 5.0) -> Arms:
    """The same arms with clicks and exposure times 1 / propensity, clipped, as many impressions in all."""
    weight = 1 / np.maximum(arms.propensity, 1e-9)
    weight = np.minimum(weight, clip * weight.mean())
    weight *= arms.exposure.sum() / (weight * arms.exposure).sum()
    return replace(
        arms, clicks=weight * arms.clicks, exposure=weight * arms.exposure, impressions=weight * arms.impressions
    )


def show_upworthy(archive: Path) -> None:
    """Five folds of the archive."""
    arms = read_archive(archive)
    arms = arms.take(np.bincount(arms.item_index)[arms.item_index] > 1)
    fold = folds_of(arms)[arms.item_index]
    found: dict[str, np.ndarray] = {}
    for k in range(N_FOLDS):
        for name, effect in effects(arms.take(fold != k), arms.take(fold == k), k).items():
            found.setdefault(name, np.zeros(len(arms)))[fold == k] = effect
    print(f"\nUpworthy, {len(arms):,} arms, {N_FOLDS} folds: pairs, significant pairs, lift of the picked headline")
    for name, effect in found.items():
        cells = [
            f"{100 * f.value:5.1f}% [{100 * f.low:.1f}, {100 * f.high:.1f}]" for f in figures(arms, effect).values()
        ]
        print(f"{name:32} " + "   ".join(f"{cell:22}" for cell in cells), flush=True)


def show_shop(locale: str, seed: int) -> None:
    """A simulated shop: 800 items to learn from, 300 to ask about."""
    market = Market(1100, locale, seed)
    arms = shop_arms(market, 1100, seed)
    train, test = arms.take(arms.item_index < 800), arms.take(arms.item_index >= 800)
    p = market.click_probability(test.arm_items, [str(title) for title in test.title])
    truth = _within(np.log(p / (1 - p)), test.item_index)
    print(f"\nsimulated shop {locale}, seed {seed}, {len(train):,} arms: correlation with the true effect")
    for name, effect in effects(train, test, seed).items():
        print(f"{name:32} {np.corrcoef(truth, _within(effect, test.item_index))[0, 1]:.3f}", flush=True)


def _within(values: np.ndarray, item: np.ndarray) -> np.ndarray:
    return values - (np.bincount(item, values) / np.bincount(item))[item]


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?", default=ARCHIVE, help="parquet (default: %(default)s)")
    parser.add_argument("--shops", type=int, default=1, help="seeds of the shop, each in both languages")
    arguments = parser.parse_args()
    for seed in range(arguments.shops):
        for locale in ("en", "zh"):
            show_shop(locale, seed)
    if arguments.archive.exists():
        show_upworthy(arguments.archive)


if __name__ == "__main__":
    main()
