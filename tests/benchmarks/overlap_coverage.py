"""Coverage of the exact estimators' 95% intervals on replayed Upworthy tests.

    python tests/benchmarks/overlap_coverage.py [--repetitions 1000] [--seed 0]

An item is a test with one image; its arms are headlines that were shown at random. One half of the archive's clicks
teaches two policies (the best headline; a softmax over log rates), the other half gives the true rates. A repetition
draws as many items as there are, with replacement, deals 10 k, 100 k or 1 M impressions out to their arms as the
archive did, draws the clicks, and estimates the policy's CTR and its lift over the logged titles. The truth is their
value over all items. "rows" is what the usual interval (normal, rows taken as independent) covers. A coverage of 95%
measured with 250 repetitions is itself only known to +-2.7 points, and the estimators share their worlds, so that one
unlucky draw moves many cells: the last line tells which cells are outside by more than that.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _data import DATA
from scipy import stats

from reward.arrays import FloatArray, IntArray
from rlopt.ope.crossfit import cross_fitted_rounds
from rlopt.ope.estimators import LoggedRounds
from rlopt.ope.evaluation import OffPolicyEvaluation
from rlopt.ope.tuning import tuned

SIZES = (10_000, 100_000, 1_000_000)
KEYS = ("ips", "snips", "dr", "sndr", "dr_clip tuned", "dros tuned")
LOW, HIGH = 0.93, 0.975


@dataclass(frozen=True)
class Archive:
    """Arms sorted by item, arrays of shape (n_arms,); ``starts`` (n_items + 1,) says where an item's begin."""

    starts: IntArray
    traffic: FloatArray  # of each item, shape (n_items,)
    rate: FloatArray
    score: FloatArray  # log rate on the other half of the clicks, shrunk to the item's

    @property
    def item(self) -> IntArray:
        return np.repeat(np.arange(len(self.traffic)), np.diff(self.starts))


def load(seed: int) -> Archive:
    table = pq.read_table(DATA / "upworthy" / "packages.parquet")
    table = table.filter(pc.invert(table["randomization_problem"].cast("bool")))
    ids = [
        f"{t}\x00{e}"
        for t, e in zip(table["clickability_test_id"].to_pylist(), table["eyecatcher_id"].to_pylist(), strict=True)
    ]
    _, item = np.unique(ids, return_inverse=True)
    order = np.argsort(item, kind="stable")
    item, impressions, clicks = (
        a[order]
        for a in (item, table["impressions"].to_numpy().astype(np.int64), table["clicks"].to_numpy().astype(np.int64))
    )
    several = (np.bincount(item) >= 2)[item]
    _, item = np.unique(item[several], return_inverse=True)
    impressions, clicks = impressions[several], clicks[several]
    rng = np.random.default_rng(seed)
    shown = impressions // 2
    learned = rng.hypergeometric(clicks, impressions - clicks, shown)
    item_rate = (np.bincount(item, learned) + 1.0) / (
        np.bincount(item, shown) + 1.0 / (clicks.sum() / impressions.sum())
    )
    score = np.log((learned + 10.0) / (shown + 10.0 / item_rate[item]))
    starts = np.concatenate([[0], np.cumsum(np.bincount(item))])
    rate = (clicks - learned) / (impressions - shown)
    return Archive(starts, np.bincount(item, impressions).astype(float), rate, score)


def policy(archive: Archive, name: str) -> FloatArray:
    """Probability of each arm within its item."""
    highest = np.maximum.reduceat(archive.score, archive.starts[:-1])[archive.item]
    weight = np.exp((archive.score - highest) / 0.05) if name == "softmax" else (archive.score == highest).astype(float)
    total: FloatArray = weight / np.bincount(archive.item, weight)[archive.item]
    return total


