"""The reward model against the truth of simulated shops: five seeds in English and in Chinese.

    python tests/benchmarks/market_reward.py                       # ten shops, about a minute each on one core
    python tests/benchmarks/market_reward.py --shops en-0 zh-3 --items 2000 --impressions 1600000

Every shop is as large as the demo's: 5,000 items, 4 million impressions. Titles get different mixes of positions, and
conversions are so slow (exponential delays with a mean of 0.63 of the log) that half of them come after the logs' end.
The model is fitted by the same functions as ``rlopt fit-reward`` on 60% of the items; all figures but the positions'
are on the other 40%. What a shop's 3,000 seen conversions tell about the rate is uncertain by about 4.5% (standard
deviation over simulated delays), so the last line, the mean over the shops, is what says whether it is biased.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from envs.market import Market
from envs.position import POSITION_LIFT
from envs.simulate import HOUR_MS, START_MS, simulate
from reward.arms import Arms
from reward.arrays import FloatArray
from reward.evidence.metrics import pair_accuracy, tally
from reward.evidence.readable import properties, readable_effects, relative_change, some_items, surrogate
from reward.evidence.reliability import calibration_error
from reward.logs.read import LogData, read_logs
from reward.logs.splits import split_items
from reward.model.linear import ArmCounts
from reward.model.reward_model import RewardModel

DAYS = 28.0
CONFOUNDING = 1.0
# Mean delay in lengths of the log: clicks spread evenly over it have then shown half of their conversions.
MEAN_DELAY = 0.6275
Z90 = 1.6448536
SHOPS = [f"{locale}-{seed}" for locale in ("en", "zh") for seed in range(5)]


def delayed_logs(market: Market, impressions: int, path: Path) -> float:
    """Logs of ``market``, their conversions made slow; returns the share of the conversions that is still to come."""
    simulate(market, impressions, path, days=DAYS, position_confounding=CONFOUNDING)
    table = pq.read_table(path)
    rng = np.random.default_rng([market.seed, 17])
    clicked = np.flatnonzero(table.column("click").cast(pa.int8()).to_numpy())
    items = {item.item_id: item for item in market.items}
    owners = [items[i] for i in table.column("item_id").take(clicked).to_pylist()]
    p = market.conversion_probability(owners, table.column("title").take(clicked).to_pylist())
    stamp = pc.cast(pc.cast(table.column("timestamp"), pa.timestamp("ms")), pa.int64()).to_numpy()[clicked]
    age = (START_MS + DAYS * 24 * HOUR_MS - stamp) / HOUR_MS
    delay = MEAN_DELAY * DAYS * 24 * rng.standard_exponential(len(clicked))
    converts = rng.random(len(clicked)) < p
    seen = converts & (delay <= age)
    conversions = np.zeros(len(table), dtype=np.int8)
    conversions[clicked[seen]] = 1
    hours = np.full(len(table), np.nan)
    hours[clicked[seen]] = delay[seen]
    for name, values in (
        ("conversions", pa.array(conversions)),
        ("conversion_delay_hours", pa.array(hours, from_pandas=True)),
    ):
        place = table.column_names.index(name)
        table = table.set_column(place, name, values)
    pq.write_table(table, path)
    return 1.0 - float(seen.sum() / converts.sum())


def measure(locale: str, seed: int, n_items: int, impressions: int, members: int) -> dict[str, Any]:
    """Figures of one shop."""
    started = time.perf_counter()
    market = Market(n_items, locale, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logs.parquet"
        to_come = delayed_logs(market, impressions, path)
        simulated = time.perf_counter()
        logs = read_logs(path, memory_limit="1GB")
    arms = logs.arms
    splits = split_items(arms, seed=seed)
    read = time.perf_counter()
    model = RewardModel.fit(arms.of_items(splits.train), seed=seed, n_members=members, threads=1)
    fitted = time.perf_counter()
    held = arms.of_items({*splits.judge, *splits.test})
    return {
        "shop": f"{locale}-{seed}",
        **of_clicks(model, market, held),
        **of_conversions(model, market, held),
        **of_effects(model, market, held),
        "position": position_error(logs),
        "to_come": to_come,
        "seconds": {
            "simulate": simulated - started,
            "read": read - simulated,
            "fit": fitted - read,
            "predict and compare": time.perf_counter() - fitted,
        },
    }


def of_clicks(model: RewardModel, market: Market, held: Arms) -> dict[str, float]:
    """Order, level and doubt of the clicks on held-out items against the true probabilities."""
    titles = [str(title) for title in held.title]
    found = model.predict(held.arm_items, titles)
    truth = market.click_probability(held.arm_items, titles)
    rows = ArmCounts(held.clicks, np.maximum(held.exposure, held.clicks), held.item_index, len(held.items))
    effect, true_effect = (_within(held, x) for x in (found.effect, np.log(truth / (1 - truth))))
    pairs = tally(ArmCounts(truth * rows.trials, rows.trials, rows.item, rows.n_items), found.effect)
    inside = np.abs(found.reward - truth) <= Z90 * found.reward_std
    return {
        "correlation": float(np.corrcoef(effect, true_effect)[0, 1]),
        "slope": float(np.polyfit(effect, true_effect, 1)[0]),
        "true_pairs": pair_accuracy(pairs),
        "calibration": calibration_error(found.p_click, rows),
        "level": float(np.sum(rows.trials * found.p_click) / np.sum(rows.trials * truth) - 1),
        "level_unweighted": float(found.p_click.mean() / truth.mean() - 1),
        "base_rate": float(rows.successes.sum() / rows.trials.sum()),
        "coverage": float(inside.mean()),
    }


def of_conversions(model: RewardModel, market: Market, held: Arms) -> dict[str, float]:
    """Bias of P(conversion | click) on held-out items, and that of the naive rate that waits for nothing."""
    titles = [str(title) for title in held.title]
    truth = market.conversion_probability(held.arm_items, titles)
    found = model.predict(held.arm_items, titles).p_conversion
    assert found is not None
    assert held.conversions is not None
    expected = float(np.sum(held.clicks * truth))
    return {
        "conversion": float(np.sum(held.clicks * found) / expected - 1),
        "conversion_unweighted": float(found.mean() / truth.mean() - 1),
        "naive": float(held.conversions.sum() / expected - 1),
    }


def of_effects(model: RewardModel, market: Market, held: Arms) -> dict[str, float]:
    """Readable effects against the same regression on the true log-odds: share of intervals that hold the truth."""
    base = float(held.clicks.sum() / held.exposure.sum())
    found = readable_effects(model.click, held, base, threads=1, most=100)
    rows = some_items(held)
    items, titles = [held.items[i] for i in held.item_index[rows]], [str(title) for title in held.title[rows]]
    p = market.click_probability(items, titles)
    has = properties(model.features, model.block(items, titles), items, titles)
    names, coefficients, _, _ = surrogate(has, np.log(p / (1 - p))[:, None], held.item_index[rows])
    truth = dict(zip(names, (relative_change(float(c), base) for c in coefficients[:, 0]), strict=True))
    inside = [e.low <= truth[e.property] <= e.high for e in found.effects if e.low is not None and e.high is not None]
    clear = [np.sign(e.change) == np.sign(truth[e.property]) for e in found.effects if e.low > 0 or e.high < 0]  # type: ignore[operator]
    return {"effects": len(inside), "effects_covered": float(np.mean(inside)), "effects_sign": float(np.mean(clear))}


def position_error(logs: LogData) -> float:
    """Largest relative error of the estimated examination of a position."""
    bias = logs.position_bias
    assert bias is not None
    true = POSITION_LIFT[bias.position - bias.position.min()]
    true = true / np.average(true, weights=bias.impressions)
    return float(np.max(np.abs(bias.theta / true - 1)))


def _within(arms: Arms, values: FloatArray) -> FloatArray:
    mean = np.bincount(arms.item_index, values) / np.bincount(arms.item_index)
    return np.asarray(values - mean[arms.item_index])


def line(result: dict[str, Any]) -> str:
    """One row of the table, in percent where nothing else is said."""
    r = result
    return (
        f"{r['shop']:5} {r['correlation']:10.3f} {100 * r['true_pairs']:6.1f} {100 * r['calibration']:8.3f} "
        f"{100 * r['level']:+7.1f} {100 * r['coverage']:8.1f} {100 * r['position']:9.1f} "
        f"{100 * r['conversion']:+6.1f} {100 * r['conversion_unweighted']:+10.1f} {100 * r['naive']:+7.1f} "
        f"{100 * r['to_come']:7.1f} {100 * r['effects_covered']:7.1f} {100 * r['effects_sign']:5.1f} "
        f"{sum(r['seconds'].values()):8.0f}"
    )


def run(shops: Sequence[str], n_items: int, impressions: int, members: int, keep: Path | None) -> None:
    """Measure the shops, print the table as it grows."""
    print(f"{n_items:,} items, {impressions:,} impressions a shop; held-out items; all but the correlation in %")
    print(
        "shop  correlation pairs  ECE(abs) level  coverage position  CVR   CVR,equal   naive  to come effects  sign "
        " seconds"
    )
    results = []
    for shop in shops:
        locale, seed = shop.split("-")
        result = measure(locale, int(seed), n_items, impressions, members)
        results.append(result)
        print(line(result), flush=True)
        if keep is not None:
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
    bias = np.array([result["conversion"] for result in results])
    error = bias.std(ddof=1) / np.sqrt(len(bias)) if len(bias) > 1 else float("nan")
    print(f"bias of the conversion rate: {bias.mean():+.1%}, standard error {error:.1%}")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", nargs="+", default=SHOPS, help="locale-seed, such as en-0")
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--impressions", type=int, default=4_000_000)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="append one JSON line a shop to this file")
    arguments = parser.parse_args()
    run(arguments.shops, arguments.items, arguments.impressions, arguments.members, arguments.keep)


if __name__ == "__main__":
    sys.exit(main())
