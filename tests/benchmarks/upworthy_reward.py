"""The reward model on real headlines: five folds of the Upworthy archive, with and without encoders.

    python tests/benchmarks/upworthy_reward.py --encoder none --encoder minilm --encoder minilm+smollm2

An item is a test with one image; its arms differ by the headline only. Weeks with faulty randomisation are left out.
Tests that share a headline stay in one fold, so that no fold is asked about a headline its model was fitted on.
Pairs, and the lift of the picked headline, are of observed rates: z is divided by 1.29, since identical arms of the
archive differ more than binomially. Intervals are 95%, items drawn with replacement.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _data import DATA

from reward.arms import Arms
from reward.encoders.encoder import Encoder, open_encoder
from reward.errors import ModelError
from reward.evidence import metrics
from reward.logs.read import read_logs
from reward.logs.schema import ColumnMapping
from reward.model.reward_model import RewardModel, click_rows

ARCHIVE = DATA / "upworthy" / "packages.parquet"
COLUMNS = {"item_id": ["clickability_test_id", "eyecatcher_id"], "title": "headline"}
EXCLUDE = {"randomization_problem": True, "test_week": []}
OVERDISPERSION = 1.29**2
N_FOLDS = 5


def read_archive(path: Path) -> Arms:
    """Arms of the archive without the flagged weeks."""
    return read_logs(path, columns=ColumnMapping.from_dict(COLUMNS), exclude=EXCLUDE).arms


def folds_of(arms: Arms, seed: int = 0) -> np.ndarray:
    """Fold of each item, shape (n_items,): tests that share a headline are one block, blocks go to folds at random."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    tests = [item.item_id.split("+")[0] for item in arms.items]
    for index, title in zip(arms.item_index.tolist(), arms.title.tolist(), strict=True):
        parent[root(f"headline {title.strip().casefold()}")] = root(tests[index])
    blocks = [root(test) for test in tests]
    size = {block: blocks.count(block) for block in dict.fromkeys(blocks)}
    rng = np.random.default_rng(seed)
    order = sorted(size, key=lambda block: (-size[block] if size[block] > 20 else 0, rng.random()))
    load = np.zeros(N_FOLDS)
    fold: dict[str, int] = {}
    for block in order:
        fold[block] = int(np.argmin(load))
        load[fold[block]] += size[block]
    return np.array([fold[block] for block in blocks])


def figures(arms: Arms, effect: np.ndarray, seed: int = 0) -> dict[str, metrics.Interval]:
    """Pair accuracy, all and significant, and the lift of the picked headline, with intervals."""
    tallies = metrics.tally(click_rows(arms), effect, OVERDISPERSION)
    ratios = np.array(
        [
            metrics.alike(tallies.right, tallies.pairs),
            [tallies.right_significant, tallies.significant],
            [tallies.picked, tallies.mean],
        ]
    )
    accuracy, significant, picked = metrics.bootstrap(ratios, tallies, seed)
    lift = metrics.Interval(picked.value - 1, picked.low - 1, picked.high - 1)
    return {"pairs": accuracy, "significant pairs": significant, "lift": lift}


def cross_validate(arms: Arms, encoder: Encoder | None, members: int, threads: int) -> np.ndarray:
    """Predicted title effect of every arm by a model fitted on the other folds, shape (n_arms,)."""
    effect = np.zeros(len(arms))
    fold = folds_of(arms)[arms.item_index]
    for k in range(N_FOLDS):
        started = time.monotonic()
        model = RewardModel.fit(arms.take(fold != k), seed=k, n_members=members, threads=threads, encoder=encoder)
        rows = np.flatnonzero(fold == k)
        part = arms.take(rows)
        effect[rows] = model.predict(part.arm_items, [str(title) for title in part.title]).effect
        print(f"  fold {k + 1} of {N_FOLDS}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return effect


def main() -> None:
    """Fit, predict the folds left out, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "archive", type=Path, nargs="?", default=ARCHIVE, help="packages.parquet (default: %(default)s)"
    )
    parser.add_argument(
        "--encoder", action="append", help="none, or as in rlopt fit-reward; may be given several times"
    )
    parser.add_argument("--members", type=int, default=5, help="models in the ensemble (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of LightGBM (default: %(default)s)")
    parser.add_argument("--encodings", type=Path, help="keep encodings in this file between runs")
    arguments = parser.parse_args()
    if not arguments.archive.exists():
        print(f"{arguments.archive} is not there: nothing to measure.")
        return
    arms = read_archive(arguments.archive)
    counts = np.bincount(arms.item_index)
    arms = arms.take(counts[arms.item_index] > 1)  # one headline alone says nothing about headlines
    print(f"{len(arms.items):,} items with {len(arms):,} headlines, {N_FOLDS} folds, {arguments.members} members")
    print(f"{'encoder':18} {'pairs':>22} {'significant pairs':>22} {'lift of the picked':>24} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.encodings or Path(folder) / "encodings.sqlite"
        for spec in arguments.encoder or ["none", "minilm", "minilm+smollm2"]:
            started = time.monotonic()
            try:
                encoder = None if spec == "none" else open_encoder(spec, cache=cache)
            except ModelError as error:  # an extra that is not installed
                print(f"{spec:18} {error}", flush=True)
                continue
            found = figures(arms, cross_validate(arms, encoder, arguments.members, arguments.threads))
            cells = [
                f"{100 * f.value:{sign}.1f}% [{100 * f.low:{sign}.1f}, {100 * f.high:{sign}.1f}]"
                for f, sign in zip(found.values(), ("", "", "+"), strict=True)
            ]
            line = f"{spec:18} {cells[0]:>22} {cells[1]:>22} {cells[2]:>24} {time.monotonic() - started:8.0f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
