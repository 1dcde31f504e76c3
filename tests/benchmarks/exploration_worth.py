"""Value of exploring by plan, beside all titles equally and Thompson sampling, on the same items and traffic.

    python tests/benchmarks/exploration_worth.py --seeds 1           # a quarter of an hour on one core

The shop, its titles and its observational reward are those of stage_zero.py. Four ways show titles in --batches
batches: the plan of ``explore``; all titles of the same items equally; the same, of as many of these items as the
expected loss of --loss allows, which binds the plan, too; and Thompson sampling of the same items (the chance that a
title is the best, given the clicks so far and the same prior). Then, for each way:

- width: of the 95% interval of the best-looking challenger's lift over today's title (`rlopt.exploring.beliefs`),
  points, mean over the items; and of ``offline-eval`` for one fixed policy, by a run fitted on what was shown;
- pairs: share of pairs of human titles of test items, truly apart by 5% and more, that this run's reward orders right;
- kept: true lift of the titles that look best in the end, over today's, on the explored items;
- cost: true clicks lost while exploring, as a share of the explored items' clicks.
"""

import argparse
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from observational import shop_logs
from stage_zero import Shop

from reward.arrays import FloatArray
from rlopt.config import EvalConfig, ExploreConfig, GenerateConfig, RewardConfig, SftConfig
from rlopt.exploring.allocation import relative_rates
from rlopt.exploring.beliefs import Beliefs, Clicks, learn
from rlopt.run import Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.explore import explore
from rlopt.stages.explore.candidates import Candidates, read_candidates
from rlopt.stages.explore.results import read_results
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.generate.stage import generate
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.sft.stage import train_sft

WAYS = ("plan", "equally", "equally, within the loss", "Thompson")
DRAWS, Z95 = 2000, 1.959964


def beliefs_after(run: Run, candidates: Candidates, results: Path | None) -> Beliefs:
    """Posterior of the titles' effects."""
    clicks, shown = np.zeros((2, 0, *candidates.layout.shape))
    if results is not None:
        clicks, shown = read_results(run, results, candidates, None)
    return learn(candidates.prior, Clicks.of(clicks, shown), candidates.overdispersion)


def chances(beliefs: Beliefs, way: str, rng: np.random.Generator) -> FloatArray:
    """Probability of each title, shape (n, k)."""
    if way.startswith("equally"):
        return np.asarray(beliefs.present / beliefs.present.sum(axis=1, keepdims=True))
    out = np.zeros(beliefs.mean.shape)
    for item, (mean, covariance, present) in enumerate(
        zip(beliefs.mean, beliefs.covariance, beliefs.present, strict=True)
    ):
        own = np.flatnonzero(present)
        drawn = rng.multivariate_normal(mean[own], covariance[np.ix_(own, own)], DRAWS)
        out[item, own] = np.bincount(drawn.argmax(axis=1), minlength=len(own)) / DRAWS
    return out


def shown_by(way: str, start: "Start") -> tuple[Path, tuple[str, ...]]:
    """The results of one way, and its plans."""
    shop, run, titles, config = start.shop, start.run, start.titles, start.config
    rng = np.random.default_rng([start.seed, WAYS.index(way)])
    candidates = read_candidates(run, titles, None, None)
    ids, layout = [item.item_id for item in candidates.items], candidates.layout
    results, plans, before = shop.folder / f"{way}.parquet", list[str](), None
    for batch in range(config.batches):
        plan = shop.folder / f"{way}-{batch}.parquet"
        if way == "plan":
            explore(run, titles, plan, config, results=before)
        else:
            found = layout.rows(chances(beliefs_after(run, candidates, before), way, rng))
            shown_items = start.items if way != WAYS[2] else start.affordable(candidates)
            rows = [row for row, item_id in enumerate(ids) if item_id in shown_items and found[row] > 0]
            table = {"item_id": [ids[row] for row in rows], "title": [candidates.titles[row] for row in rows]}
            pq.write_table(pa.table({**table, "probability": found[rows]}), plan)
        table = pq.read_table(plan, columns=["item_id", "title", "probability"])
        own, names = table["item_id"].to_pylist(), table["title"].to_pylist()
        each = np.array([shop.traffic[item_id] for item_id in own]) * config.span / config.batches
        shown = rng.poisson(each * table["probability"].to_numpy())
        counts = {"impressions": shown, "clicks": rng.binomial(shown, shop.rates(own, names))}
        new = table.select(["item_id", "title"]).append_column("batch", pa.array([str(batch)] * len(own)))
        for name, values in counts.items():
            new = new.append_column(name, pa.array(values))
        pq.write_table(pa.concat_tables([pq.read_table(results), new]) if before else new, results)
        before = results
        plans.append(f"{batch}={plan}")
    return results, tuple(plans)


