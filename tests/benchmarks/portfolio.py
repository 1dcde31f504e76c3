"""Five titles per item on simulated shops: what is the best of them truly worth, however they were chosen?

    python tests/benchmarks/portfolio.py --runs demo/en-0 demo/zh-1                 # finished `rlopt demo` runs

The run's policy writes titles for items that no model has seen, as rlopt generate does. Of the same pool are taken:
the portfolio of --diverse, the best by predicted reward, the first ones, which are plain samples, and the truly best,
which nobody can do better than. Figures are true clicks of the best of five over the item's current title, means over
items, and the wins over the shops.
"""

import argparse
from pathlib import Path

import numpy as np

from rlopt.config import GenerateConfig
from rlopt.exploring.portfolio import diversity, likeness
from rlopt.run import Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.generate.portfolio import by_worth
from rlopt.stages.generate.proposals import Means, Shop, propose
from rlopt.stages.generate.stage import title_writer

WAYS = ("portfolio", "best by reward", "samples", "truly best")


def shop(folder: Path, n: int, pool: int, most: int, policy: str, seed: int) -> dict[str, tuple[float, float]]:
    """Way -> true lift of the best of its titles, and their diversity."""
    run = Run.open(folder)
    opened = OpenedRun(run)
    truth = opened.truth
    assert truth is not None
    config = GenerateConfig(policy=policy, n=n, best_of=pool, belonging=False)
    means = Means(title_writer(run / policy, config), opened.reward, opened.constraints, config)
    tests = set(opened.splits.test)
    items = [item for item in opened.arms.items if item.item_id in tests][:most]
    found = [[one.written.text for one in own.sound] for own in propose(items, means, Shop(), seed)]
    owners = [item for item, titles in zip(items, found, strict=True) for _ in titles]
    texts = [title for titles in found for title in titles]
    predicted = opened.reward.predict(owners, texts)
    rates, today = truth(owners, texts), truth(items, [str(item.current_title) for item in items])
    got = {way: list[tuple[float, float]]() for way in WAYS}
    start = 0
    for own, base in zip(found, today, strict=True):
        rows = range(start, start + len(own))
        start += len(own)
        if len(own) <= n:
            continue
        by_reward = sorted(rows, key=lambda row: -predicted.reward[row])
        truly = sorted(rows, key=lambda row: -rates[row])
        chosen = by_worth(rows, texts, predicted, opened.trust[0], n), by_reward, rows, truly
        for way, order in zip(WAYS, chosen, strict=True):
            taken = list(order)[:n]
            apart = diversity(likeness([texts[row] for row in taken]))
            got[way].append((float(rates[taken].max() / base - 1), apart or 0.0))
    print(f"  {folder.name}: {len(got['samples'])} items, {len(texts) / len(items):.1f} titles each", flush=True)
    return {way: tuple(np.mean(values, axis=0).tolist()) for way, values in got.items()}


def main() -> None:
    """Print each shop's figures and who won how often."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="finished demo runs; they are only read")
    parser.add_argument("--n", type=int, default=5, help="titles per item (default: %(default)s)")
    parser.add_argument("--pool", type=int, default=20, help="titles written an item (default: %(default)s)")
    parser.add_argument("--items", type=int, default=150, help="test items at most (default: %(default)s)")
    parser.add_argument("--policy", default="ppo", help="(default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    wins = dict.fromkeys(WAYS[1:3], 0)
    for number, folder in enumerate(arguments.runs):
        found = shop(
            folder, arguments.n, arguments.pool, arguments.items, arguments.policy, arguments.first_seed + number
        )
        for way in wins:
            wins[way] += found["portfolio"][0] > found[way][0]
        told = ", ".join(f"{way} {lift:+.2%} (diversity {apart:.2f})" for way, (lift, apart) in found.items())
        print(f"{folder.name}: {told}", flush=True)
    for way, count in wins.items():
        print(f"portfolio above {way} in {count} of {len(arguments.runs)} shops")


if __name__ == "__main__":
    main()
