"""Does PPO end where the truth is best, when the reward is wrong?

    python tests/benchmarks/overoptimisation.py                                    # 3 shops a size, 1,000 steps: hours
    python tests/benchmarks/overoptimisation.py --seeds 0 --items 150 --steps 30   # a quick look
    python tests/benchmarks/overoptimisation.py --print FILE                       # what an earlier one found

A quarter of the logged labels is noised (those arms get the click rate of another arm), the reward is fitted on few
items, and the simulator's truth is logged along the training beside the reward that is optimised. ``unguarded`` is one
reward model with no caution, no KL penalty and no monitor; ``default`` is what ``rlopt ppo`` does. Lifts are relative
click rates over the items' logged titles, means over a twentieth of the updates. ``best`` is picked on every other
update and valued on the rest, ``kept`` is the policy that is saved, and ``at KL`` is the truth when a training first
came as far from SFT as the default lets it.
Each finished cell is one line of results.jsonl in --folder.
"""

import argparse
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _commit import commit

from rlopt.config import PpoConfig, RewardConfig, SftConfig, SimulateConfig
from rlopt.files import JsonlWriter
from rlopt.run import Run
from rlopt.stages.common.truth import truth_of
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft
from rlopt.stages.simulate import simulate
from rlopt.training.rewards import TitleRewards

NOISED = 0.25
SHARE_OF_TRAIN = 0.6
WINDOWS = 20
SMOOTHED = ("truth/lift", "objective/predicted_lift", "objective/kl")
VARIANTS = ["unguarded", "default"]
UNGUARDED: dict[str, Any] = {"risk_aversion": 0.0, "kl_coef": 0.0, "kl_target": None, "monitor": False}


def noised(logs: Path, seed: int) -> None:
    """Give a quarter of the arms the clicks that another arm's rate would have brought."""
    table = pq.read_table(logs)
    clicks, shown = (table[name].to_numpy().astype(np.int64) for name in ("clicks", "impressions"))
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(clicks))[: int(NOISED * len(clicks))]
    others = rng.permutation(rows)
    rate = clicks[others] / np.maximum(shown[others], 1)
    new = clicks.copy()
    new[rows] = rng.binomial(shown[rows], np.clip(rate, 0, 1))
    for name in ("conversions", "revenue"):
        if name in table.column_names:
            table = table.drop_columns([name])
    place = table.column_names.index("clicks")
    pq.write_table(table.set_column(place, "clicks", pa.array(new)), logs)


def prepared(variant: str, items: int, seed: int, folder: Path) -> Run:
    """Logs, reward and SFT policy of a cell."""
    folder = folder / f"{variant}-{items}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    logs = folder / "logs.parquet"
    if not logs.exists():
        shop = round(items / SHARE_OF_TRAIN)
        fresh = folder / "fresh" / "logs.parquet"
        fresh.parent.mkdir(exist_ok=True)
        simulate(fresh, SimulateConfig(items=shop, impressions=800 * shop, seed=seed, rows="arms"))
        noised(fresh, seed)
        for file in sorted(fresh.parent.iterdir(), reverse=True):  # the logs last: they say that all is there
            shutil.move(file, folder / file.name)
    run = Run.open(folder / "run", create=True)
    alone = {"members": 1, "monitor_share": 0.0} if variant == "unguarded" else {}
    fit_reward(run, logs, RewardConfig(seed=seed, **alone))
    train_sft(run, SftConfig(seed=seed))
    return run


def log_the_truth(run: Run) -> None:
    """Let the reward function log what its titles are truly worth, as a lift over the items' logged titles."""
    truth = truth_of(run)
    assert truth is not None
    arms = run.arms().of_items(run.splits().train)
    logged = np.bincount(arms.item_index, weights=truth(arms.arm_items, list(arms.title)))
    baseline = logged / np.bincount(arms.item_index)
    lift = TitleRewards.__dict__.get("_plain_lift", TitleRewards._lift)

    def with_truth(
        self: TitleRewards, completions: list[str], item_index: list[int], log_metric: Any, **more: Any
    ) -> Any:
        shop, titles = self._titles(item_index, completions)
        log_metric("truth/lift", float((truth(shop, titles) / baseline[np.asarray(item_index)] - 1).mean()))
        return lift(self, completions=completions, item_index=item_index, log_metric=log_metric, **more)

    TitleRewards._plain_lift, TitleRewards._lift = lift, with_truth  # type: ignore[attr-defined, method-assign]


