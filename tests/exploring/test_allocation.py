"""Allocation: against closed forms of two normal titles, and limits in which the answer is plain."""

import numpy as np
import pytest
from scipy.stats import chisquare, norm

from rlopt.assignment_hash import title_of, uniform
from rlopt.exploring.allocation import (
    Horizon,
    allocate,
    best_chance,
    doubt_of_best,
    expected_best,
    relative_rates,
    standard_normal,
    with_floor,
)
from rlopt.exploring.beliefs import Beliefs, information_of
from rlopt.exploring.layout import Layout
from rlopt.exploring.promise import counts
from rlopt.exploring.selection import choose_items

AFTER = (0.0, 1e4, 1e5, 1e6, 1e9)


def _two(gap: float, std: float) -> Beliefs:
    return Beliefs(np.array([[gap, 0.0]]), std**2 * np.eye(2)[None], np.ones((1, 2), dtype=bool))


def _horizon(batch: float, left: float, after: float = 0.0, rate: float = 0.02) -> Horizon:
    return Horizon(np.array([batch]), np.array([left]), np.array([after]), np.array([rate]))


def test_the_chance_to_be_best_is_that_of_two_normals() -> None:
    beliefs = _two(0.1, 0.2)
    chance = best_chance(beliefs, standard_normal(4096, 2, 0))
    assert chance[0, 0] == pytest.approx(norm.cdf(0.1 / (0.2 * np.sqrt(2))), abs=0.01)
    assert chance.sum() == pytest.approx(1)
    assert best_chance(beliefs, standard_normal(64, 2, 0), temper=0.0).tolist() == [[1.0, 0.0]]


def test_the_expected_best_after_clicks_is_that_of_two_lognormals() -> None:
    """E max(e^X, e^Y) with the means' difference normal: both titles' rates are martingales (Clark 1961)."""
    beliefs, share, clicks = _two(0.0, 0.3), np.array([[0.5, 0.5]]), np.array([200.0])
    information = information_of(share, clicks, 1.0)
    relative = relative_rates(beliefs)
    found = expected_best(beliefs, information, relative, standard_normal(8192, 2, 0))
    before, told = 2 * 0.3**2, clicks[0] / 4  # variance of the difference, and what the clicks tell of it
    moves = np.sqrt(before - 1 / (1 / before + told))
    assert found[0] == pytest.approx(2 * norm.cdf(moves / 2), rel=0.003)
    nothing = expected_best(beliefs, 0 * information, relative, standard_normal(64, 2, 0))
    assert nothing[0] == pytest.approx(1.0, abs=1e-3)


def test_little_is_explored_at_the_end_or_when_all_is_known_and_more_at_the_beginning() -> None:
    known, unknown = _two(0.5, 0.01), _two(0.1, 0.3)
    floor = 0.01
    assert allocate(known, _horizon(1e4, 1e5), floor=floor, seed=0).probability[0].tolist() == [0.99, 0.01]
    assert allocate(unknown, _horizon(1e4, 1e4), floor=floor, seed=0).probability[0, 1] == pytest.approx(floor)
    begun = allocate(unknown, _horizon(1e4, 1e6), floor=floor, seed=0)
    assert begun.probability[0, 1] > 0.1
    assert begun.gain[0] > 0


def test_what_the_last_batch_teaches_counts_for_as_long_as_its_title_is_shown() -> None:
    unknown, batch, rate = _two(0.1, 0.3), 1e4, 0.02
    gains = [allocate(unknown, _horizon(batch, batch, after, rate), floor=0.01, seed=0).gain[0] for after in AFTER]
    assert gains == sorted(gains)
    # However long it is shown: all that can be gained is the best known after the batch instead of the best now.
    relative = relative_rates(unknown)
    clicks = np.array([batch * rate * relative.mean()])
    share = np.exp([[0.1, 0.0]])
    told = information_of(share / share.sum(), clicks, 1.0)
    best = expected_best(unknown, told, relative, standard_normal(8192, 2, 0))[0]
    assert gains[-1] == pytest.approx(best / relative.max() - 1, rel=0.1)
    assert allocate(unknown, _horizon(batch, batch, 1e9), floor=0.01, seed=0).probability[0, 1] > 0.3