def pairs_right(shop: Shop, opened: OpenedRun) -> float:
    """Share of clearly different pairs of human titles of test items that the reward orders right."""
    right = asked = 0
    test = set(opened.splits.test)
    known = {item.item_id: item for item in opened.arms.items if item.item_id in test}
    for own in (item for item in shop.market.items if item.item_id in known):
        names = list(dict.fromkeys(shop.market.human_titles(own, 8)))
        effect = opened.reward.predict([known[own.item_id]] * len(names), names).effect
        rate = shop.rates([own.item_id] * len(names), names)
        for i, j in itertools.combinations(range(len(names)), 2):
            if abs(np.log(rate[i] / rate[j])) >= np.log(1.05):
                right += (effect[i] > effect[j]) == (rate[i] > rate[j])
                asked += 1
    return right / max(asked, 1)


@dataclass(frozen=True)
class Start:
    """A shop with written titles, an observational reward, and the items that a plan would explore."""

    shop: Shop
    run: Run
    titles: Path
    items: set[str]
    config: ExploreConfig
    seed: int

    @classmethod
    def of(cls, home: Path, name: str, seed: int, arguments: argparse.Namespace) -> "Start":
        """Go the first steps of stage_zero.py."""
        shop = Shop(shop_logs(home, name[:2], seed, arguments.items, unseen=False), home)
        run = Run.open(home / "zero", create=True)
        train_sft(run, SftConfig(seed=seed, steps=arguments.sft_steps), catalogue=home / "logs.parquet")
        titles = home / "titles.parquet"
        generate(run, home / "logs.parquet", titles, GenerateConfig(n=arguments.n, seed=seed))
        fit_reward(run, home / "logs.parquet", RewardConfig(seed=seed, observational=True, members=4))
        config = ExploreConfig(
            loss=arguments.loss, span=arguments.span, batches=arguments.batches, floor=0.02, seed=seed
        )
        explore(run, titles, home / "first.parquet", config)
        items = set(pq.read_table(home / "first.parquet")["item_id"].to_pylist())
        return cls(shop, run, titles, items, config, seed)

    def affordable(self, candidates: Candidates) -> set[str]:
        """Items, in random order, whose titles can be shown equally within the expected loss of the plan."""
        beliefs, first = candidates.prior.beliefs, candidates.first_rows()
        relative = relative_rates(beliefs)
        today = relative[np.arange(len(first)), candidates.today]
        clicks = candidates.traffic * self.config.span * candidates.rate
        loss = clicks * (today - relative.sum(axis=1) / beliefs.present.sum(axis=1))
        room, taken = self.config.loss * float(clicks @ today), set[str]()
        for place in np.random.default_rng(self.seed).permutation(len(first)).tolist():
            item_id = candidates.items[first[place]].item_id
            if item_id in self.items and loss[place] <= room:
                taken.add(item_id)
                room -= max(float(loss[place]), 0.0)
        return taken


