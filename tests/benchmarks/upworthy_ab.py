"""Real randomised tests as A/A and A/B: the Upworthy archive's, in which arms differ by the headline only.

    python tests/benchmarks/upworthy_ab.py --seeds 800

An item is a test with one image; weeks with faulty randomisation are left out. A/A tests are of 100 items each, drawn
anew in every repetition: an arm dealt into two halves at random; two arms that readers could not tell apart (same test,
image and headline); two headlines whose labels "control" and "treatment" are drawn, so that neither is better on
average. A/B: each item's headlines, impressions as visitors, against the chi-squared test of the same counts: the
archive as it is stored here has no column of significance of its own.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _data import DATA
from scipy import stats

from rlopt.ope.abtest import Counts, TestOutcome, analyze
from rlopt.ope.comparison import compare
from rlopt.ope.rounds import RoundsError
from rlopt.ope.simultaneous import correlation, max_critical

ARCHIVE = DATA / "upworthy" / "packages.parquet"
ITEMS = 100  # of an A/A test
FEWEST_CLICKS = 10
Arm = tuple[int, int]  # impressions, clicks
Pairs = Sequence[tuple[Arm, Arm]]


def read_archive() -> tuple[list[list[Arm]], list[tuple[Arm, Arm]]]:
    """Headlines of each item, and pairs of arms that readers could not tell apart."""
    table = pq.read_table(ARCHIVE)
    table = table.filter(pc.invert(table["randomization_problem"]))
    found: dict[tuple[str, str], dict[str, list[Arm]]] = defaultdict(lambda: defaultdict(list))
    for row in table.to_pylist():
        item = (row["clickability_test_id"], row["eyecatcher_id"])
        found[item][row["headline"]].append((row["impressions"], row["clicks"]))
    headlines = [[same[0] for same in item.values()] for item in found.values()]
    alike = [(same[0], same[1]) for item in found.values() for same in item.values() if len(same) > 1]
    return headlines, alike


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=800, help="A/A tests of each kind.")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    headlines, alike = read_archive()
    several = [item for item in headlines if len(item) > 1]
    print(f"{len(headlines):,} items, {len(several):,} of several headlines; {len(alike):,} pairs of identical arms\n")
    ties(several, alike, options.seeds, options.first_seed)
    against_chi_squared(several)
    print(f"\n{options.seeds} A/A tests a row, {time.monotonic() - began:.0f} s")


def ties(several: list[list[Arm]], alike: Pairs, seeds: int, first: int) -> None:
    """False decisions of A/A tests, beside those of a z-test of all counts added up."""

    def halves(rng: np.random.Generator, number: int) -> tuple[Arm, Arm]:
        shown, clicks = several[number][rng.integers(len(several[number]))]
        new = int(rng.binomial(shown, 0.5))
        clicked = int(rng.hypergeometric(clicks, shown - clicks, new))
        return (shown - new, clicks - clicked), (new, clicked)

    def drawn(rng: np.random.Generator, arms: Sequence[Arm]) -> tuple[Arm, Arm]:
        one, other = rng.permutation(len(arms))[:2]
        return arms[one], arms[other]

    kinds: dict[str, tuple[int, Callable[[np.random.Generator, int], tuple[Arm, Arm]]]] = {
        "halves of an arm": (len(several), halves),
        "identical arms": (len(alike), lambda rng, i: drawn(rng, alike[i])),
        "headlines, labels drawn": (len(several), lambda rng, i: drawn(rng, several[i])),
    }
    print("| A/A of 100 items | one look: false | always valid: false | split alarms | z-test of sums: false |")
    print("|---|---|---|---|---|")
    for number, (name, (size, pair)) in enumerate(kinds.items()):
        rng = np.random.default_rng([first, number])
        found, naive = [], []
        for _ in range(seeds):
            pairs = [pair(rng, int(i)) for i in rng.choice(size, ITEMS, replace=False)]
            found.append(outcome_of(pairs))
            old, new = (np.array([sides[k] for sides in pairs]).sum(axis=0) for k in (0, 1))
            naive.append(chi_squared([tuple(old), tuple(new)]))
        one = np.mean([t.low > 0 or t.high < 0 for t in found])
        always = np.mean([t.always_low > 0 or t.always_high < 0 for t in found])
        off = np.mean([t.decision == "invalid" for t in found])
        print(f"| {name} | {one:.1%} | {always:.1%} | {off:.1%} | {np.mean(np.array(naive) < 0.05):.1%} |", flush=True)
    single = [chi_squared(pair) for pair in alike if min(k for _, k in pair) >= FEWEST_CLICKS]
    differ = np.mean(np.array(single) < 0.05)
    print(f"\nOf the pairs of identical arms, {differ:.1%} differ by a chi-squared test at 5%.")


def outcome_of(pairs: Pairs) -> TestOutcome:
    """Control and treatment of each item."""
    shown, clicks = np.array(pairs, dtype=float).transpose(2, 1, 0)
    n = len(pairs)
    counts = Counts(np.repeat([False, True], n), np.tile(np.arange(n), 2), shown.ravel(), clicks.ravel())
    return analyze(counts, planned_lift=0.05, final=True, design="visitors")


def against_chi_squared(several: list[list[Arm]]) -> None:
    """Each item's own test: the first two headlines, and all of them against the first."""
    print("\n| A/B | tests | chi-squared p < 0.05 | rlopt decides | both say the same |\n|---|---|---|---|---|")
    two, all_of_them = [], []
    for item in several:
        if min(clicks for _, clicks in item) < FEWEST_CLICKS:
            continue
        two.append((chi_squared(item[:2]) < 0.05, differs(item[:2])))
        if len(item) > 2:
            all_of_them.append((chi_squared(item) < 0.05, differs(item)))
    for name, rows in (("first two headlines", two), ("three and more, all against the first", all_of_them)):
        theirs, ours = np.array(rows).T
        agree = np.mean(theirs == ours)
        print(f"| {name} | {len(rows):,} | {theirs.mean():.1%} | {ours.mean():.1%} | {agree:.1%} |", flush=True)


def differs(item: Sequence[Arm]) -> bool:
    """True if some headline's interval, all together, excludes zero lift over the first."""
    arm = np.concatenate([np.full(shown, k) for k, (shown, _) in enumerate(item)])
    clicked = np.concatenate([np.arange(shown) < clicks for shown, clicks in item])
    one = np.ones(len(arm))
    whole = Counts(arm > 0, np.zeros(len(arm), dtype=np.int64), one, clicked.astype(float), visitor=np.arange(len(arm)))
    try:
        compared = [compare(whole.take((arm == 0) | (arm == k)), "visitors") for k in range(1, len(item))]
    except RoundsError:
        return False
    freedom = min(min(c.effective, c.clusters - 1) for c in compared)
    critical = max_critical(correlation(compared), 0.95, freedom)
    return any(abs(c.ratio.value) > critical * c.std_error for c in compared)


def chi_squared(arms: Sequence[Arm]) -> float:
    table = np.array([(clicks, shown - clicks) for shown, clicks in arms])
    return float(stats.chi2_contingency(table, correction=False).pvalue)


if __name__ == "__main__":
    main()
