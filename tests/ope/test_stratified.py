"""A/B results whose splits change in time and by item: ties stay ties, lifts are found, broken splits ring."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reward.arrays import FloatArray
from rlopt.ope.abtest import Counts, TestOutcome, analyze
from rlopt.ope.rounds import RoundsError
from rlopt.ope.sample_ratio import check_split, check_units
from rlopt.ope.stratified import adjusted, mantel_haenszel

ITEMS = 60


def results(
    rng: np.random.Generator, share: FloatArray, level: FloatArray, *, lift: float = 0.0, per_cell: int = 400
) -> Counts:
    """Days by items: the treatment's share, and how much is clicked, of each day; shape (days,)."""
    appeal = rng.gamma(3.0, 0.03, ITEMS)
    n = rng.poisson(per_cell, (len(share), ITEMS))
    new = rng.binomial(n, share[:, None])
    shown = np.stack([n - new, new])
    rate = np.minimum(appeal * level[:, None] * np.array([1.0, 1.0 + lift])[:, None, None], 0.9)
    clicks = rng.binomial(shown, rate)
    day, item = np.indices(n.shape)
    return Counts(
        np.repeat([False, True], n.size),
        np.tile(item.ravel(), 2).astype(np.int64),
        shown.ravel().astype(float),
        clicks.ravel().astype(float),
        np.tile(day.ravel(), 2).astype(np.int64),
    )


RAMP = np.array([0.1] * 3 + [0.5] * 7)
RISING = np.linspace(1.0, 1.5, 10)


def outcome(counts: Counts, *, final: bool = True, share: float = 0.5) -> TestOutcome:
    return analyze(counts, planned_lift=0.05, final=final, treated_share=share)


def test_mantel_haenszel_and_its_published_variance() -> None:
    rng = np.random.default_rng(0)
    treated, stratum = np.tile([True, False], 5), np.repeat(np.arange(5), 2)
    n, k = rng.integers(50, 500, 10).astype(float), rng.integers(5, 40, 10).astype(float)
    found = mantel_haenszel(treated, stratum, n, k)
    weight = n[::2] * n[1::2] / (n[::2] + n[1::2])
    assert found.value == pytest.approx(np.log((weight * k[::2] / n[::2]).sum() / (weight * k[1::2] / n[1::2]).sum()))
    # Greenland and Robins' variance for Poisson counts, which independent rows have
    events, shown = k[::2] + k[1::2], n[::2] + n[1::2]
    variance = 1 / (n[::2] * n[1::2] * events / shown**2).sum()  # without a lift
    draws = []
    for _ in range(3000):
        drawn = rng.poisson(np.repeat(events / shown, 2) * n).astype(float)
        draws.append(mantel_haenszel(treated, stratum, n, np.maximum(drawn, 0.5)).value)
    assert np.var(draws) == pytest.approx(variance, rel=0.12)


def test_a_ramp_up_while_clicks_rise_is_a_tie() -> None:
    rng = np.random.default_rng(1)
    found = [outcome(results(rng, RAMP, RISING)) for _ in range(300)]
    assert np.mean([f.decision != "undecided" for f in found]) <= 0.08
    assert all(f.split is not None and f.split.changed and not f.split.alarm for f in found)
    pooled = results(rng, RAMP, RISING, per_cell=20_000)
    new = pooled.treated
    rates = [pooled.events[rows].sum() / pooled.impressions[rows].sum() for rows in (new, ~new)]
    assert rates[0] / rates[1] > 1.05  # what adding up over days would say


def test_a_ramp_up_looked_at_every_day_stays_a_tie() -> None:
    rng = np.random.default_rng(2)
    stopped = 0
    for _ in range(100):
        whole = results(rng, RAMP, RISING)
        for last in range(1, 10):
            kept = whole.days <= last
            part = Counts(*(x[kept] for x in (whole.treated, whole.item, whole.impressions, whole.events, whole.days)))
            if outcome(part, final=False).decision in ("better", "worse"):
                stopped += 1
                break
    assert stopped / 100 <= 0.05