def replay(archive: Archive, wanted: FloatArray, n: int, rng: np.random.Generator) -> LoggedRounds:
    """One world: items drawn with replacement, impressions dealt out, clicks drawn; q_hat cross-fitted."""
    n_items = len(archive.traffic)
    drawn = rng.integers(n_items, size=n_items)
    arms_of = np.diff(archive.starts)[drawn]
    item = np.repeat(np.arange(n_items), arms_of)
    arm = (
        np.repeat(archive.starts[drawn], arms_of)
        + np.arange(len(item))
        - np.repeat(np.cumsum(arms_of) - arms_of, arms_of)
    )
    propensity = 1.0 / arms_of[item]
    share = archive.traffic[drawn][item] * propensity
    shown = rng.multinomial(n, share / share.sum())
    clicks = rng.binomial(shown, archive.rate[arm])
    factor = np.exp(archive.score - archive.score.mean())
    item_policy = np.bincount(item, wanted[arm] * factor[arm])  # over the whole menu, shown or not
    kept = shown > 0
    arm, item, propensity, shown, clicks = (
        arm[kept],
        item[kept],
        propensity[kept],
        shown[kept].astype(float),
        clicks[kept],
    )
    present, item = np.unique(item, return_inverse=True)
    factor, item_policy = factor[arm], item_policy[present]

    def fit_predict(clicked: FloatArray, seen: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean = (clicked.sum() + 1.0) / (seen @ factor)
        appeal = (np.bincount(item, clicked) + 1.0) / (np.bincount(item, seen * factor) + 1.0 / mean)
        return appeal[item] * factor, (appeal * item_policy)[item]

    return cross_fitted_rounds(
        clicks.astype(float), shown, fit_predict, rng=rng, weight=wanted[arm] / propensity, cluster=item
    )


def beyond_chance(coverage: float, repetitions: int, level: float = 0.01) -> bool:
    """True if a coverage is outside LOW to HIGH by more than the binomial error of its measurement."""
    hits = round(coverage * repetitions)
    below, above = stats.binom.cdf(hits, repetitions, LOW), stats.binom.sf(hits - 1, repetitions, HIGH)
    return bool(min(below, above) < level)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the Upworthy archive is not at {DATA} (RLOPT_SHARED_DATA names another folder)")
        return 0
    archive = load(options.seed)
    began = time.perf_counter()
    print(f"{len(archive.traffic):,} items, {len(archive.rate):,} arms, {options.repetitions} repetitions a cell")
    print(
        f"{'policy':<8} {'impressions':>11} {'estimator':<14} {'CTR':>6} {'lift':>6} {'rows':>6} {'G_eff':>7}"
        f" {'bias':>8} {'RMSE':>7}  (of the lift)"
    )
    outside = surely = 0
    share = archive.traffic / archive.traffic.sum()
    for name in ("argmax", "softmax"):
        wanted = policy(archive, name)
        value = float(share @ np.bincount(archive.item, wanted * archive.rate))
        base = float(share @ (np.bincount(archive.item, archive.rate) / np.diff(archive.starts)))
        for n in SIZES:
            rng = np.random.default_rng([options.seed, n, name == "softmax"])
            hits = np.zeros((len(KEYS), 3))
            sums = np.zeros((len(KEYS), 3))
            for _ in range(options.repetitions):
                rounds = replay(archive, wanted, n, rng)
                for k, key in enumerate(KEYS):
                    plain = key.split()[0]
                    chosen = tuned(plain, rounds) if " " in key else plain
                    evaluation = OffPolicyEvaluation(rounds, [chosen])
                    estimate = evaluation.estimates[plain]
                    found, low, high = evaluation.lift(plain)
                    contributions = evaluation.estimators[0].round_rewards(rounds)
                    error = np.sqrt(
                        rounds.mean((contributions - estimate.value) ** 2) / rounds.n_rounds
                    ) * stats.norm.ppf(0.975)
                    hits[k] += (
                        estimate.low <= value <= estimate.high,
                        low <= value / base - 1 <= high,
                        abs(estimate.value - value) <= error,
                    )
                    sums[k] += (found - value / base + 1, (found - value / base + 1) ** 2, estimate.effective_clusters)
            for k, key in enumerate(KEYS):
                ctr, lift, rows = hits[k] / options.repetitions
                bias, square, g_eff = sums[k] / options.repetitions
                bad = sum(not LOW <= c <= HIGH for c in (ctr, lift))
                outside += bad
                surely += sum(beyond_chance(c, options.repetitions) for c in (ctr, lift))
                print(
                    f"{name:<8} {n:>11,} {key:<14} {ctr:>6.3f} {lift:>6.3f} {rows:>6.3f} {g_eff:>7.0f}"
                    f" {bias:>+8.2%} {np.sqrt(square):>7.2%}"
                    f"{'  outside' if bad else ''}",
                    flush=True,
                )
    cells = 2 * 2 * len(SIZES) * len(KEYS)
    print(f"true lift of the softmax policy {value / base - 1:+.1%}; {time.perf_counter() - began:.0f} s")
    print(f"{cells - outside} of {cells} cells within {LOW:.1%} to {HIGH:.1%}; outside by more than chance: {surely}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