def known_of(start: Start, results: Path) -> tuple[float, float]:
    """Mean width of the best challenger's interval, points; true lift of the titles that look best over today's."""
    candidates = read_candidates(start.run, start.titles, None, None)
    first = candidates.first_rows()
    explored = np.array([candidates.items[row].item_id in start.items for row in first])
    beliefs, today = beliefs_after(start.run, candidates, results).take(explored), candidates.today[explored]
    mean, std = beliefs.against(today)
    place = np.arange(len(today))
    rivals = np.where(beliefs.present, mean, -np.inf)
    rivals[place, today] = -np.inf
    top = rivals.argmax(axis=1)
    mean, std = mean[place, top], std[place, top]
    best = np.where(mean > 0, top, today)
    ids = [candidates.items[row].item_id for row in first[explored]]
    texts = [candidates.titles[row + k] for row, k in zip(first[explored], best, strict=True)]
    kept = start.shop.rates(ids, texts).mean() / start.shop.rates(ids, [start.shop.today[one] for one in ids]).mean()
    return float(100 * np.mean(np.exp(mean + Z95 * std) - np.exp(mean - Z95 * std))), float(kept - 1)


def lost(shop: Shop, results: Path) -> float:
    """True clicks lost to what today's titles would have had, as a share."""
    table = pq.read_table(results)
    ids, shown = table["item_id"].to_pylist(), table["impressions"].to_numpy()
    earned = shown @ shop.rates(ids, table["title"].to_pylist())
    return float(1 - earned / (shown @ shop.rates(ids, [shop.today[one] for one in ids])))


def learned(start: Start, results: Path, plans: tuple[str, ...], way: str) -> tuple[float, float]:
    """Width of offline-eval's interval for the last written title of each test item, points; pairs ordered right."""
    home = start.shop.folder
    fields = start.shop.logs.drop_columns(["title", "impressions", "clicks"])
    logs = pq.read_table(results).join(fields, "item_id").sort_by([("item_id", "ascending")])
    pq.write_table(logs, home / f"{way}-logs.parquet")
    run = Run.open(home / way, create=True)
    config = RewardConfig(seed=start.seed, plan=plans, members=4, learning_curve=False)
    fit_reward(run, home / f"{way}-logs.parquet", config)
    opened = OpenedRun(run)
    rows = pq.read_table(start.titles, columns=["item_id", "title"]).to_pylist()
    policy = {row["item_id"]: row["title"] for row in rows if row["title"]}
    test = [item_id for item_id in sorted(opened.splits.test) if item_id in policy]
    asked = pa.table({"item_id": test, "title": [policy[item_id] for item_id in test]})
    lift = evaluate(run, EvalConfig(seed=start.seed), titles=asked, trained_on="nothing").report.lifts["logged"]
    return 100 * (lift.high - lift.low), pairs_right(start.shop, opened)


def one_shop(seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Print a line a way; way -> width of offline-eval's interval."""
    name, widths = f"{'zh' if seed % 2 else 'en'}-{seed}", {}
    with tempfile.TemporaryDirectory() as folder:
        start = Start.of(Path(folder), name, seed, arguments)
        for way in WAYS:
            results, plans = shown_by(way, start)
            table = pq.read_table(results, columns=["item_id", "impressions"])
            explored, shown = len(set(table["item_id"].to_pylist())), int(np.sum(table["impressions"].to_numpy()))
            single, kept = known_of(start, results)
            widths[way], pairs = learned(start, results, plans, way)
            print(
                f"{name} {way:24} {explored:5} items {shown:9,} impressions  width {single:5.1f}, "
                f"offline-eval {widths[way]:5.1f}  pairs {pairs:.1%}  kept {kept:+.1%}  "
                f"cost {lost(start.shop, results):+.1%}",
                flush=True,
            )
    return widths


def main() -> None:
    """Run the shops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="shops (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--items", type=int, default=800, help="items of a shop (default: %(default)s)")
    parser.add_argument("--n", type=int, default=4, help="titles written an item (default: %(default)s)")
    parser.add_argument("--span", type=float, default=1.0, help="in lengths of the first logs (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--loss", type=float, default=0.01, help="of all clicks, at most (default: %(default)s)")
    parser.add_argument("--sft-steps", type=int, default=200)
    arguments = parser.parse_args()
    found = [one_shop(seed, arguments) for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds)]
    for way in WAYS[1:]:
        narrower = [1 - widths["plan"] / widths[way] for widths in found]
        print(
            f"offline-eval's interval narrower by plan than {way}: " + ", ".join(f"{share:.0%}" for share in narrower)
        )


if __name__ == "__main__":
    main()
