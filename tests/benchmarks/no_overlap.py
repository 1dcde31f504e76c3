"""Does the judge tell the truth about titles nobody has shown? Coverage, bias, false launches and power over worlds.

Every world is a shop of its own (other tastes, habits and items, English and Chinese in turn) with logs of 10 million
impressions. A reward is fitted on its train items, the judge on others, and policies choose titles for the test items
from the pools of `_titles_of_worlds`: policy(title) ~ exp(t * reward(title)), with t such that the *true* lift over
the logged titles is 0 (the boundary), +5%, or left at t = 3 ("strong"). What offline-eval would say is compared with
the simulator's truth:

- "bias" and "RMSE" of the lift on the test items, against their own true lift;
- "judge": coverage of that same lift by the interval without the draw of items, the judge's doubt alone;
- "items": its coverage by the interval as reported. That one is for the shop the test items were drawn from, so it is
  wider than these items need;
- "shop": what it claims, checked on as many other items of the shop, where the same policy's true lift has a sampling
  error of its own that is added to the interval's.

"launch" is the share of false launches at the boundary and the power elsewhere.

    python tests/benchmarks/no_overlap.py --worlds 100 --results worlds.jsonl

A finished world is a line of --results; the same command goes on where it was interrupted, and several processes may
share the work by --first-seed and one file each (then give all files to print the table of all: --worlds 0).
Nothing was tuned on the worlds from seed 20,000 on, the ones reported; development looked at 500 to 530 and 10,000 to
10,060. Pin BLAS to one thread (OMP_NUM_THREADS=1): the fits are small.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _titles_of_worlds import BEYOND, SHIFTS, pool
from scipy.optimize import brentq

from envs.market import Market
from reward.arms import Arms
from reward.items import Item
from reward.model.judge import Judge
from rlopt.config import EvalConfig
from rlopt.ope.diagnostics import KlEstimate, Overlap
from rlopt.ope.direct import LiftEstimate, TitleDraws, estimate_lift, item_rate_draws, item_ratios
from rlopt.ope.hidden_arms import UNTESTED_WIDENING, HiddenArmTest, hidden_arm_test
from rlopt.ope.verdict import Grounds, decide
from rlopt.policy.constraints import Lexicon

ITEMS = {"train": 600, "judge": 600, "test": 400}
OTHERS = 400
POOL, POOL_BEYOND = 10, 2
TARGETS = {"boundary": 0.0, "+5%": 0.05}
STRONG = 3.0
RULE = EvalConfig(baseline="logged")
FIRST_SEED = 20_000

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
        n_logged = sum(ITEMS.values())
        self.market = Market(n_logged + OTHERS, locale, seed=seed)
        per_item = impressions / n_logged
        train = logs_of(self.market, 0, ITEMS["train"], per_item, self.rng)
        judging = logs_of(self.market, ITEMS["train"], ITEMS["judge"], per_item, self.rng)
        self.test = logs_of(self.market, ITEMS["train"] + ITEMS["judge"], ITEMS["test"], per_item, self.rng)
        self.reward, self.judge = Judge.fit(train, seed=seed), Judge.fit(judging, seed=seed + 1)
        self.logged_titles = [str(title) for title in self.test.title]
        self.blind = self.judge.draws(self.test.arm_items, self.logged_titles, 400, self.rng)
        self.learned = self.judge.updated(self.test)
        self.preferred = self.reward.mean_effect(self.test.arm_items, self.logged_titles)
        self.lexicon = Lexicon.learn(zip(train.arm_items, map(str, train.title), strict=True))
        self.items = list(self.test.items)
        self.others = list(self.market.items[n_logged:])
        clicks, exposure = (np.bincount(self.test.item_index, x) for x in (self.test.clicks, self.test.exposure))
        self.item_rate = item_rate_draws(clicks, exposure, len(self.blind), self.rng)
        values = self.market.click_probability(self.test.arm_items, self.logged_titles)
        self.logged_value = np.bincount(self.test.item_index, self.test.exposure * values) / exposure
        self.others_value = self._value_of_logs(self.others)

    def _value_of_logs(self, items: Sequence[Item]) -> FloatArray:
        """True clicks per impression under the logging policy, shape (n_items,)."""
        policies = [self.market.logging_policy(item) for item in items]
        owners = [item for item, titles in zip(items, policies, strict=True) for _ in titles]
        values = self.market.click_probability(owners, [title for titles in policies for title, _ in titles])
        share = np.array([p for titles in policies for _, p in titles])
        index = np.repeat(np.arange(len(items)), [len(titles) for titles in policies])
        return np.bincount(index, share * values)

    def run(self) -> list[dict[str, Any]]:
        """A row for each policy."""
        rows = []
        for name in SHIFTS:
            titles = pool(self.market, name, self.items, POOL, self.reward, self.rng)
            elsewhere = pool(self.market, name, self.others, POOL, self.reward, self.rng)
            rows += self._policies(name, titles, elsewhere)
        for name in BEYOND:
            titles = pool(self.market, name, self.items, POOL_BEYOND, self.reward, self.rng)
            rows += self._policies(name, titles, None)
        return rows

    def _policies(self, name: str, titles: list[str], elsewhere: list[str] | None) -> list[dict[str, Any]]:
        n, size = len(self.items), len(titles) // len(self.items)
        owner = np.repeat(np.arange(n), size)
        owners = [self.items[i] for i in owner]
        truth = self.market.click_probability(owners, titles).reshape(n, size)
        score = self.reward.mean_effect(owners, titles).reshape(n, size)
        middle, spread = float(score.mean()), max(float(score.std()), 1e-9)
        score = (score - middle) / spread
        draws = self.learned.draws([*owners, *self.test.arm_items], [*titles, *self.logged_titles], 400, self.rng)
        supported = self.judge.support(owners, titles).reshape(n, size) >= RULE.support_level
        faithful = np.array(
            [bool(t) and not self.lexicon.unstated_words(i, t) for i, t in zip(owners, titles, strict=True)]
        ).reshape(n, size)

        def true_lift(t: float) -> float:
            return float((_shares(score, t) * truth).sum() / self.logged_value.sum() - 1)

        tilts = {"beyond": 0.0}
        if elsewhere is not None:
            tilts = {"strong": STRONG}
            for label, goal in TARGETS.items():
                if true_lift(-6.0) < goal < true_lift(6.0):
                    tilts[label] = brentq(lambda t, goal=goal: true_lift(t) - goal, -6.0, 6.0)
            others = [item for item in self.others for _ in range(size)]
            others_truth = self.market.click_probability(others, elsewhere).reshape(-1, size)
            others_score = (self.reward.mean_effect(others, elsewhere).reshape(-1, size) - middle) / spread
        out = []
        for label, t in tilts.items():
            share = _shares(score, t)
            lift, alone, hidden = self._lift(draws, owner, share, t)
            support_share, faithfulness = (float((share * x).sum() / n) for x in (supported, faithful))
            evidence = Grounds(
                lifts={"logged": lift},
                n_items=n,
                support_share=support_share,
                hidden_arms=hidden,
                overlap=Overlap(0.0, 0.0, 0.0, 0.0, 0.0, False, "no overlap"),
                model_against_weights=None,
                kl=KlEstimate(0.0, 0.0, 0.0, 0.0),
                faithfulness=faithfulness,
                sft_faithfulness=None,
            )
            verdict = decide(evidence, RULE)
            row = {
                "shift": name,
                "policy": label,
                "tilt": t,
                "true": true_lift(t),
                "value": lift.value,
                "low": lift.low,
                "high": lift.high,
                "judge_low": alone[0],
                "judge_high": alone[1],
                "verdict": verdict.decision,
                "doubts": [reason.topic for reason in verdict.reasons if reason.status == "doubt"],
                "z": hidden.z if hidden else None,
                "slope": hidden.slope if hidden else None,
                "widening": hidden.widening if hidden else None,
                "support": support_share,
                "faithful": faithfulness,
            }
            if elsewhere is not None:
                new = (_shares(others_score, t) * others_truth).sum(axis=1)
                row["others"], row["others_error"] = _ratio(new, self.others_value)
            out.append(row)
        return out

    def _lift(
        self, draws: FloatArray, owner: Any, share: FloatArray, tilt: float
    ) -> tuple[LiftEstimate, tuple[float, float], HiddenArmTest | None]:
        """Lift as offline-eval would report it; its interval without the draw of items; the hidden-arm test."""
        n, test = len(owner), self.test
        weight = np.exp(tilt * (self.preferred - self.preferred.mean()) / max(float(self.preferred.std()), 1e-9))
        preference = weight / np.bincount(test.item_index, weight)[test.item_index]
        hidden = hidden_arm_test(self.blind, test.item_index, test.clicks, test.exposure, preference)
        widening = hidden.widening if hidden else UNTESTED_WIDENING
        policy = TitleDraws(draws[:, :n], owner, np.maximum(share.ravel(), 1e-12))
        logged = TitleDraws(draws[:, n:], test.item_index, test.exposure)
        lift = estimate_lift(policy, logged, logged, self.item_rate, rng=self.rng, widening=widening)
        ratios = item_ratios(policy, logged, len(self.items), widening)
        given_items = (self.item_rate * ratios).sum(axis=1) / self.item_rate.sum(axis=1) - 1
        low, high = np.quantile(given_items, [0.025, 0.975])
        return lift, (float(low), float(high)), hidden


def _shares(score: FloatArray, t: float) -> FloatArray:
    weight = np.exp(t * (score - score.max(axis=1, keepdims=True)))
    return weight / weight.sum(axis=1, keepdims=True)


def _ratio(new: FloatArray, base: FloatArray) -> tuple[float, float]:
    """Lift sum(new) / sum(base) - 1 of the items drawn, and the standard error of its logarithm by the draw."""
    ratio = float(new.sum() / base.sum())
    scores = new / new.sum() - base / base.sum()
    return ratio - 1, float(np.sqrt(len(new) / (len(new) - 1) * (scores @ scores)))


def covers_shop(row: dict[str, Any]) -> bool:
    """True if the reported interval, widened by the sampling error of the other items, holds their true lift."""
    log = {key: float(np.log1p(row[key])) for key in ("value", "low", "high", "others")}
    gap = log["others"] - log["value"]
    reach = log["high"] - log["value"] if gap > 0 else log["value"] - log["low"]
    return abs(gap) <= np.hypot(reach, 1.96 * row["others_error"])


def report(lines: list[dict[str, Any]]) -> str:
    """The table of the study; coverages are of the policies that were not refused."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        for row in line["rows"]:
            cells[row["shift"], row["policy"]].append(row)
    out = [
        "shift           policy     worlds    true    bias   RMSE   width    judge    items     shop   launch  refused"
    ]
    for (shift, policy), rows in cells.items():
        kept = [row for row in rows if row["verdict"] != "insufficient-evidence"]
        errors = np.array([row["value"] - row["true"] for row in rows])
        judge = [row["judge_low"] <= row["true"] <= row["judge_high"] for row in kept]
        items = [row["low"] <= row["true"] <= row["high"] for row in kept]
        shop = [covers_shop(row) for row in kept if "others" in row]
        launch = np.mean([row["verdict"] == "launch" for row in rows])
        out.append(
            f"{shift:15} {policy:10} {len(rows):6d}  {np.mean([row['true'] for row in rows]):+6.1%} "
            f"{errors.mean():+7.2%} {np.sqrt(np.mean(errors**2)):6.2%} "
            f"{np.mean([row['high'] - row['low'] for row in rows]):7.1%}  {_share(judge)}  {_share(items)}  "
            f"{_share(shop)}  {launch:7.1%}  {1 - len(kept) / len(rows):7.1%}"
        )
    return "\n".join(out)


def _share(hits: list[bool]) -> str:
    return f"{np.mean(hits):7.1%}" if hits else "      -"


def read_lines(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Finished worlds of all files, each seed once."""
    texts = [line for path in paths if path.exists() for line in path.read_text().splitlines()]
    return list({line["seed"]: line for line in map(json.loads, texts)}.values())


def main() -> None:
    """Run the worlds that no file of --results has, append them to the first, print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--impressions", type=float, default=1e7)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--results", type=Path, nargs="+", default=[Path("no_overlap.jsonl")])
    arguments = parser.parse_args()
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.worlds):
        if any(line["seed"] == seed for line in read_lines(arguments.results)):
            continue
        line = {"seed": seed, "impressions": arguments.impressions, "rows": World(seed, arguments.impressions).run()}
        with arguments.results[0].open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"world {seed} done", flush=True)
    print(report(sorted(read_lines(arguments.results), key=lambda line: int(line["seed"]))))


if __name__ == "__main__":
    main()
