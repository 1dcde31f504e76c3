"""The best of many candidates looks good by chance: is any of twenty that gain nothing told to launch?

    python tests/benchmarks/winners_curse.py                      # 100 repetitions, about a minute each
    python tests/benchmarks/winners_curse.py --repetitions 3      # a quick look
    python tests/benchmarks/winners_curse.py --print FILE         # run nothing, print what is in FILE

A repetition is a shop with a randomised log (`_click_model.py`), one fit, and twenty files of titles for its test
items, judged one after the other as `rlopt offline-eval --policy FILE --trained-on nothing` does (here in one process).
Each candidate likes other phrases for no reason; its true lift over the logged titles is the nearest there is not above
0, by traffic and by item. A launch of any of the twenty is an error. Settings are defaults, but that one reward model
is fitted, no rival is asked for and the learning curve is left out: no verdict on titles reads them.

"alone" is what the same intervals would launch were each candidate the only one, which is what the ledger is for. Every
finished repetition is a line of --results; what is there is not run again.
"""

import argparse
import contextlib
import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _commit import commit
from _confounded_world import Plan, World
from confounded_logs import write_log
from scipy import stats

from rlopt.config import EvalConfig, RewardConfig
from rlopt.files import JsonlWriter
from rlopt.run import Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.offline_eval.stage import evaluate

N_ITEMS, CANDIDATES = 240, 20
PLANS = tuple(Plan(f"candidate-{k}", k % 2 == 0, 0.0, liking=1.5) for k in range(CANDIDATES))
Row = dict[str, Any]


def repetition(seed: int, items: int) -> Row:
    """One shop: what is said of each candidate, and its true lift."""
    began = time.monotonic()
    world = World("randomised", seed, n_items=items)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_log(world, folder / "logs.parquet")
        run = Run.open(folder / "run", create=True)
        settings = RewardConfig(seed=seed, members=1, learning_curve=False, assignment="randomized")
        fit_reward(run, folder / "logs.parquet", settings)
        judged = []
        for candidate in world.candidates(OpenedRun(run).splits.test, PLANS):
            path = folder / f"{candidate.name}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("item_id", "title"), *candidate.titles.items()])
            config = EvalConfig(policy=str(path), seed=seed, best_of=0)
            report = evaluate(run, config, trained_on="nothing").report
            lift = report.lifts["logged"]
            told = {"told": lift.value, "low": lift.low, "high": lift.high, "confidence": lift.confidence}
            true = max(candidate.truth.traffic, candidate.truth.items)
            judged.append({"verdict": report.verdict.decision, "true": candidate.truth.traffic, "best": true} | told)
    return {"seed": seed, "commit": commit(), "seconds": round(time.monotonic() - began, 1), "candidates": judged}


def alone(row: Row) -> bool:
    """True if the interval would lie above 0 were it the usual one (by its width on the log scale)."""
    usual, own = stats.norm.ppf(0.975), stats.norm.ppf(0.5 + row["confidence"] / 2)
    middle, low = np.log1p([row["told"], row["low"]]).tolist()
    return bool(middle - (middle - low) * usual / own > 0)


def summary(lines: Sequence[Row]) -> str:
    """The table."""
    rows = [row for line in lines for row in line["candidates"]]
    launched = [any(row["verdict"] == "launch" for row in line["candidates"]) for line in lines]
    by_chance = [any(alone(row) for row in line["candidates"]) for line in lines]
    held = [row["low"] <= row["true"] <= row["high"] for row in rows]
    refused = sum(row["verdict"] == "insufficient-evidence" for row in rows)
    bias = float(np.mean([row["told"] - row["true"] for row in rows]))
    best = float(np.mean([max(row["told"] for row in line["candidates"]) for line in lines]))
    true = float(np.mean([row["true"] for row in rows]))
    n = len(lines)
    high = stats.beta.ppf(0.95, sum(launched) + 1, n - sum(launched)) if sum(launched) < n else 1.0
    return "\n".join(
        [
            f"repetitions with a launch      {sum(launched)} of {n} (at most {high:.1%} with 95% confidence)",
            f"the same without the ledger    {sum(by_chance)} of {n}",
            f"candidates launched            {sum(row['verdict'] == 'launch' for row in rows)} of {len(rows)}",
            f"refused                        {refused} of {len(rows)}",
            f"truth inside the interval      {sum(held)} of {len(rows)}",
            f"true lift in the mean          {true:+.1%}, told {bias:+.1%} more; the best is told {best:+.1%}",
            f"seconds                        {np.median([line['seconds'] for line in lines]):.0f} a repetition",
            f"rlopt                          {', '.join(sorted({line['commit'] for line in lines}))}",
        ]
    )


def main() -> None:
    """Run what is missing, print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--items", type=int, default=N_ITEMS, help="items of a shop")
    parser.add_argument("--results", type=Path, default=Path("runs/winners-curse.jsonl"))
    parser.add_argument("--print", type=Path, metavar="RESULTS", help="run nothing, print what is in this file")
    arguments = parser.parse_args()
    results = JsonlWriter(arguments.print or arguments.results)
    if not arguments.print:
        done = {line["seed"] for line in results.rows()}
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.repetitions):
            if seed not in done:
                with contextlib.redirect_stderr(io.StringIO()):
                    line = repetition(seed, arguments.items)
                results.write(line)
                print(f"{seed}: {line['seconds']:.0f} s", flush=True)
    if lines := list(results.rows()):
        print(summary(lines))


if __name__ == "__main__":
    main()
