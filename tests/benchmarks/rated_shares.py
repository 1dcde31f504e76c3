"""Coverage of the intervals of rated shares: two reviewers who disagree on a tenth of the titles.

    python tests/benchmarks/rated_shares.py                  # a minute or so

Two worlds. "split": on a tenth of the titles the two disagree, and each says yes to half of those. "errors": every
title is faulty or not, and each reviewer is wrong about one in nineteen, so that they disagree on a tenth. The truth
is the chance that a reviewer finds fault with a title. "second" is the share of the sample that two have read.
"""

import argparse

import numpy as np

from rlopt.ope.rated_shares import share_interval

ERROR = (1 - 0.8**0.5) / 2  # 2 e (1 - e) = a tenth


def sample(world: str, faulty: float, n: int, second: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Mean opinion on each of ``n`` titles, and the truth."""
    if world == "split":
        kind = rng.choice(3, n, p=[0.9 - faulty, 0.1, faulty])
        first = np.where(kind == 1, rng.random(n) < 0.5, kind == 2)
        other = np.where(kind == 1, ~first, kind == 2)
        truth = faulty + 0.05
    else:
        really = rng.random(n) < faulty
        first, other = (really ^ (rng.random(n) < ERROR) for _ in range(2))
        truth = faulty * (1 - ERROR) + (1 - faulty) * ERROR
    return np.where(rng.random(n) < second, (first + 0.0 + other) / 2, first), truth


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4000, help="samples a row")
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{'world':8}{'faulty':>8}{'n':>6}{'second':>8}{'truth':>8}{'covers':>9}{'below':>8}{'above':>8}{'width':>8}")
    worst = []
    for world in ("split", "errors"):
        for faulty in (0.0, 0.02, 0.05, 0.2):
            for n in (100, 200, 500):
                for second in (0.2, 1.0):
                    rng = np.random.default_rng([args.first_seed, n, int(1000 * faulty), int(10 * second)])
                    drawn = [sample(world, faulty, n, second, rng) for _ in range(args.seeds)]
                    truth = drawn[0][1]
                    low, high = np.array([share_interval(mean) for mean, _ in drawn]).T
                    covers = np.mean((low <= truth) & (truth <= high))
                    worst.append(covers)
                    print(
                        f"{world:8}{faulty:8.0%}{n:6}{second:8.0%}{truth:8.1%}{covers:9.1%}{np.mean(high < truth):8.1%}"
                        f"{np.mean(low > truth):8.1%}{np.mean(high - low):8.1%}"
                    )
    print(f"coverage from {min(worst):.1%} to {max(worst):.1%}, mean {np.mean(worst):.1%}")


if __name__ == "__main__":
    main()
