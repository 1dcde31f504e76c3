"""Clicks that an exploring shop gets, batch after batch, on replayed headline tests of the Upworthy archive.

    python tests/benchmarks/bandit_replay.py --predictions oof.npz --part choice
    python tests/benchmarks/bandit_replay.py --predictions oof.npz --part locked --seeds 20

Truth: each headline's click rate, shrunken towards its test's mean by as much as overdispersed chance makes of the
differences, and drawn from what that leaves unknown (--truth mean: not drawn, which makes headlines more alike than
they are). Clicks of a batch have --overdispersion times a Poisson's variance. Every strategy has the same visitors
(paired). Rewards are fitted out of fold and without encoder (_upworthy_prior.py), and kept in --predictions. Items of
the folds 0 and 1 are the choice part, on which the allocation was chosen; those of 2, 3 and 4 the locked part. A fold
is a run: its items teach one another.

Figures are clicks over those of the items' average titles.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _upworthy_prior import Predicted, predicted
from upworthy_reward import ARCHIVE, OVERDISPERSION

from reward.evidence.slope import effect_slope, trust
from reward.logs.heterogeneity import Heterogeneity
from reward.model.reward_model import click_rows
from rlopt.exploring.allocation import Horizon, allocate
from rlopt.exploring.beliefs import Clicks, TitlePrior, learn

PARTS = {"choice": (0, 1), "locked": (2, 3, 4)}


@dataclass(frozen=True)
class World:
    """Items of one fold: true rates (n, k), the prior, and how many batches of how many impressions."""

    rate: np.ndarray
    prior: TitlePrior
    spread: float
    logged_rate: float


def worlds(found: Predicted, folds: tuple[int, ...], truth: str, seed: int) -> list[World]:
    """One a fold; the slope of its predictions is taken from the other folds."""
    rng = np.random.default_rng([seed, 77])
    arms = found.arms
    titles = Heterogeneity.of(arms.clicks, arms.exposure, arms.item_index, len(arms.items))
    variance = titles.variance(OVERDISPERSION)
    out = []
    for fold in folds:
        other = arms.take(found.fold != fold)
        slope, error = trust(effect_slope(click_rows(other), found.mean[found.fold != fold]))
        rows = np.flatnonzero(found.fold == fold)
        part = arms.take(rows)
        order = np.argsort(part.item_index, kind="stable")
        counts = np.bincount(part.item_index)
        place = np.empty(len(order), dtype=int)
        place[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        at = part.item_index, place
        shape = len(counts), counts.max()
        present = np.zeros(shape, dtype=bool)
        present[at] = True

        def padded(values: np.ndarray, fill: float = 0.0, at: tuple = at, shape: tuple = shape) -> np.ndarray:
            laid = np.full((*shape, *values.shape[1:]), fill)
            laid[at] = values
            return laid

        item = part.item_index
        level = np.bincount(item, part.clicks) / np.bincount(item, part.exposure)
        expected = part.exposure * level[item]
        trusted = expected * variance / (expected * variance + OVERDISPERSION)
        relative = 1 + trusted * (part.clicks / np.maximum(expected, 1e-9) - 1)
        if truth == "draw":
            relative = relative + rng.normal(size=len(part)) * np.sqrt(variance * (1 - trusted))
        rate = level[item] * np.maximum(relative, 0.1)
        prior = TitlePrior(
            padded(found.mean[rows]), padded(found.factors[rows]), padded(found.rest[rows], 1.0), present
        ).with_doubt(slope, error)
        logged = float(other.clicks.sum() / other.exposure.sum())
        out.append(World(padded(rate), prior, float(np.sqrt(variance)), logged))
    return out


class Visitors:
    """Clicks of any title in any batch: the same numbers for every strategy."""

    def __init__(self, world: World, batches: int, overdispersion: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._uniform = rng.random((batches, *world.rate.shape))
        self._rate, self._phi = world.rate, overdispersion

    def clicks(self, batch: int, impressions: np.ndarray) -> np.ndarray:
        """Clicks on so many impressions of each title: Poisson, or negative binomial with phi times the variance."""
        from scipy import stats

        mean = impressions * self._rate
        if self._phi == 1:
            return np.where(mean > 0, stats.poisson.ppf(self._uniform[batch], np.maximum(mean, 1e-12)), 0.0)
        size = mean / (self._phi - 1)
        drawn = stats.nbinom.ppf(self._uniform[batch], np.maximum(size, 1e-12), 1 / self._phi)
        return np.where(mean > 0, drawn, 0.0)


class Ours:
    """Beliefs of the reward's prior, the most valuable allocation."""

    def __init__(self, world: World, phi: float, floor: float) -> None:
        self.world, self.phi, self.floor = world, phi, floor
        self.shown: list[np.ndarray] = []
        self.clicked: list[np.ndarray] = []

    def see(self, shown: np.ndarray, clicked: np.ndarray) -> None:
        self.shown.append(shown)
        self.clicked.append(clicked)

    def beliefs(self):
        if not self.shown:
            return self.world.prior.beliefs
        seen = Clicks.of(np.array(self.clicked), np.array(self.shown))
        return learn(self.world.prior, seen, self.phi)

    def shares(self, batch: int, batches: int, impressions: float) -> np.ndarray:
        n = len(self.world.rate)
        clicks, shown = (np.sum(seen, axis=(0, 2)) if seen else np.zeros(n) for seen in (self.clicked, self.shown))
        rate = (clicks + 5) / (shown + 5 / self.world.logged_rate)
        each = np.full(n, impressions)
        horizon = Horizon(each, each * (batches - batch), np.zeros_like(each), rate, self.phi)
        return allocate(self.beliefs(), horizon, floor=self.floor, seed=batch).probability