def test_a_lift_is_found_through_a_ramp_up() -> None:
    rng = np.random.default_rng(3)
    found = outcome(results(rng, np.array([0.01, 0.5]), np.array([2.0, 0.7]), lift=0.2, per_cell=4000), share=0.255)
    assert found.decision == "better"
    assert found.low < 0.2 < found.high


def test_items_with_splits_of_their_own_are_compared_with_themselves() -> None:
    rng = np.random.default_rng(4)
    decided = 0
    for _ in range(200):
        appeal = np.where(np.arange(ITEMS) % 2 == 0, 0.08, 0.01)
        share = np.where(np.arange(ITEMS) % 2 == 0, 0.8, 0.2)  # what is clicked more is shown more in the treatment
        new = rng.binomial(4000, share)
        shown = np.stack([4000 - new, new])
        counts = Counts(
            np.repeat([False, True], ITEMS), np.tile(np.arange(ITEMS), 2), shown.ravel().astype(float),
            rng.binomial(shown, appeal).ravel().astype(float),
        )  # fmt: skip
        found = outcome(counts)
        assert found.split is not None
        assert found.split.by_item
        decided += found.decision != "undecided"
    assert decided / 200 <= 0.09


def test_a_few_broken_items_ring_and_are_named() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        counts = results(rng, np.full(5, 0.5), np.ones(5), per_cell=2000)
        lost = (counts.item == 7) & counts.treated
        counts.impressions[lost] = rng.binomial(counts.impressions[lost].astype(int), 0.85)
        counts.events[lost] = np.minimum(counts.events[lost], counts.impressions[lost])
        found = outcome(counts)
        assert found.decision == "invalid"
        assert found.split is not None
        assert found.split.mismatched[0] == 7


def test_fair_splits_do_not_ring() -> None:
    rng = np.random.default_rng(6)
    rang = 0
    for _ in range(500):
        c = results(rng, np.full(4, 0.3), np.ones(4), per_cell=200)
        rang += check_split(c.treated, c.item, c.days, c.impressions, 0.3).alarm
    assert rang / 500 <= 0.01


def test_heavy_visitors_are_no_false_decisions_where_they_are_known() -> None:
    rng = np.random.default_rng(7)
    decided, invalid = 0, 0
    for _ in range(300):
        n = 600
        shown = np.maximum(rng.poisson(np.exp(rng.normal(3.0, 1.2, n))), 1)
        clicky = np.minimum(0.05 * np.exp(rng.normal(-0.32, 0.8, n)), 0.9)
        treated = rng.random(n) < 0.5
        item = rng.integers(0, 50, n)
        clicks = rng.binomial(shown, clicky)
        found = outcome(
            Counts(treated, item, shown.astype(float), clicks.astype(float), visitor=np.arange(n, dtype=np.int64))
        )
        invalid += found.decision == "invalid"
        decided += found.decision in ("better", "worse")
    assert decided / 300 <= 0.085  # 5.5% and three standard errors of 300 repetitions
    assert invalid / 300 <= 0.01


def test_whole_items_are_compared_by_what_was_known_of_them() -> None:
    rng = np.random.default_rng(8)
    plain, better, covered = [], [], 0
    for _ in range(100):
        n = 400
        appeal = rng.gamma(2.0, 0.02, n)
        size = rng.integers(300, 1500, n)
        treated = rng.permutation(n) < n // 2
        clicks = rng.binomial(size, np.minimum(appeal * np.where(treated, 1.05, 1.0), 0.9))
        before = (rng.binomial(size, np.minimum(appeal, 0.9)) + 1) / size * size
        base = Counts(treated, np.arange(n), size.astype(float), clicks.astype(float))
        known = Counts(treated, np.arange(n), size.astype(float), clicks.astype(float), expected=before.astype(float))
        a, b = outcome(base), outcome(known)
        assert b.design == "items"
        plain.append(a.high - a.low)
        better.append(b.high - b.low)
        covered += b.low <= 0.05 <= b.high
    assert np.mean(better) < 0.5 * np.mean(plain)
    assert 0.88 <= covered / 100 <= 1.0


