"""Group-sequential boundaries: the published ones, simulated error, and the power that is planned for."""

import numpy as np
import pytest

from rlopt.ope.abtest import Looks, analyze
from rlopt.ope.group_sequential import boundaries, drift, spent
from rlopt.ope.rounds import RoundsError
from tests.ope.test_abtest import counts, run_test

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def test_boundaries_are_the_published_ones() -> None:
    # ldbounds and Reboussin et al. (2000), O'Brien-Fleming-like spending, two-sided 0.05, five equal looks
    assert boundaries(FIVE) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)
    assert boundaries((1.0,)) == pytest.approx([1.959964], abs=1e-6)
    assert spent(1.0, 0.05) == pytest.approx(0.05)


def test_error_and_power_of_simulated_looks() -> None:
    rng, n = np.random.default_rng(0), 20_000
    mean = drift(FIVE, 0.05, 0.8)
    steps = rng.normal(size=(n, 5)) * np.sqrt(0.2)
    for shift, wanted in ((0.0, 0.05), (mean, 0.8)):
        z = (steps + 0.2 * shift).cumsum(axis=1) / np.sqrt(FIVE)
        crossed = (np.abs(z) > boundaries(FIVE)).any(axis=1)
        assert crossed.mean() == pytest.approx(wanted, abs=0.01)
    assert 1.0 < (mean / 2.8016) ** 2 < 1.05  # little more than a single look takes


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0.5, 0.2), (0.5, 1.2), (0.0, 1.0)])
def test_looks_that_are_none_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(RoundsError, match="rising shares"):
        boundaries(shares)


def test_a_look_on_the_way_is_wider_than_the_end() -> None:
    shown, clicks = run_test(np.random.default_rng(1))
    early, last = (
        analyze(counts(shown[-1], clicks[-1]), planned_lift=0.05, looks=Looks("group-sequential", shares))
        for shares in ((0.25,), (0.25, 0.5, 0.75, 1.0))
    )
    assert early.decided_by == "group-sequential"
    assert early.group_high > last.group_high > last.high
    assert last.deciding == (last.group_low, last.group_high)
