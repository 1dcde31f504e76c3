"""Shares that people rated: the interval in closed form, its coverage, and what it does to a verdict."""

import numpy as np
import pytest
from scipy import stats

from rlopt.ope.rated_shares import mid_p, rated_reasons, rated_share, share_interval


@pytest.mark.parametrize(("x", "n"), [(1, 20), (7, 40), (19, 20), (100, 400)])
def test_mid_p_limits_solve_their_equations(x: int, n: int) -> None:
    low, high = mid_p(x, n, 0.05)
    assert stats.binom.sf(x, n, low) + stats.binom.pmf(x, n, low) / 2 == pytest.approx(0.025)
    assert stats.binom.cdf(x - 1, n, high) + stats.binom.pmf(x, n, high) / 2 == pytest.approx(0.025)


def test_none_and_all_of_a_sample() -> None:
    low, high = mid_p(0, 50, 0.05)
    assert low == 0
    assert (1 - high) ** 50 / 2 == pytest.approx(0.025)
    assert mid_p(50, 50, 0.05) == (pytest.approx(1 - high), 1.0)


def test_two_who_always_agree_are_worth_one_rater() -> None:
    once = [[k < 6] for k in range(100)]
    one, two = rated_share("misleading", once), rated_share("misleading", [given * 2 for given in once])
    assert (one.low, one.high) == (two.low, two.high)
    assert (two.share, two.both, two.either, two.agreement, two.kappa) == (0.06, 6, 6, 1.0, 1.0)
    assert one.agreement is None
    assert (one.low, one.high) == pytest.approx(mid_p(6, 100, 0.05), abs=0.002)


def test_where_raters_differ_two_opinions_tell_more_than_one() -> None:
    split = rated_share("harmful", [[True, False]] * 10 + [[False, False]] * 90)
    assert (split.share, split.both, split.either, split.agreement) == (0.05, 0, 10, 0.9)
    low, high = mid_p(5, 100, 0.05)
    assert split.high - split.low < high - low


def test_intervals_cover_with_two_reviewers_who_disagree_in_a_tenth() -> None:
    rng = np.random.default_rng(0)
    draws = 600
    kind = rng.choice(3, (draws, 150), p=[0.85, 0.1, 0.05])
    intervals = np.array([share_interval(row / 2.0) for row in kind])
    covers = np.mean((intervals[:, 0] <= 0.1) & (intervals[:, 1] >= 0.1))
    assert 0.93 <= covers <= 0.97


@pytest.mark.parametrize(
    ("faulty", "status"), [(0, "passed"), (4, "doubt"), (40, "hold")], ids=["few", "cannot tell", "many"]
)
def test_a_limit_decides_by_the_interval(faulty: int, status: str) -> None:
    found = rated_share("misleading", [[k < faulty] for k in range(200)])
    (reason,) = rated_reasons([found], 0.02)
    assert (reason.status, reason.threshold) == (status, 0.02)
    assert rated_reasons([found], None) == []
    (few,) = rated_reasons([rated_share("misleading", [[False]] * 19)], 0.02)
    assert few.status == "doubt"
