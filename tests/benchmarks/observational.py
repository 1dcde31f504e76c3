"""What one title an item teaches: Upworthy with one headline a test, and false launches in simulated one-title shops.

    python tests/benchmarks/observational.py upworthy --first-seed 0 --seeds 1
    python tests/benchmarks/observational.py shops --seeds 3

``upworthy`` draws one headline of every test, learns from differences between tests as ``fit-reward --observational``
does, and is asked about all headlines of the tests of another fold, as in upworthy_reward.py: pair accuracy of all
pairs and of those that differ beyond chance. "An image" draws one of every test and image instead: headlines of one
test may then be seen with different images, which is more than a shop with one title an item has. ``--within`` learns
from all headlines of the same tests, for comparison.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from upworthy_reward import ARCHIVE, N_FOLDS, figures, folds_of, read_archive

from reward.arms import Arms
from reward.encoders.encoder import Encoder, open_encoder
from reward.model.reward_model import RewardModel


def one_of_each(key: np.ndarray, seed: int) -> np.ndarray:
    """One row of each key, at random."""
    order = np.random.default_rng(seed).permutation(len(key))
    _, first = np.unique(key[order], return_index=True)
    return np.sort(order[first])


def held_out_effects(
    arms: Arms, rows: np.ndarray, encoder: Encoder | None, members: int, *, observational: bool
) -> np.ndarray:
    """Effect of every arm by a model of the other folds that saw the arms ``rows`` alone, shape (n_arms,)."""
    effect = np.zeros(len(arms))
    fold = folds_of(arms)[arms.item_index]
    for k in range(N_FOLDS):
        started = time.monotonic()
        learned = arms.take(rows[fold[rows] != k])
        model = RewardModel.fit(
            learned, seed=k, n_members=members, threads=1, encoder=encoder, observational=observational
        )
        asked = np.flatnonzero(fold == k)
        part = arms.take(asked)
        effect[asked] = model.predict(part.arm_items, [str(title) for title in part.title]).effect
        print(f"  fold {k + 1} of {N_FOLDS}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return effect


def upworthy(arguments: argparse.Namespace) -> None:
    """Print pair accuracy by what was learned from."""
    if not arguments.archive.exists():
        print(f"{arguments.archive} is not there: nothing to measure.")
        return
    arms = read_archive(arguments.archive)
    several = np.bincount(arms.item_index)[arms.item_index] > 1
    encoder = None if arguments.encoder == "none" else open_encoder(arguments.encoder, cache=arguments.encodings)
    print(f"{'learned from':34} {'pairs':>24} {'significant pairs':>24}")
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        test = np.array([item_id.split("+")[0] for item_id in arms.item_ids])
        ways = {
            f"one headline a test, seed {seed}": (one_of_each(test, seed), True),
            f"one headline an image, seed {seed}": (one_of_each(arms.item_index, seed), True),
        }
        if arguments.within and seed == arguments.first_seed:
            ways["all headlines, within tests"] = (np.flatnonzero(several), False)
        for name, (rows, observational) in ways.items():
            effect = held_out_effects(arms, rows, encoder, arguments.members, observational=observational)
            found = figures(arms.take(several), effect[several])
            cells = [
                f"{100 * found[key].value:.1f} % [{100 * found[key].low:.1f}, {100 * found[key].high:.1f}]"
                for key in ("pairs", "significant pairs")
            ]
            print(f"{f'{name} ({len(rows):,})':34} {cells[0]:>24} {cells[1]:>24}", flush=True)


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    headlines = parts.add_parser("upworthy", help="pair accuracy on other tests")
    headlines.add_argument("--archive", type=Path, default=ARCHIVE)
    headlines.add_argument("--encoder", default="none", help="none, or as in rlopt fit-reward")
    headlines.add_argument("--encodings", type=Path, help="keep encodings in this file between runs")
    headlines.add_argument("--members", type=int, default=5)
    headlines.add_argument("--within", action="store_true", help="also learn from all headlines, within tests")
    headlines.set_defaults(part=upworthy)
    for part in (headlines,):
        part.add_argument("--seeds", type=int, default=1)
        part.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.part(arguments)


if __name__ == "__main__":
    main()