def test_probabilities_are_exact_and_keep_the_floor() -> None:
    rng = np.random.default_rng(0)
    present = rng.random((300, 6)) < 0.7
    present[:, 0] = True
    beliefs = Beliefs(rng.normal(0, 0.2, (300, 6)), np.tile(0.04 * np.eye(6), (300, 1, 1)), present)
    horizon = Horizon(np.full(300, 1e3), np.full(300, 1e4), np.zeros(300), np.full(300, 0.02))
    found = allocate(beliefs, horizon, floor=0.02, seed=3)
    assert found.probability.sum(axis=1) == pytest.approx(np.ones(300))
    assert (found.probability[present] >= 0.02 - 1e-12).all()
    assert not found.probability[~present].any()
    again = allocate(beliefs, horizon, floor=0.02, seed=3)
    assert np.array_equal(found.probability, again.probability)
    crowded = with_floor(np.eye(40)[:1], np.ones((1, 40), dtype=bool), 0.05)
    assert crowded[0, 1] == pytest.approx(0.5 / 40)


def test_the_doubt_of_the_best_is_what_it_is_expected_to_lose() -> None:
    loses = 1 - 1 / (2 * norm.cdf(0.3 * np.sqrt(2) / 2))
    assert doubt_of_best(_two(0.0, 0.3), 0)[0] == pytest.approx(loses, rel=0.1)
    assert doubt_of_best(_two(0.5, 0.01), 0)[0] == pytest.approx(0.0, abs=1e-9)


def test_items_are_taken_by_gain_an_impression_within_budget_and_loss() -> None:
    gain, loss = np.array([4.0, 9.0, 3.0, -1.0, 5.0]), np.array([1.0, 1.0, -5.0, 0.0, 50.0])
    impressions = np.array([100.0, 300.0, 50.0, 10.0, 100.0])
    assert choose_items(gain, loss, impressions, None, 2.0).tolist() == [True, True, True, False, False]
    assert choose_items(gain, loss, impressions, 200.0, 99.0).tolist() == [False, False, True, False, True]
    assert not choose_items(gain, np.abs(loss), impressions, None, 0.0).any()


def test_rows_and_tables_are_each_others_inverse() -> None:
    layout = Layout.of(np.array([1, 0, 1, 1, 2]))
    values = np.arange(5.0)
    assert layout.shape == (3, 3)
    assert layout.lay(values).tolist() == [[1, 0, 0], [0, 2, 3], [4, 0, 0]]
    assert layout.rows(layout.lay(values)).tolist() == values.tolist()
    assert layout.present.sum() == 5


def test_simulated_counts_have_the_overdispersion_asked_for() -> None:
    drawn = counts(np.full(200_000, 3.0), 1.7, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(3.0, rel=0.01)
    assert drawn.var() == pytest.approx(1.7 * 3.0, rel=0.02)


def test_visitors_get_titles_as_often_as_the_plan_says_and_the_same_ones_again() -> None:
    titles, probability = ["b", "红色 a", "c", "d"], [0.55, 0.3, 0.145, 0.005]
    seen = [title_of(titles, probability, uniform(7, "商品 1", f"visitor {n}")) for n in range(40_000)]
    observed = [seen.count(title) for title in titles]
    assert chisquare(observed, 40_000 * np.array(probability)).pvalue > 0.001
    turned = [title_of(titles[::-1], probability[::-1], uniform(7, "商品 1", f"visitor {n}")) for n in range(200)]
    assert turned == seen[:200]
    other = [title_of(titles, probability, uniform(7, "商品 2", f"visitor {n}")) for n in range(40_000)]
    both = np.mean([a == b for a, b in zip(seen, other, strict=True)])
    assert both == pytest.approx(np.sum(np.square(probability)), abs=0.01)  # items are drawn apart


def test_the_hash_is_the_one_that_is_told() -> None:
    import hashlib

    digest = hashlib.blake2b('[7, "商品 1", "v"]'.encode(), digest_size=8).digest()
    assert uniform(7, "商品 1", "v") == (int.from_bytes(digest, "big") >> 11) / 2**53
