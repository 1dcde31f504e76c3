"""Plans of rlopt explore: visitors get titles as often as they say, and what is believed after them is true.

    python tests/benchmarks/exploring.py

Assignments: a million visitors by the hash, chi-square against the plan's probabilities, five items.

Intervals: items with four titles go through ten batches, planned anew after each, and the 95% interval of the best
title known against the first one is compared with the truth. True effects are drawn from the prior; then with its
spread wrong by a factor. Coverage is over --items items.

Tested: shops of a hundred such items; does the 95% interval of the favoured titles' lift hold, and do the always-valid
intervals of a shop's items after every batch, all titles together? Over --repetitions shops.
"""

import argparse

import numpy as np
from scipy.stats import chisquare

from rlopt.assignment_hash import title_of, uniform
from rlopt.exploring.allocation import Horizon, allocate, relative_rates
from rlopt.exploring.beliefs import Clicks, TitlePrior, learn
from rlopt.exploring.promise import counts
from rlopt.exploring.tested import always_valid, leaders_lift

TITLES, BATCHES, RATE, OVERDISPERSION = 4, 10, 0.02, 1.5
Z95 = 1.959964


def assignments(visitors: int, seed: int) -> list[float]:
    """p-values of the chi-square tests."""
    rng = np.random.default_rng(seed)
    out = []
    for item in range(5):
        probability = rng.dirichlet(np.ones(TITLES))
        titles = [f"标题 {n}" if item % 2 else f"title {n}" for n in range(TITLES)]
        place = {title: n for n, title in enumerate(titles)}
        seen = np.zeros(TITLES)
        for visitor in range(visitors // 5):
            seen[place[title_of(titles, probability.tolist(), uniform(seed, f"item {item}", str(visitor)))]] += 1
        out.append(float(chisquare(seen, seen.sum() * probability).pvalue))
    return out


def coverage(items: int, traffic: float, wrong: float, seed: int) -> tuple[float, float]:
    """Share of the intervals that hold the truth, and their mean half-width, after adaptive batches."""
    rng = np.random.default_rng(seed)
    shape = (items, TITLES)
    prior = TitlePrior(
        rng.normal(0, 0.1, shape), np.zeros((*shape, 1)), np.full(shape, 0.2), np.ones(shape, dtype=bool)
    )
    truth = prior.mean + rng.normal(0, 0.2 * wrong, shape)
    rate = RATE * np.exp(truth) / np.exp(truth).mean(axis=1, keepdims=True)
    clicked, shown, each = [], [], np.full(items, traffic / BATCHES)
    beliefs = prior.beliefs
    for batch in range(BATCHES):
        horizon = Horizon(each, each * (BATCHES - batch), np.zeros(items), np.full(items, RATE), OVERDISPERSION)
        shown.append(allocate(beliefs, horizon, floor=0.005, seed=batch).probability * each[:, None])
        level = rng.lognormal(0, 0.3, (items, 1))  # days differ
        clicked.append(counts(shown[-1] * rate * level, OVERDISPERSION, rng))
        beliefs = learn(prior, Clicks.of(np.array(clicked), np.array(shown)), OVERDISPERSION)
    best, everyone = np.argmax(relative_rates(beliefs), axis=1), np.arange(items)
    difference, error = (values[everyone, best] for values in beliefs.against(np.zeros(items, dtype=np.int64)))
    other = best != 0
    held = np.abs(difference - (truth[everyone, best] - truth[:, 0])) <= Z95 * error
    return float(held[other].mean()), float(Z95 * error[other].mean())


def shop_coverage(repetitions: int, traffic: float, seed: int, items: int) -> tuple[float, float, float]:
    """Share of shops whose interval holds, its mean half-width, and share of items whose intervals always hold."""
    held, widths, always = [], [], []
    shape, today, each = (items, TITLES), np.zeros(items, dtype=np.int64), np.full(items, traffic / BATCHES)
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, repetition])
        prior = TitlePrior(
            rng.normal(0, 0.1, shape), np.zeros((*shape, 1)), np.full(shape, 0.2), np.ones(shape, dtype=bool)
        )
        truth = prior.mean + rng.normal(0, 0.2, shape)
        rate, effect = RATE * np.exp(truth), truth - truth[:, :1]
        beliefs, hold = prior.beliefs, np.ones(items, dtype=bool)
        clicked, shown = np.zeros((2, 0, *shape))
        gained, weights = 0.0, 0.0
        for batch in range(BATCHES):
            horizon = Horizon(each, each * (BATCHES - batch), np.zeros(items), np.full(items, RATE), OVERDISPERSION)
            chance = allocate(beliefs, horizon, floor=0.005, seed=batch).probability
            level = rng.lognormal(0, 0.3, (items, 1))
            impressions = rng.poisson(chance * each[:, None]).astype(np.float64)
            new = counts(impressions * rate * level, OVERDISPERSION, rng)
            clicked, shown = np.concatenate([clicked, new[None]]), np.concatenate([shown, impressions[None]])
            beliefs = learn(prior, Clicks.of(clicked, shown), OVERDISPERSION)
            low, high = always_valid(clicked, shown, today, prior.present, OVERDISPERSION)
            hold &= ((low <= effect) & (effect <= high)).all(axis=1)
            leader = np.argmax(impressions, axis=1)
            n, n0 = impressions[np.arange(items), leader], impressions[:, 0]
            weight = np.where(leader > 0, n * n0 / np.maximum(n + n0, 1), 0.0) * level[:, 0] * rate[:, 0]
            gained += float(np.sum(weight * np.expm1(effect[np.arange(items), leader])))
            weights += float(weight.sum())
        found = leaders_lift(clicked, shown, today, OVERDISPERSION)
        assert found is not None
        held.append(found.low <= gained / weights <= found.high)
        widths.append((found.high - found.low) / 2)
        always.append(hold.mean())
    return float(np.mean(held)), float(np.mean(widths)), float(np.mean(always))


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=1_000_000, help="(default: %(default)s)")
    parser.add_argument("--items", type=int, default=4000, help="repetitions (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=1000, help="shops (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    for wrong in (1.0, 0.7, 1.4):
        for traffic in (1_000, 10_000, 100_000):
            held, width = coverage(arguments.items, traffic, wrong, arguments.first_seed)
            print(
                f"true spread {wrong:.1f} of the prior's, {traffic:7,} impressions an item: 95% intervals hold "
                f"{held:.1%}, half-width {width:.3f}",
                flush=True,
            )
    for traffic in (10_000, 100_000):
        held, width, always = shop_coverage(arguments.repetitions, traffic, arguments.first_seed, 100)
        print(
            f"{arguments.repetitions:,} shops, {traffic:7,} impressions an item: the favoured titles' 95% intervals "
            f"hold in {held:.1%}, half-width {width:.3f}; always-valid ones of an item hold in {always:.1%}",
            flush=True,
        )
    values = assignments(arguments.visitors, arguments.first_seed)
    print(f"{arguments.visitors:,} assignments: p of chi-square {', '.join(f'{p:.2f}' for p in values)}", flush=True)


if __name__ == "__main__":
    main()