def cell(variant: str, items: int, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, and say what the truth was on the way and at the end."""
    run = prepared(variant, items, seed, arguments.folder)
    log_the_truth(run)
    own = UNGUARDED if variant == "unguarded" else {}
    config = PpoConfig(steps=arguments.steps, seed=seed, save_every=max(1, arguments.steps // 30), **own)
    train_ppo(run, config)
    rows = [row for row in run.metrics("ppo").rows() if "truth/lift" in row]
    # The best window is picked on every other update and valued on the rest: the largest of many means is luck too.
    window = max(1, len(rows) // 2 // WINDOWS)
    picking, valuing = (smoothed(rows[first::2], window) for first in (0, 1))
    truth, reward, kl = (valuing[name] for name in SMOOTHED)
    steps = [row["step"] for row in rows[1::2]][window - 1 :]
    best = int(np.argmax(picking["truth/lift"][: len(truth)]))
    kept = run.record("ppo")["notes"]["steps"]
    at = max(int(np.searchsorted(steps, kept, side="right")) - 1, 0)
    far = np.flatnonzero(kl >= PpoConfig().kl_target)
    return {
        "kept_step": kept,
        "stopped": rows[-1]["step"],
        "truth_start": float(truth[0]),
        "truth_best": float(truth[best]),
        "truth_best_step": steps[best],
        "truth_kept": float(truth[at]),
        "truth_last": float(truth[-1]),
        "reward_at_best": float(reward[best]),
        "reward_last": float(reward[-1]),
        "kl_kept": float(kl[at]),
        "truth_at_target": float(truth[far[0]]) if len(far) else None,
        # of the click rate, not of the lift: what an A/B test would see
        "below_best": float((1 + truth[at]) / (1 + truth[best]) - 1),
    }


def smoothed(rows: list[dict[str, Any]], window: int) -> dict[str, Any]:
    """Moving means over so many rows."""
    ones = np.ones(window) / window
    return {name: np.convolve([row[name] for row in rows], ones, mode="valid") for name in SMOOTHED}


def show(rows: list[dict[str, Any]]) -> None:
    """One line a cell: what is optimised rises, and where the truth was then; one line a variant."""
    print("| items | variant | seed | truth: first | best (step) | last | kept (step) | below best | ", end="")
    print(f"reward at the best, last | KL kept | at KL {PpoConfig().kl_target} |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for row in sorted(rows, key=lambda row: (row["items"], row["variant"], row["seed"])):
        there = "never" if row["truth_at_target"] is None else f"{row['truth_at_target']:+.1%}"
        print(
            f"| {row['items']} | {row['variant']} | {row['seed']} | {row['truth_start']:+.1%} | "
            f"{row['truth_best']:+.1%} ({row['truth_best_step']}) | {row['truth_last']:+.1%} | "
            f"{row['truth_kept']:+.1%} ({row['kept_step']}) | {row['below_best']:+.1%} | "
            f"{row['reward_at_best']:+.1%}, {row['reward_last']:+.1%} | {row['kl_kept']:.2f} | {there} |"
        )
    for variant in sorted({row["variant"] for row in rows}):
        mine = [row for row in rows if row["variant"] == variant]
        kept, below = ([row[name] for row in mine] for name in ("truth_kept", "below_best"))
        print(
            f"{variant}: {len(mine)} cells, truth kept {np.mean(kept):+.1%} ({min(kept):+.1%} to {max(kept):+.1%}), "
            f"at worst {min(below):+.1%} of the best on the way, KL {np.mean([row['kl_kept'] for row in mine]):.1f}"
        )


def main() -> None:
    """Run what is missing, print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/overoptimisation"), help="runs and results")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--items", nargs="+", type=int, default=[150, 500, 1500], help="items the reward is fitted on")
    parser.add_argument("--print", type=Path, metavar="FILE", help="print the table of a results.jsonl, run nothing")
    arguments = parser.parse_args()
    results = JsonlWriter(arguments.print or arguments.folder / "results.jsonl")
    done = {(row["variant"], row["items"], row["seed"], row["steps"]) for row in results.rows()}
    cells = [] if arguments.print else itertools.product(arguments.seeds, arguments.items, arguments.variants)
    for seed, items, variant in cells:
        if (variant, items, seed, arguments.steps) not in done:
            names = {"variant": variant, "items": items, "seed": seed, "steps": arguments.steps}
            results.write(names | {"commit": commit()} | cell(variant, items, seed, arguments))
    show(results.rows())


if __name__ == "__main__":
    main()
