"""Does PPO learn, and earn its place? Simulated shops, held-out items, against GRPO, RLOO and best-of-n.

    python tests/benchmarks/ppo_study.py                             # 10 shops, 2,000 steps: hours
    python tests/benchmarks/ppo_study.py --tune                      # the same grid for every method, on other shops
    python tests/benchmarks/ppo_study.py --print tests/benchmarks/results/ppo_study.jsonl   # what we found
    python tests/benchmarks/ppo_study.py --shops en-0 --steps 20 --items 300 --impressions 200000     # a quick look

Each finished cell (a shop and a method) is one line of results.jsonl in --folder, and is not run again; an interrupted
one goes on from its checkpoint. Everything is measured on test items by the simulator's truth: lift over the SFT
policy, faithfulness, KL, and how much of what an oracle best-of-64 gains a single sample gains. A cell has collapsed
where its titles are worse than SFT's or fewer than four fifths as many are faithful.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _commit import commit

from envs.market import Market
from rlopt.config import CompareConfig, PpoConfig, RewardConfig, SftConfig, SimulateConfig
from rlopt.files import JsonlWriter
from rlopt.run import Run
from rlopt.stages.common.truth import market_of
from rlopt.stages.compare import compare
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft
from rlopt.stages.simulate import simulate

SHOPS = [*(f"en-{seed}" for seed in range(7)), *(f"zh-{seed}" for seed in range(3))]
TUNING_SHOPS = ["en-100", "zh-100"]
ORACLE = f"oracle best of {max(CompareConfig().best_of)}"
GRID = {"learning_rate": (1e-4, 2e-4, 4e-4)}
# By --tune with 400 steps: of the rates whose KL stays within 0.1 nats of the target, the one with the largest lift.
TUNED = {"ppo": {"learning_rate": 2e-4}, "grpo": {"learning_rate": 4e-4}, "rloo": {"learning_rate": 4e-4}}


def shop(name: str, arguments: argparse.Namespace) -> Run:
    """The run of one shop with its reward and SFT policy; what is done is not done again."""
    locale, seed = name.split("-")
    folder = arguments.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    logs = folder / "logs.parquet"
    config = SimulateConfig(
        items=arguments.items, impressions=arguments.impressions, locale=locale, seed=int(seed), rows="arms"
    )
    if not logs.exists():
        simulate(logs, config)
    run = Run.open(folder / "run", create=True)
    fit_reward(run, logs, RewardConfig(seed=int(seed)))
    train_sft(run, SftConfig(seed=int(seed)))
    return run


def cell(name: str, method: str, settings: dict[str, float], arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one method in one shop and measure it."""
    run = shop(name, arguments)
    seed = int(name.split("-")[1])
    config = PpoConfig(algorithm=method, steps=arguments.steps, seed=seed, **settings)
    began = time.monotonic()
    train_ppo(run, config)
    seconds = time.monotonic() - began
    how = CompareConfig(policies=(method,), seed=seed, samples=8, max_items=arguments.test_items)
    result = compare(run, how)
    table = {row.name: row for row in result.contenders}
    market, notes = market_of(run), run.record(method)["notes"]
    assert market is not None
    rows = run.metrics(method).rows()
    explained = [row["val/explained_variance"] for row in rows[len(rows) // 20 :] if "val/explained_variance" in row]
    mine, oracle = table[method], table[ORACLE]
    return {
        "true_lift": mine.true_lift,
        "headroom": mine.true_lift / oracle.true_lift if mine.true_lift and oracle.true_lift else None,
        "judged_lift": [mine.low, mine.lift, mine.high],
        "kl": mine.kl,
        "faithfulness": mine.faithfulness,
        "sft_faithfulness": table["sft"].faithfulness,
        "true_faithfulness": true_faithfulness(run, method, market),
        "true_sft_faithfulness": true_faithfulness(run, "sft", market),
        "explained_variance": float(np.mean(explained)) if explained else None,
        "kept_step": notes["steps"],
        "seconds": seconds,
        "others": {row.name: [row.true_lift, row.kl] for row in result.contenders if " of " in row.name},
    }


def true_faithfulness(run: Run, name: str, market: Market, n_items: int = 200) -> float:
    """Share of test titles with no word that the simulator's item does not support."""
    from rlopt.policy.title_policy import TitlePolicy

    test = run.arms().of_items(run.splits().test)
    by_id = {item.item_id: item for item in market.items}
    titles = TitlePolicy.load(run / name).generate(test.items[:n_items], 2, seed=1)
    pairs = zip(test.items, titles, strict=False)
    good = [not market.unstated_words(by_id[item.item_id], t.text) for item, each in pairs for t in each]
    return float(np.mean(good))


def cells(arguments: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, float]]]:
    """List the trainings to run, in order."""
    if arguments.tune:
        grid = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
        yield from itertools.product(TUNING_SHOPS, arguments.methods, grid)
        return
    for name, method in itertools.product(arguments.shops, arguments.methods):
        yield name, method, TUNED[method]


