"""Titles a second that the reward model scores, and their share of a PPO step.

    python tests/benchmarks/scoring.py --encoder minilm --ppo 30

The model is fitted on a simulated shop and asked for new titles of its writers. With an encoder they are scored cold
(no title known) and warm (the encodings of all at hand). --ppo N trains so many updates in a small run of the shop and
tells the seconds of scoring finished titles (the reward) and unfinished ones (the critic's view of a title so far).
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from envs.market import Market
from reward.arms import Arms
from reward.encoders.encoder import open_encoder
from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt.config import PpoConfig, RewardConfig, SftConfig, SimulateConfig
from rlopt.run import Run
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.stage import train_sft
from rlopt.stages.simulate import simulate
from rlopt.training.rewards import TitleRewards

BATCHES = (64, 1_000, 100_000)
MOST_ENCODED = 1_000  # an encoder takes half an hour for 100,000 titles
WARM_UP = 10


def shop_arms(market: Market, n_items: int, seed: int = 0) -> Arms:
    """Arms of the shop's first items, about 3,000 impressions an item."""
    rng = np.random.default_rng(seed)
    items = market.items[:n_items]
    rows = [(i, title, share) for i, item in enumerate(items) for title, share in market.logging_policy(item)]
    index, titles = np.array([i for i, _, _ in rows]), np.array([title for _, title, _ in rows], dtype=object)
    share = np.array([share for _, _, share in rows])
    shown = rng.poisson(3000 * share) + 1.0
    clicks = rng.binomial(shown.astype(int), market.click_probability([items[i] for i in index], list(titles)))
    return Arms(items, index, titles, shown, clicks.astype(float), shown.copy(), share, True)


def new_titles(market: Market, first: int, n: int) -> tuple[list[Item], list[str]]:
    """``n`` titles of items the model has not seen, ten an item."""
    items = market.items[first:]
    owners = [items[i % len(items)] for i in range(-(-n // 10))]
    titles = [title for k, item in enumerate(owners) for title in market.human_titles(item, 10, seed=k)]
    return [owners[k // 10] for k in range(n)], titles[:n]


def titles_per_second(model: RewardModel, items: list[Item], titles: list[str]) -> str:
    """Titles a second by the clock and by processor time, which other work moves less: medians of a few repetitions."""
    clock, processor = [], []
    for _ in range(max(3, min(20, 20_000 // len(titles)))):
        started, busy = time.perf_counter(), time.process_time()
        model.predict(items, titles)
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - busy)
    return f"{len(titles) / statistics.median(clock):>12,.0f} {len(titles) / statistics.median(processor):>16,.0f}"


def show_speed(market: Market, arms: Arms, spec: str | None, threads: int) -> None:
    """One table for one encoder or none."""
    encoder = open_encoder(spec) if spec else None
    model = RewardModel.fit(arms, seed=0, n_members=5, threads=threads, encoder=encoder)
    for size in BATCHES:
        items, titles = new_titles(market, len(arms.items), size)
        if encoder is None:
            model.predict(items[:64], titles[:64])
            print(f"{'none':24} {size:>8,} {titles_per_second(model, items, titles)}", flush=True)
        elif size <= MOST_ENCODED:
            started, busy = time.perf_counter(), time.process_time()
            model.predict(items, [f"{title} {size}" for title in titles])
            cold = f"{size / (time.perf_counter() - started):>12,.0f} {size / (time.process_time() - busy):>16,.0f}"
            print(f"{spec + ', cold':24} {size:>8,} {cold}", flush=True)
            model.predict(items, titles)
            print(f"{spec + ', warm':24} {size:>8,} {titles_per_second(model, items, titles)}", flush=True)


def show_share_of_ppo(updates: int, folder: Path) -> None:
    """Seconds of an update, and those of them that go into scoring."""
    run = Run.open(folder / "run", create=True)
    simulate(folder / "logs.parquet", SimulateConfig(items=600, impressions=400_000))
    fit_reward(run, folder / "logs.parquet", RewardConfig())
    train_sft(run, SftConfig(steps=150))
    spent: dict[str, list[float]] = defaultdict(list)
    TitleRewards._lift = timed(TitleRewards._lift, spent["finished"])
    TitleRewards.so_far = timed(TitleRewards.so_far, spent["unfinished"])
    train_ppo(run, PpoConfig(steps=updates))
    steps = [row["step_time"] for row in run.metrics("ppo").rows() if "step_time" in row][WARM_UP:]
    step = statistics.median(steps)
    print(f"\na PPO update of 64 titles: {step:.2f} s")
    for name, seconds in spent.items():
        each = statistics.median(seconds[WARM_UP:])
        print(f"  scoring {name} titles: {1000 * each:.0f} ms, {100 * each / step:.1f}% of it")


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The function, its seconds noted call by call."""

    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - started)

    return call


def main() -> None:
    """Print titles a second by batch, then the share of a PPO update."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", action="append", default=[], help="as in rlopt fit-reward; may be repeated")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of LightGBM")
    parser.add_argument("--ppo", type=int, metavar="UPDATES", default=0, help="updates of PPO to time")
    arguments = parser.parse_args()
    market = Market(1600)
    arms = shop_arms(market, 600)
    print(f"{len(arms.items)} items, {len(arms):,} arms, 5 members, {arguments.threads} threads")
    print(f"{'encoder':24} {'batch':>8} {'titles/s':>12} {'per cpu second':>16}")
    for spec in [None, *arguments.encoder]:
        show_speed(market, arms, spec, arguments.threads)
    if arguments.ppo > WARM_UP:
        with tempfile.TemporaryDirectory() as folder:
            show_share_of_ppo(arguments.ppo, Path(folder))
    elif arguments.ppo:
        print(f"--ppo must be more than the {WARM_UP} updates of warm-up.", file=sys.stderr)


if __name__ == "__main__":
    main()
