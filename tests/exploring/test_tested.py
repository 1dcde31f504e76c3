"""Intervals of batches alone: closed forms, and validity under allocation that follows the clicks."""

import numpy as np
import pytest
from scipy import integrate, stats

from rlopt.exploring.promise import counts
from rlopt.exploring.tested import SPREAD, always_valid, leaders_lift

TODAY = np.zeros(1, dtype=np.int64)


def test_one_batch_of_two_titles_is_a_rate_ratio() -> None:
    clicks, shown = np.array([[[200.0, 260.0]]]), np.array([[[9_999.0, 10_000.0]]])
    found = leaders_lift(clicks, shown, TODAY, 1.0)
    assert found is not None
    assert found.lift == pytest.approx(260 / 200 * 0.9999 - 1)
    error = 1.96 * np.sqrt(1 / 200 + 1 / 260)  # of the log ratio
    assert np.log1p([found.low, found.high]) == pytest.approx(
        np.log1p(found.lift) + error * np.array([-1, 1]), abs=2e-3
    )
    assert leaders_lift(clicks, shown[..., ::-1] * 1.0, TODAY, 1.0) is None  # today's is favoured
    wider = leaders_lift(clicks, shown, TODAY, 4.0)
    assert wider is not None
    assert (wider.high - wider.low) / (found.high - found.low) == pytest.approx(2, rel=0.02)


def test_the_interval_is_where_no_bet_has_won() -> None:
    clicks, shown = np.array([[[30.0, 60.0]], [[5.0, 20.0]]]), np.array([[[1000.0, 1500.0]], [[400.0, 300.0]]])
    low, high = always_valid(clicks, shown, TODAY, np.ones((1, 2), dtype=bool), 1.0)

    def likelihood(effect: float) -> float:
        odds = shown[:, 0, 1] * np.exp(effect) / shown[:, 0, 0]
        return float(np.prod(stats.binom.pmf(clicks[:, 0, 1], clicks[:, 0].sum(axis=1), odds / (1 + odds))))

    mean = integrate.quad(lambda e: likelihood(e) * stats.norm.pdf(e, 0, SPREAD), -2, 2)[0]
    for end in (low[0, 1], high[0, 1]):
        assert mean / likelihood(end) == pytest.approx(20, rel=0.03)
    assert low[0, 0] == high[0, 0] == 0


def test_unseen_titles_are_unbounded() -> None:
    present = np.array([[True, True, False]])
    nothing = np.zeros((1, 1, 3))
    low, high = always_valid(nothing, nothing, TODAY, present, 1.0)
    assert low.tolist() == [[0, -np.inf, -np.inf]]
    assert high.tolist() == [[0, np.inf, np.inf]]
    assert leaders_lift(nothing[:0], nothing[:0], TODAY, 1.0) is None


def test_intervals_hold_although_the_best_looking_title_is_shown_more() -> None:
    rng, items, batches, phi = np.random.default_rng(3), 20, 5, 1.5
    held, anytime, far = [], [], 0.0
    for _ in range(120):
        rate = 0.03 * np.exp(rng.normal(0, 0.15, (items, 3)))
        present, today = np.ones((items, 3), dtype=bool), np.zeros(items, dtype=np.int64)
        effect = np.log(rate / rate[:, :1])
        clicks, shown = np.zeros((2, 0, items, 3))
        ok, truth, weight = np.ones(items, dtype=bool), 0.0, 0.0
        for batch in range(batches):
            seen = (clicks.sum(axis=0) + 3) / (shown.sum(axis=0) + 100)
            share = np.eye(3)[np.argmax(seen, axis=1)] * 0.7 + 0.1  # greedy: follows luck
            level = rng.lognormal(0, 0.5, (items, 1))
            shown = np.concatenate([shown, 2_000 * share[None]])
            clicks = np.concatenate([clicks, counts(2_000 * share * rate * level, phi, rng)[None]])
            if batch % 2 == 0:
                low, high = always_valid(clicks, shown, today, present, phi)
                ok &= ((low <= effect) & (effect <= high)).all(axis=1)
            lead = np.argmax(share, axis=1)
            own = np.where(lead != 0, level[:, 0] * rate[:, 0], 0.0)  # equal weights: 0.8 and 0.1 of the impressions
            truth += float(np.sum(own * np.exp(effect[np.arange(items), lead])))
            weight += float(own.sum())
        found = leaders_lift(clicks, shown, today, phi)
        assert found is not None
        held.append(found.low <= truth / weight - 1 <= found.high)
        anytime.append(ok.mean())
        far += found.lift - (truth / weight - 1)
    assert 0.9 <= np.mean(held) <= 0.99
    assert np.mean(anytime) >= 0.95
    assert abs(far) / 120 < 0.01
