"""Results of A/B tests that are easily misread, 800 of each: ties must be ties, broken splits ring, lifts be found.

    python tests/benchmarks/ab_mistakes.py --seeds 800

Prints a table: row, what should be, and the share seen.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from _ab_worlds import Shop, broken, heavy_users, mixed, ramp_up, visitors

from rlopt.ope.abtest import Counts, TestOutcome, analyze
from rlopt.ope.comparison import compare
from rlopt.ope.heavy_tails import winsorised
from rlopt.ope.simultaneous import correlation, max_critical
from rlopt.stages.ab.analysis import Analysis, EvaluationPrediction

RAMP, RISING = np.array([0.1] * 3 + [0.5] * 7), np.linspace(1.0, 1.5, 10)
SLIGHTLY = np.linspace(1.0, 1.15, 10)
SAID = EvaluationPrediction(0.15, 0.05, 0.26, "logged", "launch")
Row = Callable[[np.random.Generator], bool]


def final(counts: Counts, **options: object) -> TestOutcome:
    return analyze(counts, planned_lift=0.05, final=True, **options)  # type: ignore[arg-type]


def decided(found: TestOutcome) -> bool:
    return found.decision in ("better", "worse")


def peeked(whole: Counts) -> bool:
    """True if any day's look at the always-valid interval decides."""
    return any(decided(analyze(whole.take(whole.days <= day), planned_lift=0.05)) for day in range(10))


def late(rng: np.random.Generator) -> Counts:
    return ramp_up(rng, np.array([0.01, 0.5]), np.array([2.0, 0.7]), lift=0.2, per=4000)


def found_as_it_is(found: TestOutcome) -> bool:
    return found.decision == "better" and found.low <= 0.2 <= found.high


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


def said_to_agree(rng: np.random.Generator, impressions: float, lift: float) -> bool:
    """True if a prediction of +15% [5, 26] is reported to agree with the test."""
    outcome = final(visitors(rng, Shop.draw(rng, 300, impressions), lift))
    told = Analysis(outcome, "undecided", "new", "ppo", "clicks", 0.15, SAID, None)
    return bool(told.agrees and told.told_apart)


def alarm(counts: Counts) -> bool:
    return final(counts).decision == "invalid"


ROWS: dict[str, tuple[str, Row]] = {
    "ramp-up, clicks rise by half: false decisions": ("<= 5%", lambda r: decided(final(ramp_up(r, RAMP, RISING)))),
    "the same, always valid, looked at daily": ("<= 5%", lambda r: peeked(ramp_up(r, RAMP, RISING))),
    "ramp-up, clicks rise by 15%: false decisions": ("<= 5%", lambda r: decided(final(ramp_up(r, RAMP, SLIGHTLY)))),
    "the same, always valid, looked at daily ": ("<= 5%", lambda r: peeked(ramp_up(r, RAMP, SLIGHTLY))),
    "items split 80/20 and 20/80, a tie: false decisions": ("<= 5%", lambda r: decided(final(mixed(r)))),
    "99/1 then 50/50, +20%, --split 0.255: better, and +20% inside": (
        "all but 5%", lambda r: found_as_it_is(final(late(r), treated_share=0.255))
    ),
    "one item of 30% loses 10%, 200,000 impressions: alarm": (">= 99%", lambda r: alarm(broken(r, 200_000))),
    "the same, 60,000 impressions": (">= 99%", lambda r: alarm(broken(r, 60_000))),
    "the same, 40,000 impressions": ("-", lambda r: alarm(broken(r, 40_000))),
    "the same by visitor, 60,000 visits": (">= 99%", lambda r: alarm(broken(r, 60_000, by_visitor=True))),
    "bots on 3 of 150 items of the treatment: alarm": (">= 99%", lambda r: alarm(bots(r))),
    "heavy users, a tie: false decisions": ("<= 5.5%", lambda r: decided(final(heavy_users(r)[1]))),
    "heavy users, a tie: split alarms": ("<= 0.5%", lambda r: alarm(heavy_users(r)[1])),
    "four variants of heavy users, a tie: any false": ("<= 5%", lambda r: familywise(r, 5)),
    "revenue, log-normal sd 2, a tie: covered": (">= 93%", revenue),
    "+15% [5, 26] predicted, truth 0, 20,000 impressions: agrees": ("<= 5%", lambda r: said_to_agree(r, 2e4, 0.0)),
    "the same, 100,000 impressions": ("<= 5%", lambda r: said_to_agree(r, 1e5, 0.0)),
    "the same, 1,000,000 impressions": ("<= 5%", lambda r: said_to_agree(r, 1e6, 0.0)),
    "the same, 1,000,000 impressions, truth +15%": ("high", lambda r: said_to_agree(r, 1e6, 0.15)),
}  # fmt: skip


def bots(rng: np.random.Generator) -> Counts:
    """1,600 impressions an item; bots add 2,500 to the treatment of three items, and click half of the time."""
    n = 150
    new = rng.binomial(1600, 0.5, n)
    shown = np.concatenate([1600 - new, new]).astype(float)
    clicks = rng.binomial(shown.astype(int), 0.04).astype(float)
    shown[n : n + 3] += 2500
    clicks[n : n + 3] += rng.binomial(2500, 0.5, 3)
    return Counts(np.repeat([False, True], n), np.tile(np.arange(n), 2), shown, clicks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=800, help="Repetitions of each row.")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    print("| row | should be | seen |\n|---|---|---|")
    for number, (name, (goal, row)) in enumerate(ROWS.items()):
        rng = np.random.default_rng([options.first_seed, number])
        print(f"| {name} | {goal} | {np.mean([row(rng) for _ in range(options.seeds)]):.1%} |", flush=True)
    print(f"\n{options.seeds} repetitions a row, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
