"""Predictions of reward models for unseen headlines: five folds of the Upworthy archive, kept in a file."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from upworthy_reward import N_FOLDS, folds_of, read_archive

from reward.arms import Arms
from reward.model.reward_model import RewardModel


@dataclass(frozen=True)
class Predicted:
    """Arms with two headlines or more an item, and their effects by a model of the other folds.

    Parameters
    ----------
    arms
        The arms.
    mean, factors, rest
        As in `reward.model.outcome.JointEffects`, shapes (n,), (n, members) and (n,).
    fold
        Fold of each arm, shape (n,).
    """

    arms: Arms
    mean: np.ndarray
    factors: np.ndarray
    rest: np.ndarray
    fold: np.ndarray


def predicted(archive: Path, kept: Path | None, members: int = 5) -> Predicted:
    """Predictions out of fold, without an encoder; taken from ``kept`` where that is there, else written to it."""
    arms = read_archive(archive)
    arms = arms.take(np.bincount(arms.item_index)[arms.item_index] > 1)
    fold = folds_of(arms)[arms.item_index]
    if kept is not None and kept.exists():
        with np.load(kept) as file:
            return Predicted(arms, file["mean"], file["factors"], file["rest"], fold)
    mean, factors, rest = np.zeros(len(arms)), np.zeros((len(arms), members)), np.zeros(len(arms))
    for k in range(N_FOLDS):
        started = time.monotonic()
        rows = np.flatnonzero(fold == k)
        model = RewardModel.fit(arms.take(fold != k), seed=k, n_members=members, threads=1)
        part = arms.take(rows)
        found = model.joint_effects(part.arm_items, [str(title) for title in part.title])
        mean[rows], factors[rows], rest[rows] = found.mean, found.factors, found.rest
        print(f"  fold {k + 1} of {N_FOLDS}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if kept is not None:
        np.savez(kept, mean=mean, factors=factors, rest=rest)
    return Predicted(arms, mean, factors, rest, fold)
