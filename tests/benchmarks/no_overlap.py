"""Does the judge tell the truth about titles nobody has shown? Coverage, bias, false launches and power over worlds.

Every world is a shop of its own (other tastes, habits and items, English and Chinese in turn) with logs of 10 million
impressions. A reward is fitted on its train items, the judge on others, and policies choose titles for the test items
from the pools of `_titles_of_worlds`: policy(title) ~ exp(t * reward(title)), with t such that the *true* lift over
the logged titles is 0 (the boundary), +5 %, or left at t = 3 ("strong"). What offline-eval would say is compared with
the simulator's truth.

    python tests/benchmarks/no_overlap.py --worlds 100 --out worlds.jsonl

A finished world is a line of --out; the same command goes on where it was interrupted.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from _titles_of_worlds import BEYOND, SHIFTS, pool
from scipy.optimize import brentq

from envs.market import Market
from reward.arms import Arms
from reward.model.judge import Judge
from rlopt.config import EvalConfig
from rlopt.ope.diagnostics import KlEstimate, Overlap
from rlopt.ope.direct import LiftEstimate, TitleDraws, estimate_lift, item_rate_draws
from rlopt.ope.hidden_arms import HiddenArmTest, hidden_arm_test
from rlopt.ope.verdict import Evidence, decide
from rlopt.policy.constraints import Lexicon

ITEMS = {"train": 600, "judge": 600, "test": 400}
POOL = 10
TARGETS = {"boundary": 0.0, "+5 %": 0.05}
STRONG = 3.0
RULE = EvalConfig()
FIRST_SEED = 10_000

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def logs_of(market: Market, first: int, count: int, per_item: float, rng: np.random.Generator) -> Arms:
    """Arms of ``count`` items of the shop as its logging policy shows them."""
    items = market.items[first : first + count]
    rows = [(i, title, p) for i, item in enumerate(items) for title, p in market.logging_policy(item)]
    index, propensity = np.array([i for i, _, _ in rows]), np.array([p for _, _, p in rows])
    titles = np.array([title for _, title, _ in rows], dtype=object)
    traffic = np.exp(0.5 * rng.standard_normal(count) - 0.125)
    shown = rng.poisson(per_item * traffic[index] * propensity) + 1
    clicks = rng.binomial(shown, market.click_probability([items[i] for i in index], [str(t) for t in titles]))
    counts = shown.astype(np.float64)
    return Arms(items, index, titles, counts, clicks.astype(np.float64), counts.copy(), propensity, True)


class World:
    """One shop with its logs, a reward, a judge, and what both say of the test items' logged titles."""

    def __init__(self, seed: int, impressions: float) -> None:
        self.rng = np.random.default_rng(seed)
        locale = ("en", "zh")[seed % 2]
        self.market = Market(sum(ITEMS.values()), locale, seed=seed)
        per_item = impressions / sum(ITEMS.values())
        train = logs_of(self.market, 0, ITEMS["train"], per_item, self.rng)
        judging = logs_of(self.market, ITEMS["train"], ITEMS["judge"], per_item, self.rng)
        self.test = logs_of(self.market, ITEMS["train"] + ITEMS["judge"], ITEMS["test"], per_item, self.rng)
        self.reward, self.judge = Judge.fit(train, seed=seed), Judge.fit(judging, seed=seed + 1)
        self.lexicon = Lexicon.learn(zip(train.arm_items, map(str, train.title), strict=True))
        self.items = list(self.test.items)
        values = self.market.click_probability(self.test.arm_items, [str(t) for t in self.test.title])
        n = len(self.items)
        self.logged_value = np.bincount(self.test.item_index, self.test.exposure * values, n) / np.bincount(
            self.test.item_index, self.test.exposure, n
        )

    def run(self) -> list[dict[str, Any]]:
        """A row for each policy."""
        rows = []
        for name in (*SHIFTS, *BEYOND):
            titles = pool(self.market, name, self.items, POOL, self.reward, self.rng)
            rows += self._policies(name, titles)
        return rows

    def _policies(self, name: str, titles: list[str]) -> list[dict[str, Any]]:
        owner = np.repeat(np.arange(len(self.items)), POOL)
        owners = [self.items[i] for i in owner]
        truth = self.market.click_probability(owners, titles).reshape(-1, POOL)
        score, _ = self.reward.effect(owners, titles)
        score = score.reshape(-1, POOL)
        score = (score - score.mean()) / max(float(score.std()), 1e-9)
        both = self.judge.draws([*owners, *self.test.arm_items], [*titles, *map(str, self.test.title)], 400, self.rng)
        support = self.judge.support(owners, titles).reshape(-1, POOL)
        faithful = np.array(
            [bool(t) and not self.lexicon.unsupported_words(i, t) for i, t in zip(owners, titles, strict=True)]
        ).reshape(-1, POOL)

        def true_lift(t: float) -> float:
            return float((_shares(score, t) * truth).sum() / self.logged_value.sum() - 1)

        tilts: dict[str, float] = {"strong": STRONG} if name in SHIFTS else {"beyond": 0.0}
        if name in SHIFTS:
            for label, goal in TARGETS.items():
                if true_lift(-6.0) < goal < true_lift(6.0):
                    tilts[label] = brentq(lambda t, goal=goal: true_lift(t) - goal, -6.0, 6.0)
        out = []
        for label, t in tilts.items():
            share = _shares(score, t)
            lift, hidden = self._lift(both, owner, share, t)
            verdict = decide(
                Evidence(
                    lifts={"logged": lift},
                    n_items=len(self.items),
                    support_share=float((share * (support >= RULE.support_level)).sum() / len(self.items)),
                    hidden_arms=hidden,
                    overlap=Overlap(0.0, 0.0, 0.0, 0.0, 0.0, False, "no overlap"),
                    model_against_weights=None,
                    kl=KlEstimate(0.0, 0.0, 0.0, 0.0),
                    faithfulness=float((share * faithful).sum() / len(self.items)),
                    sft_faithfulness=None,
                ),
                RULE.model_copy(update={"baseline": "logged"}),
            )
            doubts = [reason.topic for reason in verdict.reasons if reason.status == "doubt"]
            out.append(
                {
                    "shift": name,
                    "policy": label,
                    "true": true_lift(t),
                    "value": lift.value,
                    "low": lift.low,
                    "high": lift.high,
                    "verdict": verdict.decision,
                    "doubts": doubts,
                    "z": hidden.z if hidden else None,
                    "slope": hidden.slope if hidden else None,
                    "widening": hidden.widening if hidden else None,
                    "support": float((share * (support >= RULE.support_level)).sum() / len(self.items)),
                    "faithful": float((share * faithful).sum() / len(self.items)),
                }
            )
        return out

    def _lift(
        self, both: FloatArray, owner: Any, share: FloatArray, tilt: float
    ) -> tuple[LiftEstimate, HiddenArmTest | None]:
        """What offline-eval would say."""
        n = len(owner)
        test = self.test
        preferred, _ = self.reward.effect(test.arm_items, [str(t) for t in test.title])
        weight = np.exp(tilt * (preferred - preferred.mean()) / max(float(preferred.std()), 1e-9))
        preference = weight / np.bincount(test.item_index, weight)[test.item_index]
        hidden = hidden_arm_test(both[:, n:], test.item_index, test.clicks, test.exposure, preference)
        totals = [np.bincount(test.item_index, x, len(self.items)) for x in (test.clicks, test.exposure)]
        logged = TitleDraws(both[:, n:], test.item_index, test.exposure)
        lift = estimate_lift(
            TitleDraws(both[:, :n], owner, np.maximum(share.ravel(), 1e-12)),
            logged,
            logged,
            item_rate_draws(totals[0], totals[1], len(both), self.rng),
            rng=self.rng,
            widening=hidden.widening if hidden else 1.3,
        )
        return lift, hidden