class Plain(Ours):
    """The same without a prior mean."""

    def __init__(self, world: World, phi: float, floor: float) -> None:
        flat = TitlePrior.flat(world.prior.present, world.spread)
        super().__init__(World(world.rate, flat, world.spread, world.logged_rate), phi, floor)


class Uniform(Ours):
    def shares(self, batch: int, batches: int, impressions: float) -> np.ndarray:
        present = self.world.prior.present
        return present / present.sum(axis=1, keepdims=True)


class Model(Ours):
    """The title that the model thinks best, always."""

    def shares(self, batch: int, batches: int, impressions: float) -> np.ndarray:
        return _only(np.where(self.world.prior.present, self.world.prior.mean, -np.inf))


class Rollout(Uniform):
    """All alike for a share of the impressions, then the title with the best rate seen."""

    part = 0.2

    def shares(self, batch: int, batches: int, impressions: float) -> np.ndarray:
        if batch < round(self.part * batches):
            return super().shares(batch, batches, impressions)
        clicks, shown = np.sum(self.clicked[: round(self.part * batches)], axis=0), self.shown
        tried = np.sum(shown[: round(self.part * batches)], axis=0)
        return _only(np.where(self.world.prior.present, clicks / np.maximum(tried, 1e-9), -1.0))


class LongRollout(Rollout):
    part = 0.5


class Thompson(Ours):
    """Beta posterior of each title's rate, from a weak prior at the logs' rate; as often as it is drawn best."""

    def shares(self, batch: int, batches: int, impressions: float) -> np.ndarray:
        shape = self.world.rate.shape
        clicks, shown = (np.sum(seen, axis=0) if seen else np.zeros(shape) for seen in (self.clicked, self.shown))
        rng = np.random.default_rng(batch)
        # every headline of the archive is worth two clicks of prior at the common rate
        a, b = clicks + 2, np.maximum(shown - clicks, 0) + 2 / self.world.logged_rate
        drawn = rng.beta(a, b, size=(400, *shape))
        best = np.argmax(np.where(self.world.prior.present, drawn, -1.0), axis=2)
        return np.stack([(best == title).mean(axis=0) for title in range(shape[1])], axis=1)


STRATEGIES = {
    "uniform": Uniform, "rollout 20%": Rollout, "rollout 50%": LongRollout, "Thompson": Thompson, "model": Model,
    "explore, no prior": Plain, "explore": Ours,
}  # fmt: skip


def _only(value: np.ndarray) -> np.ndarray:
    return np.eye(value.shape[1])[np.argmax(value, axis=1)]


def gain(world: World, strategy: Ours, visitors: Visitors, traffic: float, batches: int) -> float:
    """True clicks over those of the average titles, summed over items with equal traffic, each over its own rate."""
    mean = world.rate.sum(axis=1) / world.prior.present.sum(axis=1)
    got = np.zeros(len(mean))
    for batch in range(batches):
        impressions = traffic / batches
        shown = strategy.shares(batch, batches, impressions) * impressions
        strategy.see(shown, visitors.clicks(batch, shown))
        got += np.sum(shown * world.rate, axis=1) / traffic
    return float(got.sum() / mean.sum() - 1)


def _best(world: World) -> float:
    return float(world.rate.max(axis=1).sum())


def _average(world: World) -> float:
    return float((world.rate.sum(axis=1) / world.prior.present.sum(axis=1)).sum())


def main() -> None:
    """Replay, print a table with paired differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=Path, help="keep the predictions out of fold in this file")
    parser.add_argument("--part", choices=PARTS, default="locked", help="items (default: %(default)s)")
    parser.add_argument(
        "--truth", choices=("draw", "mean"), default="draw", help="of the posterior of each rate (default: %(default)s)"
    )
    parser.add_argument("--traffic", type=float, nargs="+", default=[1000, 4000, 12000], help="impressions an item")
    parser.add_argument("--batches", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--overdispersion", type=float, default=OVERDISPERSION, help="(default: %(default).3g)")
    parser.add_argument("--floor", type=float, default=0.005, help="least chance of a title (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=20, help="repetitions (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    arguments = parser.parse_args()
    read = predicted(ARCHIVE, arguments.predictions)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    every = [worlds(read, PARTS[arguments.part], arguments.truth, seed) for seed in seeds]
    best, mean = (sum(f(world) for found in every for world in found) for f in (_best, _average))
    print(f"{sum(len(w.rate) for w in every[0]):,} items of the {arguments.part} part; oracle {best / mean - 1:+.1%}")
    for traffic in arguments.traffic:
        started = time.monotonic()
        gains = {name: [] for name in arguments.strategies}
        for seed, found in zip(seeds, every, strict=True):
            for name in arguments.strategies:
                parts = [
                    gain(
                        world,
                        STRATEGIES[name](world, arguments.overdispersion, arguments.floor),
                        Visitors(world, arguments.batches, arguments.overdispersion, 1000 * seed + number),
                        traffic,
                        arguments.batches,
                    )
                    for number, world in enumerate(found)
                ]
                gains[name].append(np.average(parts, weights=[len(world.rate) for world in found]))
        ours = np.array(gains["explore"])
        print(f"{traffic:,.0f} impressions an item ({time.monotonic() - started:.0f} s)")
        for name, values in gains.items():
            apart = ours - np.array(values)
            error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else np.nan
            print(
                f"  {name:18} {100 * np.mean(values):+6.2f}%   explore is {100 * apart.mean():+.2f} "
                f"+- {196 * error:.2f} points above, in {np.sum(apart > 0)} of {len(apart)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
