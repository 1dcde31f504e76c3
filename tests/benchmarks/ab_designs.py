"""Designs of A/B tests on simulated shops: half-width, coverage, power; false decisions; planned power.

    python tests/benchmarks/ab_designs.py --seeds 100

Prints three tables. Half-widths are of the fixed-horizon interval, in points of the lift.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from _ab_worlds import Shop, heavy_users, items, ramp_up, serial, visitors

from rlopt.config import AbPlanConfig
from rlopt.ope.abtest import Counts, Looks, TestOutcome, analyze
from rlopt.ope.comparison import compare
from rlopt.ope.heavy_tails import winsorised
from rlopt.ope.simultaneous import correlation, max_critical
from rlopt.stages.ab.sizing import Noise, deciding, design_of_plan, used_share

LIFT = 0.05
ITEMS, IMPRESSIONS = 2000, 1.6e6
LOGGED = 3e5  # impressions before the test that an item split is adjusted by, where the power is planned
DAILY = 7000.0
Simulate = Callable[[np.random.Generator, float], Counts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="Repetitions of each row.")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    designs(options.seeds, options.first_seed)
    false_decisions(options.seeds, options.first_seed)
    planned_power(options.seeds, options.first_seed)
    print(f"\n{options.seeds} repetitions a row, {time.monotonic() - began:.0f} s")


def final(counts: Counts, **options: object) -> TestOutcome:
    return analyze(counts, planned_lift=LIFT, final=True, **options)  # type: ignore[arg-type]


def designs(seeds: int, first: int) -> None:
    """Half-width, coverage and power at +5 %, 2,000 items and 1.6 million impressions."""

    def shop(rng: np.random.Generator) -> Shop:
        return Shop.draw(rng, ITEMS, IMPRESSIONS)

    def unadjusted(rng: np.random.Generator, lift: float) -> Counts:
        return replace(items(rng, shop(rng), lift, 1.0), expected=None)

    rows: dict[str, Simulate] = {
        "visitors": lambda rng, lift: visitors(rng, shop(rng), lift),
        "items, strata alone": unadjusted,
        "items, pre-period as long": lambda rng, lift: items(rng, shop(rng), lift, 1.0),
        "items, a quarter of it": lambda rng, lift: items(rng, shop(rng), lift, 0.25),
        "items, nothing known (pre-period 1 in 1,000)": lambda rng, lift: items(rng, shop(rng), lift, 0.001),
        "serial, 14 days of one": lambda rng, lift: serial(rng, shop(rng), lift),
    }
    print("| design | half-width | coverage | power at +5 % | of the unadjusted width |")
    print("|---|---|---|---|---|")
    for name, simulate in rows.items():
        rng = np.random.default_rng(first)
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


def false_decisions(seeds: int, first: int) -> None:
    """What looked like wins: ramp-ups, splits by item, heavy users, several variants, peeking; and broken splits."""
    ramp, rising = np.array([0.1] * 3 + [0.5] * 7), np.linspace(1.0, 1.5, 10)
    rng = np.random.default_rng(first + 1)

    def share(values: list[bool]) -> str:
        return f"{np.mean(values):.1%}"

    rows = {
        "ramp-up while clicks rise by half, one look: false": share(
            [decided(final(ramp_up(rng, ramp, rising))) for _ in range(seeds)]
        ),
        "the same, always valid, looked at daily: false": share(
            [peeked(ramp_up(rng, ramp, rising)) for _ in range(seeds)]
        ),
        "items 80/20 and 20/80, a tie: false": share([decided(final(mixed(rng))) for _ in range(seeds)]),
        "99/1 then 50/50, +20 %: found better": share(
            [final(late(rng), treated_share=0.255).decision == "better" for _ in range(seeds)]
        ),
        "the same: +20 % within the interval": share(
            [bool((t := final(late(rng), treated_share=0.255)).low <= 0.2 <= t.high) for _ in range(seeds)]
        ),
        "an item with 30 % of the traffic loses 10 %: alarm": share(
            [final(broken(rng)).decision == "invalid" for _ in range(seeds)]
        ),
        "heavy users, a tie: false": share([decided(final(heavy_users(rng)[1])) for _ in range(seeds)]),
        "heavy users, a tie: split alarm": share(
            [final(heavy_users(rng)[1]).decision == "invalid" for _ in range(seeds)]
        ),
        "four variants of heavy users: any false": share([familywise(rng, 5) for _ in range(seeds)]),
        "revenue, log-normal sd 2, a tie: covered": share([revenue(rng) for _ in range(seeds)]),
    }
    print("\n| row | share |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |", flush=True)


def decided(found: TestOutcome) -> bool:
    return found.decision in ("better", "worse")


def peeked(whole: Counts) -> bool:
    """Whether any day's look at the always-valid interval decides."""
    return any(decided(analyze(whole.take(whole.days <= day), planned_lift=LIFT)) for day in range(1, 10))


