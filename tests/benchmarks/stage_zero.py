"""From no evidence to a launch: a shop with one title per item explores, beside the same shop with random logs.

    python tests/benchmarks/stage_zero.py --seeds 1                  # two small shops' trainings: half an hour
    python tests/benchmarks/stage_zero.py --steps 30 --items 300     # minutes, a rougher policy

A simulated shop (Chinese where the seed is odd) has shown one title per item. It goes the way of docs/one-title.md:
``sft CATALOGUE``, ``generate``, ``fit-reward --observational``, then ``explore`` in --batches plans, within --budget
impressions and --loss of the clicks, each carried out by shoppers whose clicks are drawn at the true rates, while the
other items keep their titles; then ``fit-reward --plan`` on the logs of that time, ``sft``, ``ppo``, ``offline-eval``.
The same shop with logs that show several titles of every item at random, as many impressions as its first ones, goes
from ``fit-reward`` on. Lifts are true clicks of the final policy's titles over the items' first titles, on test items;
the lost clicks are true, too, as a share of all clicks in that time.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from observational import shop_logs

from envs.market import Market
from envs.simulate import simulate
from rlopt.config import EvalConfig, ExploreConfig, GenerateConfig, PpoConfig, RewardConfig, SftConfig
from rlopt.run import Run
from rlopt.stages.common.policies import load_policy
from rlopt.stages.explore import explore
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.generate.stage import generate
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft

DAYS = 28.0  # of the logs with one title per item
MEASURED = 300  # test items


@dataclass
class Shop:
    """A market, the titles it shows today, and the logs of these."""

    market: Market
    folder: Path

    def __post_init__(self) -> None:
        self.logs = pq.read_table(self.folder / "logs.parquet")
        columns = (self.logs[name].to_pylist() for name in ("item_id", "title", "impressions"))
        rows = list(zip(*columns, strict=True))
        self.today = {item_id: title for item_id, title, _ in rows}
        self.traffic = {item_id: shown for item_id, _, shown in rows}
        self._items = {item.item_id: item for item in self.market.items}

    def rates(self, item_ids: list[str], titles: list[str]) -> np.ndarray:
        """True clicks per impression, shape (n,)."""
        return self.market.click_probability([self._items[item_id] for item_id in item_ids], titles)

    def lift(self, run: Run, policy: str = "ppo") -> float:
        """True lift of one of the run's policies over today's titles, on test items."""
        test = set(run.splits().test)
        items = [item for item in run.arms().items if item.item_id in test][:MEASURED]
        ids = [item.item_id for item in items]
        written = load_policy(run / policy).generate(items, 2, seed=1)
        new = np.mean([self.rates(ids, [two[k].text for two in written]) for k in range(2)])
        return float(new / self.rates(ids, [self.today[item_id] for item_id in ids]).mean() - 1)


@dataclass(frozen=True)
class Explored:
    """Result of exploring: its logs, their plans, and their cost."""

    logs: Path
    plans: tuple[str, ...]
    items: int
    impressions: int
    lost: float


def carry_out(shop: Shop, run: Run, titles: Path, arguments: argparse.Namespace, seed: int) -> Explored:
    """Plan, show, plan again."""
    rng = np.random.default_rng(seed)
    config = ExploreConfig(
        budget=arguments.budget,
        loss=arguments.loss,
        span=arguments.span,
        batches=arguments.batches,
        floor=arguments.floor,
        seed=seed,
    )
    results, plans, lost = shop.folder / "results.parquet", list[str](), 0.0
    for batch in range(arguments.batches):
        plan = shop.folder / f"plan-{batch}.parquet"
        explore(run, titles, plan, config, results=results if plans else None)
        table = pq.read_table(plan, columns=["item_id", "title", "probability", "state"])
        table = table.filter(pa.compute.equal(table["state"], "explore"))
        if not len(table):
            break
        ids, names = table["item_id"].to_pylist(), table["title"].to_pylist()
        each = np.array([shop.traffic[item_id] for item_id in ids]) * config.span / arguments.batches
        shown = rng.poisson(each * table["probability"].to_numpy())
        rate = shop.rates(ids, names)
        lost += float(np.sum(shown * (shop.rates(ids, [shop.today[item_id] for item_id in ids]) - rate)))
        columns = {"impressions": shown, "clicks": rng.binomial(shown, rate), "batch": np.full(len(ids), str(batch))}
        new = table.select(["item_id", "title"])
        for name, values in columns.items():
            new = new.append_column(name, pa.array(values))
        pq.write_table(pa.concat_tables([pq.read_table(results), new]) if plans else new, results)
        plans.append(f"{batch}={plan}")
    planned = pq.read_table(results)
    explored = set(planned["item_id"].to_pylist())
    ids, today = list(shop.today), list(shop.today.values())
    shown = rng.poisson(np.array([shop.traffic[item_id] for item_id in ids]) * config.span)
    rate = shop.rates(ids, today)
    others = [row for row, item_id in enumerate(ids) if item_id not in explored and shown[row]]
    rest = pa.table(
        {
            "item_id": [ids[row] for row in others],
            "title": [today[row] for row in others],
            "impressions": shown[others],
            "clicks": rng.binomial(shown[others], rate[others]),
            "batch": ["0"] * len(others),
        }
    )
    logs, fields = shop.folder / "shown.parquet", shop.logs.drop_columns(["title", "impressions", "clicks"])
    whole = pa.concat_tables([planned, rest]).join(fields, "item_id")
    pq.write_table(whole.sort_by([("item_id", "ascending")]), logs)
    impressions = int(np.sum(planned["impressions"].to_numpy()))
    return Explored(logs, tuple(plans), len(explored), impressions, lost / float(np.sum(shown * rate)))


def learned(run: Run, logs: Path, plans: tuple[str, ...], arguments: argparse.Namespace, seed: int) -> str:
    """Go from logs with evidence to a verdict."""
    fit_reward(run, logs, RewardConfig(seed=seed, plan=plans, learning_curve=False))
    train_sft(run, SftConfig(seed=seed, steps=arguments.sft_steps))
    train_ppo(run, PpoConfig(seed=seed, steps=arguments.steps))
    report = evaluate(run, EvalConfig(seed=seed, best_of=0)).report
    lift = report.lifts["logged"]
    against = ", ".join(reason.topic for reason in report.verdict.reasons if reason.status in ("hold", "doubt"))
    told = f"{report.verdict.decision}, {lift.value:+.1%} [{lift.low:+.1%}, {lift.high:+.1%}] over what it showed"
    return f"{told}{', against: ' * bool(against)}{against}"


def one_shop(seed: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Print both ways; true lifts after exploring, and with random logs."""
    name = f"{'zh' if seed % 2 else 'en'}-{seed}"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shop = Shop(shop_logs(home, name[:2], seed, arguments.items, unseen=False), home)
        zero = Run.open(home / "zero", create=True)
        train_sft(zero, SftConfig(seed=seed, steps=arguments.sft_steps), catalogue=home / "logs.parquet")
        generate(zero, home / "logs.parquet", home / "titles.parquet", GenerateConfig(n=arguments.n, seed=seed))
        fit_reward(zero, home / "logs.parquet", RewardConfig(seed=seed, observational=True, members=4))
        found = carry_out(shop, zero, home / "titles.parquet", arguments, seed)
        ids, titles = (pq.read_table(home / "titles.parquet")[name].to_pylist() for name in ("item_id", "title"))
        written = [row for row, title in enumerate(titles) if title]
        ids, titles = [ids[row] for row in written], [titles[row] for row in written]
        lift = shop.rates(ids, titles).mean() / shop.rates(ids, [shop.today[item_id] for item_id in ids]).mean() - 1
        print(f"{name}: {len(titles)} titles written, true lift {lift:+.1%}", flush=True)
        print(
            f"{name}: {found.items} items explored in {found.impressions:,} impressions, {len(found.plans)} plans, "
            f"{DAYS * arguments.span:.0f} days; clicks lost {found.lost:+.2%}",
            flush=True,
        )
        run = Run.open(home / "shown", create=True)
        told = learned(run, found.logs, found.plans, arguments, seed)
        explored = shop.lift(run)
        print(
            f"{name}: true lift {explored:+.1%} ({shop.lift(run, 'sft'):+.1%} by SFT) after exploring: {told}",
            flush=True,
        )
        random_logs = home / "random.parquet"
        simulate(shop.market, sum(shop.traffic.values()), random_logs, "arms", seed=seed)
        pq.write_table(pq.read_table(random_logs).drop_columns(["conversions"]), random_logs)  # as the first logs
        full = Run.open(home / "full", create=True)
        told = learned(full, random_logs, (), arguments, seed)
        random = shop.lift(full)
        print(
            f"{name}: true lift {random:+.1%} ({shop.lift(full, 'sft'):+.1%} by SFT) with random logs: {told}",
            flush=True,
        )
    return explored, random


def main() -> None:
    """Run the shops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="shops (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--items", type=int, default=450, help="items of a shop (default: %(default)s)")
    parser.add_argument("--n", type=int, default=4, help="titles written an item (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=1e6, help="impressions (default: %(default)s)")
    parser.add_argument("--loss", type=float, default=0.01, help="of all clicks, at most (default: %(default)s)")
    parser.add_argument("--span", type=float, default=0.25, help="in lengths of the first logs (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=2, help="plans (default: %(default)s)")
    parser.add_argument("--floor", type=float, default=0.02, help="least probability (default: %(default)s)")
    parser.add_argument("--sft-steps", type=int, default=200)
    parser.add_argument("--steps", type=int, default=150, help="PPO's updates (default: %(default)s)")
    arguments = parser.parse_args()
    found = [one_shop(seed, arguments) for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds)]
    shares = [explored / random for explored, random in found]
    print(
        f"true lift above 0 in {sum(explored > 0 for explored, _ in found)} of {len(found)}; share of what random logs "
        f"reach: median {np.median(shares):.0%}, least {min(shares):.0%}"
    )


if __name__ == "__main__":
    main()