def summary(rows: Sequence[dict[str, Any]]) -> None:
    """A line a cell, then a line a method."""
    for row in rows:
        print(
            f"{row['shop']:7} {row['method']:5} {json.dumps(row['settings']):45} true {100 * row['true_lift']:+6.1f}%"
            f"  of oracle {row['headroom'] or float('nan'):5.2f}  KL {row['kl']:5.2f}  faithful "
            f"{row['true_faithfulness']:.3f} ({row['true_sft_faithfulness']:.3f})  explained "
            f"{row['explained_variance'] or float('nan'):5.2f}  kept {row['kept_step']:4}  {row['seconds']:6.0f} s"
        )
    for method in sorted({row["method"] for row in rows}):
        mine = [row for row in rows if row["method"] == method]
        lift = np.array([row["true_lift"] for row in mine])
        collapsed = sum(
            row["true_lift"] < 0 or row["true_faithfulness"] < 0.8 * row["true_sft_faithfulness"] for row in mine
        )
        kl = [row["kl"] for row in mine]
        headroom = np.mean([row["headroom"] or 0.0 for row in mine])
        less = sum(row["true_faithfulness"] < row["true_sft_faithfulness"] for row in mine)
        explained = [row["explained_variance"] for row in mine if row["explained_variance"] is not None]
        print(
            f"{method}: {len(mine)} cells, true lift {100 * lift.mean():+.1f}% (from {100 * lift.min():+.1f} to "
            f"{100 * lift.max():+.1f}), {headroom:.2f} of the oracle's, "
            f"KL {np.mean(kl):.2f} (at most {max(kl):.2f}), {less} less faithful than SFT, {collapsed} collapsed"
            + (f", explained variance at least {min(explained):.2f}" if explained else "")
        )
        for other in mine[0]["others"]:
            found = np.array([row["others"][other] for row in mine])
            share = np.mean(found[:, 0] / [row["others"][ORACLE][0] for row in mine])
            print(
                f"   {other}, same shops: true lift {100 * found[:, 0].mean():+.1f}%, {share:.2f} of the oracle's, "
                f"KL {found[:, 1].mean():.2f}"
            )


def main() -> None:
    """Run what is missing, print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/ppo-study"), help="runs and results")
    parser.add_argument("--shops", nargs="+", default=SHOPS, help="locale-seed, such as en-0")
    parser.add_argument("--methods", nargs="+", default=[*TUNED], choices=[*TUNED])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--impressions", type=int, default=4_000_000)
    parser.add_argument("--test-items", type=int, default=300)
    parser.add_argument("--tune", action="store_true", help="the grid instead, on the tuning shops")
    parser.add_argument("--print", type=Path, metavar="RESULTS", help="run nothing, print what is in this file")
    arguments = parser.parse_args()
    if arguments.print:
        summary(JsonlWriter(arguments.print).rows())
        return
    results = JsonlWriter(arguments.folder / ("tuning.jsonl" if arguments.tune else "results.jsonl"))

    def key(row: dict[str, Any]) -> tuple[str, str, str, int]:
        return row["shop"], row["method"], json.dumps(row["settings"]), row["steps"]

    done = {key(row) for row in results.rows()}
    for name, method, settings in cells(arguments):
        row = {"shop": name, "method": method, "settings": settings, "steps": arguments.steps}
        if key(row) not in done:
            results.write(row | {"commit": commit()} | cell(name, method, settings, arguments))
    summary(results.rows())


if __name__ == "__main__":
    main()
