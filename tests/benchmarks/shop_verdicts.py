"""Check of the verdict where the truth is known: ten shops, a leak that must be refused, policies that cheat.

    python tests/benchmarks/shop_verdicts.py                                # hours on one core, five shops in Chinese
    python tests/benchmarks/shop_verdicts.py --parts hacked --seeds 0       # minutes: the first small shop's cheats

``shops`` is ``rlopt demo`` per shop (as in demo_seeds.py, whose finished demos in --runs are taken over): is the true
lift inside the interval? ``leaks`` asks offline-eval of the same shops to judge a policy that has seen test items,
told by --trained-on and by the run's own splits: both must be refused. ``hacked`` trains PPO without its guards (one
model on a fifth of few items, no KL penalty, no risk aversion, no monitor, learning rates up to fifteen times the
default) on a reward that is weak, learned from shuffled clicks, or from clicks turned round, so that PPO seeks the
worst titles; judge and test items keep their own clicks. A policy with a negative true lift must never be told to
launch. Every finished shop or policy is a line of --results; what is there is not run again.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from demo_seeds import SHOPS, demo

from reward.errors import RewardError
from reward.logs.read import read_logs
from reward.logs.splits import split_items
from rlopt.config import EvalConfig, PpoConfig, RewardConfig, SftConfig, SimulateConfig
from rlopt.errors import RloptError
from rlopt.files import JsonlWriter
from rlopt.run import DATA, Run
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft
from rlopt.stages.simulate import simulate

PARTS = ("shops", "leaks", "hacked")
BASELINES = ("over_sft", "over_logged")
UNGUARDED: dict[str, Any] = {"kl_coef": 0.0, "kl_target": None, "risk_aversion": 0.0, "monitor": False}
# how hard it is hacked: few steps suffice without a penalty (ten nats and more), whole ones would cost hours
HACKS: dict[str, dict[str, Any]] = {
    "some": {"steps": 15, "learning_rate": 5e-4},
    "hard": {"steps": 30, "learning_rate": 1e-3},
    "wild": {"steps": 30, "learning_rate": 3e-3, "epochs": 2},
}
CLICKS = ("weak", "shuffled", "reversed")  # what the reward learns from, by seed
FEW: dict[str, Any] = {
    "members": 1,
    "monitor_share": 0.0,
    "judge_share": 0.4,
    "test_share": 0.4,
    "learning_curve": False,
}

Row = dict[str, Any]


def shop(name: str, arguments: argparse.Namespace) -> Row:
    """One demo: estimate, interval and truth of both lifts."""
    result = demo(name, arguments.runs)
    sft = {key: result[key] for key in ("low", "high")} | {
        "estimated": result["estimated_lift"],
        "true": result["true_lift"],
    }
    return {"verdict": result["verdict"], "over_sft": sft, "over_logged": result["over_logged"]}


def leak(name: str, arguments: argparse.Namespace) -> Row:
    """Verdict of offline-eval on a policy that has seen test items: told of it, and by splits that share items."""
    demo(name, arguments.runs)
    run = Run.open(arguments.runs / name)
    splits = run.splits()
    seen = arguments.runs / f"{name}-trained-on.csv"
    seen.write_text("item_id\n" + "\n".join([*splits.train, *splits.test[:5]]) + "\n", encoding="utf-8")
    copy = arguments.runs / f"{name}-leak"
    shutil.rmtree(copy, ignore_errors=True)
    for part in (DATA, "manifest.json"):
        source = run / part
        copy.mkdir(exist_ok=True)
        shutil.copytree(source, copy / part) if source.is_dir() else shutil.copy(source, copy / part)
    sides = json.loads((copy / DATA / "splits.json").read_text(encoding="utf-8"))
    sides["train"] = [*sides["train"], *sides["test"][:5]]
    (copy / DATA / "splits.json").write_text(json.dumps(sides), encoding="utf-8")
    said = {"trained_on": _refusal(run, seen), "splits": _refusal(Run.open(copy), None)}
    shutil.rmtree(copy)
    seen.unlink()
    return {**said, "refused": all(said.values())}


def _refusal(run: Run, trained_on: Path | None) -> str | None:
    """The error of an evaluation, None where there is none."""
    try:
        evaluate(run, EvalConfig(), trained_on=trained_on)
    except (RloptError, RewardError) as error:
        return str(error)
    return None


def hacked(name: str, hack: str, arguments: argparse.Namespace) -> Row:
    """PPO without guards against a weak reward, evaluated as any policy is."""
    locale, seed = name.split("-")
    run = fooled_run(arguments.runs / f"hacked-{name}", locale, int(seed), arguments)  # type: ignore[arg-type]
    train_ppo(run, PpoConfig(**UNGUARDED, **HACKS[hack], seed=int(seed), save_every=1000))
    result = evaluate(run, EvalConfig(seed=int(seed), best_of=0))
    report = result.report
    assert report.true_lifts is not None
    lifts = {
        f"over_{baseline}": {
            "estimated": lift.value,
            "low": lift.low,
            "high": lift.high,
            "true": report.true_lifts[baseline],
        }
        for baseline, lift in report.lifts.items()
    }
    against = [reason.topic for reason in report.verdict.reasons if reason.status in ("hold", "doubt")]
    promised = run.record("ppo")["notes"]["predicted_lift"]
    clicks = CLICKS[int(seed) % len(CLICKS)]
    return {"clicks": clicks, "verdict": report.verdict.decision, "against": against, "promised": promised, **lifts}


def fooled_run(folder: Path, locale: Literal["en", "zh"], seed: int, arguments: argparse.Namespace) -> Run:
    """A small shop whose reward is one model fitted on a fifth of the items, with its SFT policy."""
    run = Run.open(folder, create=True)
    logs = folder / "shop" / "logs.parquet"
    reward = RewardConfig(**FEW, seed=seed)
    if not logs.exists():
        with run.replacing("shop") as new:
            size: dict[str, Any] = {"items": arguments.items, "impressions": 2000 * arguments.items}
            simulate(new / "logs.parquet", SimulateConfig(**size, locale=locale, seed=seed, rows="arms"))
            spoil(new / "logs.parquet", CLICKS[seed % len(CLICKS)], reward)
    fit_reward(run, logs, reward)
    train_sft(run, SftConfig(seed=seed, steps=200))
    return run


def spoil(logs: Path, kind: str, reward: RewardConfig) -> None:
    """Give the train items' titles each other's click rates; drop conversions, which are not the subject."""
    arms = read_logs(logs).arms
    splits = split_items(arms, judge_share=reward.judge_share, test_share=reward.test_share, seed=reward.seed)
    table = pq.read_table(logs).drop_columns(["conversions"])
    item = np.array([str(value) for value in table["item_id"].to_pylist()])
    shown, clicks = (table[name].to_numpy().astype(np.int64) for name in ("impressions", "clicks"))
    rng = np.random.default_rng(reward.seed)
    new = clicks.copy()
    for name in sorted(splits.train) if kind != "weak" else ():
        rows = np.flatnonzero(item == name)
        rate = clicks[rows] / np.maximum(shown[rows], 1)
        order = np.argsort(rate) if kind == "reversed" else rng.permutation(len(rows))
        other = np.empty(len(rows), dtype=np.int64)
        other[order] = order[::-1]  # reversed: the worst gets the best one's rate; shuffled: pairs at random
        new[rows] = rng.binomial(shown[rows], rate[other])
    place = table.column_names.index("clicks")
    pq.write_table(table.set_column(place, "clicks", pa.array(new)), logs)


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """(part, shop, hack) of everything that is asked for."""
    for part in arguments.parts:
        if part != "hacked":
            yield from ((part, name, "") for name in arguments.shops)
        else:
            yield from ((part, f"{'zh' if s % 2 else 'en'}-{s}", hack) for s in arguments.seeds for hack in HACKS)


def told(row: Row) -> str:
    """One line for a person; a star marks a truth outside its interval."""
    head = f"{row['part']:6} {row['shop']:5} {row.get('clicks', ''):8} {row['hack']:5}"
    if row["part"] == "leaks":
        return f"{head} {'refused' if row['refused'] else 'NOT REFUSED'}: {row['trained_on']} | {row['splits']}"
    lifts = "  ".join(
        f"{name[5:]} {100 * lift['estimated']:+6.1f} [{100 * lift['low']:+6.1f}, {100 * lift['high']:+6.1f}] "
        f"true {100 * lift['true']:+6.1f}{' ' if inside(lift) else '*'}"
        for name, lift in row.items()
        if name.startswith("over_")
    )
    more = f" (against: {', '.join(row['against'])}; PPO promised {row['promised']:+.1%})" if row["hack"] else ""
    return f"{head} {lifts}  {row['verdict']}{more}"


def inside(lift: Row) -> bool:
    """True if the interval holds the truth."""
    return bool(lift["low"] <= lift["true"] <= lift["high"])


def summary(rows: list[Row]) -> Iterator[str]:
    """Summaries of the results, a line each."""
    if shops := [row for row in rows if row["part"] == "shops"]:
        for baseline in BASELINES:
            found = sum(inside(row[baseline]) for row in shops)
            yield f"true lift over {baseline[5:]} inside its interval: {found}/{len(shops)}"
    if leaks := [row for row in rows if row["part"] == "leaks"]:
        yield f"trained on test items, refused: {sum(r['refused'] for r in leaks)}/{len(leaks)}"
    if cheats := [row for row in rows if row["part"] == "hacked"]:
        worse = [row for row in cheats if min(row[name]["true"] for name in BASELINES) < 0]
        yield (
            f"hacked policies: {len(cheats)}; truly worse than SFT or the logs: {len(worse)}, "
            f"of these told to launch: {sum(row['verdict'] == 'launch' for row in worse)}"
        )
        for name in BASELINES:
            below = [row[name] for row in cheats if row[name]["true"] < 0]
            above = sum(lift["low"] > 0 for lift in below)
            found = sum(inside(row[name]) for row in cheats)
            yield (
                f"  over {name[5:]}: truly below zero {len(below)}, of these with an interval above zero {above}; "
                f"truth inside its interval {found}/{len(cheats)}"
            )


def main() -> None:
    """Run what is missing, print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/shop-verdicts"), help="where the runs are kept")
    parser.add_argument("--results", type=Path, help="JSON lines (default: results.jsonl in --runs)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--shops", nargs="+", default=SHOPS, help="locale-seed of shops and leaks, such as en-0")
    parser.add_argument("--seeds", nargs="+", type=int, default=range(6), help="small shops of the hacked policies")
    parser.add_argument("--items", type=int, default=450, help="items of a small shop")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    results = JsonlWriter(arguments.results or arguments.runs / "results.jsonl")
    done = {(row["part"], row["shop"], row["hack"]): row for row in results.rows()}
    for job in jobs(arguments):
        part, name, hack = job
        if job not in done:
            found = {"shops": shop, "leaks": leak}[part](name, arguments) if not hack else hacked(name, hack, arguments)
            done[job] = {"part": part, "shop": name, "hack": hack, **found}
            results.write(done[job])
        print(told(done[job]), flush=True)
    print("\n".join(summary([done[job] for job in jobs(arguments)])))


if __name__ == "__main__":
    main()
