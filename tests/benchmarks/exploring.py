"""Plans of rlopt explore: visitors get titles as often as they say, and what is believed after them is true.

    python tests/benchmarks/exploring.py

Assignments: a million visitors by the hash, chi-square against the plan's probabilities, five items.

Intervals: items with four titles go through ten batches, planned anew after each, and the 95 % interval of the best
title known against the first one is compared with the truth. True effects are drawn from the prior; then with its
spread wrong by a factor. Coverage is over --items items.
"""

import argparse

import numpy as np
from scipy.stats import chisquare

from rlopt.assignment_hash import title_of, uniform
from rlopt.exploring.allocation import Horizon, allocate, relative_rates
from rlopt.exploring.beliefs import Clicks, TitlePrior, learn
from rlopt.exploring.promise import counts

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
        horizon = Horizon(each, each * (BATCHES - batch), np.full(items, RATE), OVERDISPERSION)
        shown.append(allocate(beliefs, horizon, floor=0.005, seed=batch).probability * each[:, None])
        level = rng.lognormal(0, 0.3, (items, 1))  # days differ
        clicked.append(counts(shown[-1] * rate * level, OVERDISPERSION, rng))
        beliefs = learn(prior, Clicks.of(np.array(clicked), np.array(shown)), OVERDISPERSION)
    best, everyone = np.argmax(relative_rates(beliefs), axis=1), np.arange(items)
    difference, error = (values[everyone, best] for values in beliefs.against(np.zeros(items, dtype=np.int64)))
    other = best != 0
    held = np.abs(difference - (truth[everyone, best] - truth[:, 0])) <= Z95 * error
    return float(held[other].mean()), float(Z95 * error[other].mean())


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=1_000_000, help="(default: %(default)s)")
    parser.add_argument("--items", type=int, default=4000, help="repetitions (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    for wrong in (1.0, 0.7, 1.4):
        for traffic in (1_000, 10_000, 100_000):
            held, width = coverage(arguments.items, traffic, wrong, arguments.first_seed)
            print(
                f"true spread {wrong:.1f} of the prior's, {traffic:7,} impressions an item: 95 % intervals hold "
                f"{held:.1%}, half-width {width:.3f}",
                flush=True,
            )
    values = assignments(arguments.visitors, arguments.first_seed)
    print(f"{arguments.visitors:,} assignments: p of chi-square {', '.join(f'{p:.2f}' for p in values)}", flush=True)


if __name__ == "__main__":
    main()