def test_covariates_that_say_nothing_cost_nothing() -> None:
    rng = np.random.default_rng(9)
    counts = Counts(
        np.arange(200) % 2 == 0, np.arange(200), np.full(200, 1000.0), rng.binomial(1000, 0.05, 200).astype(float)
    )
    ratio = mantel_haenszel(counts.treated, np.zeros(200, dtype=np.int64), counts.impressions, counts.events)
    flat = mantel_haenszel(counts.treated, np.zeros(200, dtype=np.int64), counts.impressions, np.full(200, 50.0))
    found = adjusted(ratio, [flat], counts.item)
    assert found.value == pytest.approx(ratio.value)
    assert found.influence == pytest.approx(ratio.influence)


def test_pairs_of_alike_items_have_a_narrow_interval_that_holds() -> None:
    """Errors by item would be several times too wide where alike items are shared between the arms."""
    rng, covered, narrower = np.random.default_rng(11), 0, []
    for _ in range(300):
        pairs = 150
        rate = np.exp(rng.normal(-3, 0.6, pairs)).repeat(2) * np.exp(rng.normal(0, 0.1, 2 * pairs))
        treated = np.concatenate([rng.permutation([True, False]) for _ in range(pairs)])
        clicks = rng.binomial(2000, np.minimum(rate * np.where(treated, 1.05, 1.0), 0.9)).astype(float)
        n = 2 * pairs
        known = Counts(treated, np.arange(n), np.full(n, 2000.0), clicks, block=np.repeat(np.arange(pairs), 2))
        by_block, by_item = outcome(known), outcome(replace(known, block=None))
        covered += by_block.low <= 0.05 <= by_block.high
        narrower.append((by_block.high - by_block.low) / (by_item.high - by_item.low))
        assert by_block.lift == by_item.lift
    assert 0.92 <= covered / 300 <= 0.98  # 95% and 2.4 standard errors
    assert np.mean(narrower) < 0.4


def test_a_single_item_is_compared_by_its_visitors() -> None:
    """One item, rows of one impression each: the error is that of two proportions on the log scale."""
    rng, n = np.random.default_rng(12), 20_000
    treated, clicks = rng.random(n) < 0.5, (rng.random(n) < 0.05).astype(float)
    one = np.zeros(n, dtype=np.int64)
    found = outcome(Counts(treated, one, np.ones(n), clicks, visitor=np.arange(n)))
    rates = [clicks[rows].mean() for rows in (treated, ~treated)]
    expected = sum((1 - p) / (p * rows.sum()) for p, rows in zip(rates, (treated, ~treated), strict=True))
    assert found.std_error == pytest.approx(np.sqrt(expected), rel=0.005)
    with pytest.raises(RoundsError, match="at least two items"):
        outcome(Counts(np.array([False, True]), one[:2], np.full(2, 9000.0), np.full(2, 400.0)))


@pytest.mark.parametrize("by_visitor", [False, True])
def test_a_broken_item_of_much_traffic_rings(by_visitor: bool) -> None:
    """The item has 30% of 20,000 impressions and loses 15% of its treatment; only large items have power enough."""
    rng, size = np.random.default_rng(13), np.array([6000, *[360] * 39])
    named = 0
    for _ in range(50):
        new = rng.binomial(size, 0.5)
        old = size - new
        new[0] = rng.binomial(new[0], 0.85)
        treated, item = np.repeat([False, True], 40), np.tile(np.arange(40), 2)
        shown = np.concatenate([old, new])
        if by_visitor:
            rows = int(shown.sum())
            found = check_units(
                np.arange(rows), item.repeat(shown), treated.repeat(shown), np.zeros(rows, dtype=np.int64), 0.5
            )
        else:
            found = check_split(treated, item, np.zeros(80, dtype=np.int64), shown.astype(float), 0.5)
        named += found.mismatched == (0,)
    assert named >= 48


def test_the_whole_split_is_the_exact_binomial() -> None:
    counts = results(np.random.default_rng(10), np.array([0.5]), np.ones(1))
    found = check_split(counts.treated, counts.item, counts.days, counts.impressions, 0.5)
    new = int(counts.impressions[counts.treated].sum())
    assert found.p_value == pytest.approx(stats.binomtest(new, int(counts.impressions.sum()), 0.5).pvalue)
