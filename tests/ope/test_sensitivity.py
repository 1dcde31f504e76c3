"""The E-value against the published figures, and the bound that is its inverse."""

import numpy as np
import pytest

from rlopt.ope.direct import LiftEstimate
from rlopt.ope.sensitivity import bias_bound, e_value, with_unseen_cause


def test_the_published_example() -> None:
    # VanderWeele and Ding 2017: breast feeding and infant deaths, risk ratio 3.9 [1.8, 8.7]
    assert e_value(3.9) == pytest.approx(7.26, abs=0.005)
    assert e_value(1.8) == pytest.approx(3.0, abs=0.005)


def test_a_loss_needs_as_strong_a_cause_as_the_gain_that_undoes_it() -> None:
    assert e_value(1.0) == 1.0
    assert e_value(0.8) == pytest.approx(e_value(1.25))


def test_no_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ratio must be above 0. Got 0"):
        e_value(0.0)


@pytest.mark.parametrize("ratio", [1.0, 1.05, 1.8, 3.9])
def test_a_cause_of_the_e_values_strength_explains_just_this_ratio(ratio: float) -> None:
    assert bias_bound(e_value(ratio)) == pytest.approx(ratio)


def test_limits_move_out_by_the_bound() -> None:
    none = np.zeros(2)
    lift = LiftEstimate(0.1, 0.05, 0.2, 0.95, 1.0, 0.0, 0.0, 0.0, 2, none, none)
    assert with_unseen_cause(lift, 1.0) is lift
    wide = with_unseen_cause(lift, 2.0)  # 4 / 3
    assert (wide.low, wide.high) == (pytest.approx(1.05 * 3 / 4 - 1), pytest.approx(1.2 * 4 / 3 - 1))
    assert wide.value == lift.value
    with pytest.raises(ValueError, match=r"strength must be at least 1. Got 0.5"):
        with_unseen_cause(lift, 0.5)
