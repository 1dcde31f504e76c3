"""The E-value against the published figures."""

import pytest

from rlopt.ope.sensitivity import e_value


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
