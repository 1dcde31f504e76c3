"""`rlopt ppo --update` over four rounds of drifting taste, against training anew.

    python tests/benchmarks/ppo_update.py --seeds 1                                          # an hour on one core
    python tests/benchmarks/ppo_update.py --items 150 --steps 40 --update-steps 20           # minutes

A simulated shop whose shoppers turn round from round to round: what they looked for first they look for last in the
end. Each round has new items, and shows a third of the earlier ones again; its logs come with `fit-reward --update`
(half life: one round). Then the policy of the round before goes on (`ppo --update`), and, in a copy of the run, PPO
begins anew from the supervised policy. True lift is that of the policy's titles over the supervised policy's, on test
items, by the taste of the round. Forgetting is told on earlier train items that the round does not show: the true lift
there by the policy of the round before, and after the update (points lost are forgotten).
"""

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from envs.market import Market
from reward.items import Item
from rlopt.config import PpoConfig, RewardConfig, SftConfig
from rlopt.run import Run
from rlopt.stages.common.policies import load_policy
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.fit_reward.update import update_reward
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft

ROUNDS = 4
DAYS = 28.0
SHOWN = 2500  # impressions a title and round
MEASURED = 300  # items


def turned(market: Market, share: float) -> dict[str, object]:
    """The market's tastes with each category's saliences turned round by ``share`` of the way."""
    out = {}
    for name, taste in market._taste.items():
        names = sorted(taste.salience, key=taste.salience.__getitem__)
        values = [taste.salience[one] for one in names]
        other = dict(zip(names, reversed(values), strict=True))
        blend = {one: (1 - share) * taste.salience[one] + share * other[one] for one in names}
        out[name] = replace(taste, salience=blend)
    return out


class Drifting:
    """A market whose taste is that of a round."""

    def __init__(self, locale: str, seed: int, items: int) -> None:
        self.market = Market(items * ROUNDS, locale, seed)
        self._tastes = [turned(self.market, k / (ROUNDS - 1)) for k in range(ROUNDS)]
        self._rng = np.random.default_rng(seed)
        self._per_round = items

    def truth(self, items: list[Item], titles: list[str], number: int) -> np.ndarray:
        """True click rates in a round."""
        self.market._taste = self._tastes[number]  # type: ignore[assignment]
        own = {item.item_id: item for item in self.market.items}
        return self.market.click_probability([own[item.item_id] for item in items], titles)

    def write_logs(self, path: Path, number: int) -> set[str]:
        """The logs of a round; the items that they show."""
        fresh = list(range(number * self._per_round, (number + 1) * self._per_round))
        again = self._rng.permutation(number * self._per_round)[: number * self._per_round // 3]
        items = [self.market.items[i] for i in [*fresh, *again]]
        rows = [(item, title) for item in items for title, _ in self.market.logging_policy(item)]
        rate = self.truth([item for item, _ in rows], [title for _, title in rows], number)
        shown = self._rng.poisson(SHOWN, len(rows)) + 1
        fields = sorted({name for item in items for name in item.fields})
        when = 1.7e9 + 86_400 * DAYS * (number + self._rng.uniform(0.01, 0.99, len(rows)))
        table = {
            "item_id": [item.item_id for item, _ in rows],
            "title": [title for _, title in rows],
            "impressions": shown.tolist(),
            "clicks": self._rng.binomial(shown, rate).tolist(),
            "timestamp": when.tolist(),
            **{name: [", ".join(item.fields.get(name, ())) or None for item, _ in rows] for name in fields},
        }
        pq.write_table(pa.table(table), path)
        return {item.item_id for item in items}


def true_lift(shop: Drifting, run: Run, policy: Path, ids: list[str], number: int) -> float:
    """Mean true click rate of a policy's titles over that of the supervised policy's, minus 1."""
    items = [item for item in run.arms().items if item.item_id in set(ids)][:MEASURED]
    rates = []
    for folder in (policy, run / "sft"):
        titles = load_policy(folder).generate(items, 2, seed=1)
        rates.append(np.mean([shop.truth(items, [two[k].text for two in titles], number) for k in range(2)]))
    return float(rates[0] / rates[1] - 1)


def one_shop(locale: str, seed: int, arguments: argparse.Namespace) -> None:
    """Print a line a round."""
    shop = Drifting(locale, seed, arguments.items)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = Run.open(folder / "run", create=True)
        first, later = (PpoConfig(steps=s, seed=seed, monitor=False) for s in (arguments.steps, arguments.update_steps))
        reward = RewardConfig(seed=seed, members=2, half_life_days=DAYS, learning_curve=False)
        for number in range(ROUNDS):
            logs, began = folder / f"round{number}.parquet", time.monotonic()
            shown = shop.write_logs(logs, number)
            if number == 0:
                fit_reward(run, logs, reward)
                train_sft(run, SftConfig(seed=seed, steps=arguments.sft_steps))
                train_ppo(run, first)
                test = list(run.splits().test)
                print(f"{locale}-{seed:<3} 1 {true_lift(shop, run, run / 'ppo', test, 0):+9.1%}", flush=True)
                continue
            update_reward(run, logs, reward, force=True)
            shutil.copytree(run / "ppo", folder / "last", dirs_exist_ok=True)
            train_ppo(run, later, update=True)
            spent = time.monotonic() - began
            fresh = Run.open(shutil.copytree(run.path, folder / f"anew{number}"))
            began = time.monotonic()
            train_ppo(fresh, first, force=True)
            anew = time.monotonic() - began
            test = list(run.splits().test)
            earlier = [item_id for item_id in run.splits().train if item_id not in shown]
            lifts = [true_lift(shop, run, p, test, number) for p in (folder / "last", run / "ppo", fresh / "ppo")]
            before, after = (true_lift(shop, run, p, earlier, number) for p in (folder / "last", run / "ppo"))
            print(
                f"{locale}-{seed:<3} {number + 1} {lifts[1]:+9.1%} {lifts[0]:+11.1%} {lifts[2]:+9.1%} "
                f"{before:+12.1%} {after:+9.1%} {100 * (before - after):+10.1f} {spent:9.0f} {anew:8.0f}",
                flush=True,
            )
            shutil.rmtree(fresh.path)


def main() -> None:
    """Run shops in English and Chinese in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="shops (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--items", type=int, default=400, help="new items a round (default: %(default)s)")
    parser.add_argument("--sft-steps", type=int, default=200)
    parser.add_argument("--steps", type=int, default=150, help="PPO's updates from SFT (default: %(default)s)")
    parser.add_argument("--update-steps", type=int, default=50, help="updates of ppo --update (default: %(default)s)")
    arguments = parser.parse_args()
    print("shop  round  updated   not updated     anew   earlier before     after  forgotten  s update   s anew")
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        one_shop("zh" if seed % 2 else "en", seed, arguments)


if __name__ == "__main__":
    main()
