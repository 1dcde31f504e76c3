"""Designs of A/B tests on simulated shops: half-width, coverage and power; whether planned power is reached.

    python tests/benchmarks/ab_designs.py --seeds 100

Prints two tables. Half-widths are of the fixed-horizon interval, in points of the lift.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from _ab_worlds import Shop, items, logs_of, serial, visitors

from rlopt.config import AbPlanConfig
from rlopt.ope.abtest import Counts, Looks, TestOutcome, analyze
from rlopt.ope.simultaneous import max_critical
from rlopt.stages.common.ab_sizing import deciding, design_of_plan, noise_of, used_share

LIFT = 0.05
ITEMS, IMPRESSIONS = 2000, 1.6e6
LOGGED = 3e5  # impressions before the test that an item split is adjusted by, where the power is planned
DAILY = 7000.0
SHOPS = 10
Simulate = Callable[[np.random.Generator, float], Counts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="Repetitions of each row.")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    designs(options.seeds, options.first_seed)
    planned_power(options.seeds, options.first_seed)
    print(f"\n{options.seeds} repetitions a row, {time.monotonic() - began:.0f} s")


def final(counts: Counts, **options: object) -> TestOutcome:
    return analyze(counts, planned_lift=LIFT, final=True, **options)  # type: ignore[arg-type]


def designs(seeds: int, first: int) -> None:
    """Half-width, coverage and power at +5%, 2,000 items and 1.6 million impressions."""

    def shop(rng: np.random.Generator) -> Shop:
        return Shop.draw(rng, ITEMS, IMPRESSIONS)

    def unadjusted(rng: np.random.Generator, lift: float) -> Counts:
        return replace(items(rng, shop(rng), lift, 1.0), expected=None)

    rows: dict[str, Simulate] = {
        "visitors": lambda rng, lift: visitors(rng, shop(rng), lift),
        "items, strata alone": unadjusted,
        "items, pre-period as long": lambda rng, lift: items(rng, shop(rng), lift, 1.0),
        "items, a quarter of it": lambda rng, lift: items(rng, shop(rng), lift, 0.25),
        "items, a quarter of it, and predictions": lambda rng, lift: items(rng, shop(rng), lift, 0.25, foreseen=0.6),
        "items, a hundredth of it": lambda rng, lift: items(rng, shop(rng), lift, 0.01),
        "items, a hundredth of it, and predictions": lambda rng, lift: items(rng, shop(rng), lift, 0.01, foreseen=0.6),
        "serial, 14 days of one": lambda rng, lift: serial(rng, shop(rng), lift),
    }
    print("| design | half-width | coverage | power at +5% | of the unadjusted width |")
    print("|---|---|---|---|---|")
    for number, (name, simulate) in enumerate(rows.items()):
        rng = np.random.default_rng([first, number])
        found, relative = [], []
        for _ in range(seeds):
            counts = simulate(rng, LIFT)
            found.append(final(counts))
            if counts.expected is not None:
                bare = final(replace(counts, expected=None))
                relative.append((found[-1].high - found[-1].low) / (bare.high - bare.low))
        wide = np.mean([(t.high - t.low) / 2 for t in found])
        covered = np.mean([t.low <= LIFT <= t.high for t in found])
        power = np.mean([t.decision == "better" for t in found])
        told = f"{np.mean(relative):.2f}" if relative else "-"
        print(f"| {name} | {100 * wide:.1f} | {covered:.1%} | {power:.1%} | {told} |", flush=True)


def planned_power(seeds: int, first: int) -> None:
    """Measure how often tests as large as planned find the lift, by design and by the interval that decides.

    The repetitions are shared between `SHOPS` shops, each planned for from its own logs, which are long gone when the
    test begins: an item split knows others, as many.
    """
    print("\n| design | looks | impressions | power, planned 80% |\n|---|---|---|---|")
    lift, n = 0.08, 600
    for design in ("visitors", "items", "serial", "three variants"):
        several = design == "three variants"
        config = AbPlanConfig(
            design="visitors" if several else design,  # type: ignore[arg-type]
            period=1, carry_over=0, period_spread=0.1, split=0.75 if several else 0.5,
            arm=("control", "a", "b", "c") if several else ("control", "new"),
        )  # fmt: skip
        for looks in ("one", "planned", "any"):
            hits, sizes = [], []
            for number in range(SHOPS):
                rng = np.random.default_rng([first, number])
                shop = Shop.draw(rng, n, 1e7)
                noise = noise_of(logs_of(rng, shop, LOGGED), config, 1.0, 0.0)
                sized = design_of_plan(config, noise, n, DAILY)
                total = deciding(sized, config, looks, lift).impressions(lift, 0.8) / used_share(config)
                tested = Shop(shop.rate, np.maximum(np.round(total * shop.shown / shop.shown.sum()), 1))
                repetitions = seeds * (number + 1) // SHOPS - seeds * number // SHOPS
                hits += [powered(rng, tested, design, config, looks, lift) for _ in range(repetitions)]
                sizes.append(total)
            print(f"| {design} | {looks} | {np.mean(sizes):,.0f} | {np.mean(hits):.1%} |", flush=True)


def powered(rng: np.random.Generator, shop: Shop, design: str, config: AbPlanConfig, looks: str, lift: float) -> bool:
    """True if one test of this size, looked at as planned, finds the lift; several variants: the first one."""
    if design == "three variants":
        part = replace(shop, shown=np.maximum(np.round(shop.shown / 2), 1))  # control and one variant of four arms
        counts = visitors(rng, part, lift)
    elif design == "visitors":
        counts = visitors(rng, shop, lift)
    elif design == "items":
        counts = items(rng, shop, lift, LOGGED / float(shop.shown.sum()))
    else:
        counts = serial(rng, shop, lift, days=max(2, round(float(shop.shown.sum()) / DAILY)))
    variants = len(config.arm) - 1
    kinds = {"one": "fixed-horizon", "planned": "group-sequential", "any": "always-valid"}
    shares = tuple((k + 1) / config.looks for k in range(config.looks)) if looks == "planned" else ()
    critical = None
    if looks == "one" and variants > 1:
        correlated = np.full((variants, variants), 0.5) + 0.5 * np.eye(variants)
        critical = max_critical(correlated, 0.95, np.inf)
    told = Looks(kinds[looks], shares, variants, critical)  # type: ignore[arg-type]
    found = analyze(counts, planned_lift=lift, looks=told, design=config.design)
    return found.deciding[0] > 0


if __name__ == "__main__":
    main()
