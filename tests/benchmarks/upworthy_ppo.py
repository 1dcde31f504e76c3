"""Does PPO write better headlines by the judge's lights, and still headlines like those of people? Upworthy, SmolLM2.

    python tests/benchmarks/upworthy_ppo.py --sft-steps 150 --steps 200       # an hour or two on two cores
    python tests/benchmarks/upworthy_ppo.py --sft-steps 1000 --steps 2000     # on a GPU

Runs the three commands on the archive with configs/upworthy.yaml (extras [smollm2] and [encoder]) and compares the PPO
policy with the SFT policy on test items that nothing was trained on: lift in predicted CTR by the judge, KL, and
ROUGE-L against the headlines that people wrote for the same item (the best match of each). Anchor: Hughes, Chang and
Zhang 2019 (KDD), "Generating better search engine text advertisements with deep reinforcement learning": +6.7%
expected CTR at no meaningful loss of ROUGE. An interrupted run is continued by the same command.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _data import DATA

from rlopt.config import EvalConfig, PpoConfig, RewardConfig, SftConfig
from rlopt.config.presets import load, read_preset
from rlopt.policy.text_metrics import bootstrap_mean, item_draws, nearest_reference
from rlopt.run import Run
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft

PRESET = Path(__file__).resolve().parents[2] / "configs" / "upworthy.yaml"
EXAMPLES = 10


def rouge_l(run: Run, policy: str, seed: int) -> Any:
    """ROUGE-L (F) of a policy's titles: each against the item's logged headline that it is nearest to."""
    rows = pq.read_table(run / "eval" / "titles.parquet", columns=["item_id", "policy", "title"]).to_pylist()
    people: dict[str, list[str]] = {}
    for row in rows:
        if row["policy"] == "logged":
            people.setdefault(row["item_id"], []).append(row["title"])
    mine = [row for row in rows if row["policy"] == policy]
    best = nearest_reference([row["title"] for row in mine], [people[row["item_id"]] for row in mine], "rouge_l")
    ids = {item_id: i for i, item_id in enumerate(people)}
    cluster = np.array([ids[row["item_id"]] for row in mine])
    return bootstrap_mean(best, cluster, item_draws(len(ids), 1000, seed))


def examples(run: Run) -> None:
    """Titles of both policies side by side, every so many items: not the best ones."""
    rows = pq.read_table(run / "eval" / "titles.parquet", columns=["item_id", "policy", "title"]).to_pylist()
    first: dict[str, dict[str, str]] = {}
    for row in rows:
        first.setdefault(row["item_id"], {}).setdefault(row["policy"], row["title"])
    for item_id in list(first)[:: max(1, len(first) // EXAMPLES)][:EXAMPLES]:
        print(
            f"  people {first[item_id]['logged']}\n  SFT    {first[item_id]['sft']}\n  PPO    {first[item_id]['ppo']}\n"
        )


def main() -> None:
    """Train what is missing, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/upworthy-ppo"), help="run directory")
    parser.add_argument("--sft-steps", type=int, default=150)
    parser.add_argument("--steps", type=int, default=200, help="PPO updates")
    parser.add_argument("--batch-size", type=int, default=16, help="titles a PPO update")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of PPO")
    parser.add_argument("--kl-coef", type=float, default=0.05)
    parser.add_argument("--max-items", type=int, default=200, help="test items")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    preset = read_preset(PRESET)
    seed = {"seed": arguments.seed}
    run = Run.open(arguments.run, create=True)
    fit_reward(run, DATA / "upworthy" / "packages.parquet", load(RewardConfig, PRESET, seed), preset=preset)
    train_sft(run, load(SftConfig, PRESET, {"steps": arguments.sft_steps, "save_every": 25, **seed}))
    own = {name: getattr(arguments, name) for name in ("steps", "batch_size", "learning_rate", "kl_coef")}
    train_ppo(run, load(PpoConfig, PRESET, {**own, **seed}))
    result = evaluate(run, load(EvalConfig, PRESET, {"samples": 2, "max_items": arguments.max_items, **seed}))
    lift, kl = result.report.lifts["sft"], result.report.kl
    print(
        f"predicted CTR over SFT, by the judge: {lift.value:+.1%} [{lift.low:+.1%}, {lift.high:+.1%}] "
        f"on {result.report.n_items} test items; KL {kl.value if kl else float('nan'):.2f} nats per title; "
        f"verdict {result.report.verdict.decision}"
    )
    for policy in ("sft", "ppo"):
        rouge = rouge_l(run, policy, arguments.seed)
        print(f"ROUGE-L of {policy}: {100 * rouge.value:.1f} [{100 * rouge.low:.1f}, {100 * rouge.high:.1f}]")
    seconds = {stage: round(run.record(stage)["seconds"]) for stage in ("fit-reward", "sft", "ppo", "offline-eval")}
    print(f"seconds: {json.dumps(seconds)}\n")
    examples(run)


if __name__ == "__main__":
    main()