def _shares(score: FloatArray, t: float) -> FloatArray:
    weight = np.exp(t * (score - score.max(axis=1, keepdims=True)))
    return weight / weight.sum(axis=1, keepdims=True)


def report(lines: list[dict[str, Any]]) -> str:
    """The table of the study."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        for row in line["rows"]:
            cells[row["shift"], row["policy"]].append(row)
    out = [
        "shift           policy     worlds  true    bias   RMSE   width  covered  covered where not refused  "
        "launch  refused"
    ]
    for (shift, policy), rows in cells.items():
        true, value, low, high = (np.array([row[k] for row in rows]) for k in ("true", "value", "low", "high"))
        inside = (low <= true) & (true <= high)
        refused = np.array([row["verdict"] == "insufficient-evidence" for row in rows])
        kept = f"{inside[~refused].mean():.1%} of {(~refused).sum()}" if (~refused).any() else "-"
        launch = np.mean([row["verdict"] == "launch" for row in rows])
        out.append(
            f"{shift:15} {policy:10} {len(rows):6d}  {true.mean():+6.1%} {(value - true).mean():+6.1%} "
            f"{np.sqrt(np.mean((value - true) ** 2)):6.1%} {(high - low).mean():6.1%}  {inside.mean():7.1%}  "
            f"{kept:>25}  {launch:6.1%}  {refused.mean():7.1%}"
        )
    return "\n".join(out)


def main() -> None:
    """Run the worlds that --out lacks, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--impressions", type=float, default=1e7)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--out", type=Path, default=Path("no_overlap.jsonl"))
    arguments = parser.parse_args()
    lines = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.worlds):
        if any(line["seed"] == seed for line in lines):
            continue
        lines.append({"seed": seed, "rows": World(seed, arguments.impressions).run()})
        with arguments.out.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(f"world {seed} done", flush=True)
    print(report(lines))


if __name__ == "__main__":
    main()