def mixed(rng: np.random.Generator) -> Counts:
    n = 60
    high = np.arange(n) % 2 == 0
    new = rng.binomial(4000, np.where(high, 0.8, 0.2))
    shown = np.concatenate([4000 - new, new])
    clicks = rng.binomial(shown, np.tile(np.where(high, 0.08, 0.01), 2))
    return Counts(np.repeat([False, True], n), np.tile(np.arange(n), 2), shown.astype(float), clicks.astype(float))


def late(rng: np.random.Generator) -> Counts:
    return ramp_up(rng, np.array([0.01, 0.5]), np.array([2.0, 0.7]), lift=0.2, per=4000)


def broken(rng: np.random.Generator) -> Counts:
    n, total = 40, 200_000
    size = np.full(n, 0.7 * total / (n - 1))
    size[0] = 0.3 * total
    new = rng.binomial(size.astype(int), 0.5)
    old = size.astype(int) - new
    new[0] = rng.binomial(new[0], 0.9)
    shown = np.concatenate([old, new])
    clicks = rng.binomial(shown, 0.05)
    return Counts(np.repeat([False, True], n), np.tile(np.arange(n), 2), shown.astype(float), clicks.astype(float))


def familywise(rng: np.random.Generator, arms: int) -> bool:
    arm, whole = heavy_users(rng, users=2500, arms=arms)
    compared = [compare(whole.take((arm == 0) | (arm == k))) for k in range(1, arms)]
    freedom = min(min(c.effective, c.clusters - 1) for c in compared)
    critical = max_critical(correlation(compared), 0.95, freedom)
    return any(abs(c.ratio.value) > critical * c.std_error for c in compared)


def revenue(rng: np.random.Generator) -> bool:
    _, counts = heavy_users(rng, order_spread=2.0)
    assert counts.visitor is not None
    values, _ = winsorised(counts.events, counts.visitor, 0.999)
    found = final(replace(counts, events=values), counted=False)
    return bool(found.low <= 0 <= found.high)


def planned_power(seeds: int, first: int) -> None:
    """How often tests as large as planned find the lift, by design and by the interval that decides."""
    print("\n| design | looks | impressions | power, planned 80 % |\n|---|---|---|---|")
    lift, n = 0.08, 600
    rng = np.random.default_rng(first + 2)
    shop = Shop.draw(rng, n, 1.0)
    share = Shop.draw(rng, n, 1e7).shown
    weight = share / share.sum()
    base = float(weight @ shop.rate)
    effective = float(1 / (weight @ weight))
    spread = float(np.sqrt((weight**2 @ (shop.rate - base) ** 2) / (weight @ weight))) / base
    between = (spread * base) ** 2
    left_over = between / (1 + between * LOGGED * weight / base)
    left = float(np.sqrt(weight**2 @ left_over / (weight @ weight))) / base
    for design in ("visitors", "items", "serial", "three variants"):
        several = design == "three variants"
        config = AbPlanConfig(
            design="visitors" if several else design,  # type: ignore[arg-type]
            period=1, carry_over=0, period_spread=0.1, split=0.75 if several else 0.5,
            arm=("control", "a", "b", "c") if several else ("control", "new"),
        )  # fmt: skip
        for looks in ("one", "planned", "any"):
            noise = Noise(base, 1.0, 0.0, effective, spread, left)
            sized = design_of_plan(config, noise, n, DAILY)
            total = deciding(sized, config, looks, lift).impressions(lift, 0.8) / used_share(config)
            hits = [
                powered(rng, Shop(shop.rate, np.maximum(np.round(total * weight), 1)), design, config, looks, lift)
                for _ in range(seeds)
            ]
            print(f"| {design} | {looks} | {total:,.0f} | {np.mean(hits):.1%} |", flush=True)


def powered(rng: np.random.Generator, shop: Shop, design: str, config: AbPlanConfig, looks: str, lift: float) -> bool:
    """Whether one test of this size, looked at as planned, finds the lift; several variants: the first one."""
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
